"""`make checklist`, as it is run."""

from functools import cache
from pathlib import Path

import pytest
from checklist.__main__ import main
from checklist.apps import describe
from checklist.fleet import Fleet
from checklist.items import ITEMS, RULES

_described = cache(describe)


@pytest.fixture(autouse=True)
def _services_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tree is the same for all of these tests, and so is what its services say."""

    def fleet(root: Path) -> Fleet:
        return Fleet(root, ask=_described)

    monkeypatch.setattr("checklist.__main__.Fleet", fleet)


def test_every_item_is_answered_and_nothing_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    for item in (*ITEMS, *RULES):
        [line] = [line for line in lines if item.text in line]
        assert line.split()[0] in {"pass", "review"}
    assert lines[-1].endswith("0 fail")


def test_the_markdown_for_a_pull_request_has_every_item(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--markdown", "--since", "HEAD"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("## Implementation checklist\n")
    assert all(item.text in said for item in (*ITEMS, *RULES))


def test_without_a_revision_that_there_is_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--since", "no-such-branch"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("--since: 'no-such-branch' can't be compared with: ")
