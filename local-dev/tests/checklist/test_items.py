"""The template's items and the checker's are the same, both ways."""

from collections import Counter
from pathlib import Path

import pytest
from checklist.items import ITEMS, TEMPLATE, differences, template_items
from trees import REPOSITORY

SECTIONS = {"Auth & rate limiting": 4, "Sync & async endpoints": 4, "Observability": 8, "Verification": 4}


def test_the_template_has_the_specifications_items_and_each_has_a_check() -> None:
    assert differences(REPOSITORY) == []
    assert Counter(section for section, _ in template_items(REPOSITORY)) == SECTIONS
    assert len({item.check for item in ITEMS}) == sum(SECTIONS.values()), "no two items have the same check"


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / TEMPLATE
    path.parent.mkdir()
    path.write_text((REPOSITORY / TEMPLATE).read_text())
    return path


def test_an_item_that_no_rule_answers_is_named(template: Path) -> None:
    template.write_text(template.read_text() + "- [ ] Tastes good?\n")
    assert differences(template.parents[1]) == [
        f"{TEMPLATE} asks, and no rule answers: Tastes good? (Verification)",
    ]


def test_a_rule_whose_item_is_gone_or_reworded_is_named(template: Path) -> None:
    text = template.read_text()
    template.write_text(text.replace("- [ ] Callback fires only when `job_id` is present?\n", ""))
    [said] = differences(template.parents[1])
    assert said.startswith(f"a rule answers what {TEMPLATE} does not ask: Callback fires only")
    template.write_text(text.replace("### Verification", "### Checks"))
    assert len(differences(template.parents[1])) == 2 * SECTIONS["Verification"]


def test_an_item_that_stands_twice_is_told(template: Path) -> None:
    text = template.read_text()
    last = text.rstrip().splitlines()[-1]
    template.write_text(f"{text.rstrip()}\n{last}\n")
    assert differences(template.parents[1]) == [f"{TEMPLATE} has the items in another order, or twice"]
