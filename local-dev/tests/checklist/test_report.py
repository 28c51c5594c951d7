"""What is told of an item: the worst of its findings, the places, and with `--since` only what a branch touched."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from checklist.findings import Finding, Status, failed, passed, review
from checklist.fleet import Fleet
from checklist.items import Item
from checklist.report import NOTHING, SHOWN, Answer, answer, markdown, text

FLEET = Fleet(Path("/nowhere"))


def item(*findings: Finding) -> Item:
    def check(_: Fleet) -> Iterator[Finding]:
        yield from findings

    return Item("Section", "Does it hold?", check)


def answered(*findings: Finding, changed: frozenset[str] | None = None) -> Answer:
    return answer(item(*findings), FLEET, changed)


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ([passed("a")], Status.PASS),
        ([passed("a"), review("b", 1, "look")], Status.REVIEW),
        ([failed("c", 2, "wrong"), passed("a"), review("b", 1, "look")], Status.FAIL),
    ],
)
def test_an_item_stands_as_its_worst_finding(findings: list[Finding], status: Status) -> None:
    assert answered(*findings).status is status


def test_a_rule_that_found_nothing_to_look_at_fails() -> None:
    [finding] = answered().findings
    assert (finding.status, finding.says) == (Status.FAIL, NOTHING)


def test_a_branch_is_told_of_its_own_files_and_of_every_failure() -> None:
    findings = [passed("mine"), review("mine", 3, "look"), review("other", 1, "look"), failed("other", 9, "wrong")]
    told = answered(*findings, changed=frozenset({"mine"}))
    assert [finding.place for finding in told.findings] == ["mine", "mine:3", "other:9"]
    assert told.left_out == 1


def test_what_only_a_person_can_see_is_asked_of_every_branch_that_changes_something() -> None:
    seen = replace(item(review("boards", 0, "look")), by_eye=True)
    assert answer(seen, FLEET, frozenset({"mine"})).status is Status.REVIEW
    assert answer(seen, FLEET, frozenset()).summary == "not touched"


def test_an_item_that_a_branch_does_not_touch_says_so_and_passes() -> None:
    told = answered(review("other", 1, "look"), changed=frozenset({"mine"}))
    assert (told.status, told.summary) == (Status.PASS, "not touched")


def test_the_text_has_each_place_with_what_to_do_failures_first() -> None:
    lines = text(
        [answered(review("b.py", 1, "look here"), failed("c.py", 2, "wrong; do this"), passed("a.py"))]
    ).splitlines()
    assert lines[1:3] == ["Section", "  fail    Does it hold?  (1 of 3 places)"]
    assert [line.strip() for line in lines[3:7]] == ["fail  c.py:2", "wrong; do this", "review  b.py:1", "look here"]
    assert lines[-1] == "0 pass, 0 review, 1 fail"


def test_the_markdown_ticks_what_passed_and_leaves_the_rest_to_a_person() -> None:
    said = markdown([answered(passed("a.py")), answered(review("b.py", 1, "look here"))])
    assert "- [x] Does it hold? **pass** (1 of 1 places)" in said
    assert "- [ ] Does it hold? **review** (0 of 1 places)\n  - review: `b.py:1` look here" in said


def test_many_places_are_counted_rather_than_listed() -> None:
    told = answered(*(failed("a.py", line, "wrong") for line in range(1, SHOWN + 4)))
    for said in (text([told]), markdown([told])):
        assert said.count("a.py:") == SHOWN
        assert "… and 3 more" in said
