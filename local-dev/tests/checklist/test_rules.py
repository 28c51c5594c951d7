"""Each rule on two small trees: one that it is content with, and one that it is not."""

from pathlib import Path

import pytest
from checklist.findings import Status
from checklist.items import ITEMS, RULES
from trees import FIXTURES, REPOSITORY, Case, cases

CHECKS = {item.check.__module__.rpartition(".")[2]: item.check for item in (*ITEMS, *RULES)}
WITHOUT_A_RULE = {"items"}  # what only a person can see
NAMES = sorted(set(CHECKS) - WITHOUT_A_RULE)
ALL = [case for name in NAMES if (FIXTURES / f"{name}.txt").is_file() for case in cases(name)]


def test_every_rule_has_a_file_and_a_fixture_and_no_other_file_is_there() -> None:
    rules = {path.stem for path in (REPOSITORY / "local-dev" / "checklist" / "rules").glob("*.py")} - {"__init__"}
    assert set(NAMES) == rules == {path.stem for path in FIXTURES.glob("*.txt")}


@pytest.mark.parametrize("name", NAMES)
def test_a_fixture_has_a_tree_of_either_kind(name: str) -> None:
    found = {case.status is Status.PASS for case in cases(name)}
    assert found == {True, False}


@pytest.mark.parametrize("case", ALL, ids=lambda case: f"{case.rule}-{case.status}")
def test_a_rule_says_of_a_tree_what_its_fixture_says(case: Case, tmp_path: Path) -> None:
    findings = list(CHECKS[case.rule](case.planted(tmp_path)))
    noted = [finding for finding in findings if finding.status is not Status.PASS]
    if case.status is Status.PASS:
        assert findings, "there was nothing to look at"
        assert noted == []
    else:
        assert [finding.status for finding in noted] == [case.status], noted
        assert noted[0].place == case.place
        assert case.words in noted[0].says
