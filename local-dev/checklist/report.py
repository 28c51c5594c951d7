"""What came of each item, as text for a terminal and as Markdown for a pull request."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from checklist.findings import Finding, Status, failed
from checklist.fleet import Fleet
from checklist.items import Item

SHOWN: Final = 25
# of one item's places; the rest are counted
NOTHING: Final = (
    "nothing to look at was found: this rule can't fail any more; see its file in local-dev/checklist/rules"
)
RANK: Final = {Status.PASS: 0, Status.REVIEW: 1, Status.FAIL: 2}


@dataclass(frozen=True)
class Answer:
    """One item, and all that its rule found.

    Attributes
    ----------
    left_out
        Findings of files that were not changed, when only changes are asked for.
    """

    item: Item
    findings: list[Finding]
    left_out: int = 0

    @property
    def status(self) -> Status:
        """The worst of its findings."""
        return max((finding.status for finding in self.findings), key=RANK.__getitem__, default=Status.PASS)

    @property
    def noted(self) -> list[Finding]:
        """What is to be looked at or mended, failures first."""
        found = {finding for finding in self.findings if finding.status is not Status.PASS}
        return sorted(found, key=lambda one: (-RANK[one.status], one.path, one.line, one.says))

    @property
    def summary(self) -> str:
        """How much was looked at."""
        if not self.findings:
            return "not touched"
        count = sum(finding.status is Status.PASS for finding in self.findings)
        return f"{count} of {len(self.findings)} places"


def answer(item: Item, fleet: Fleet, changed: Collection[str] | None) -> Answer:
    """Run an item's rule.

    Parameters
    ----------
    changed
        The files to keep to; all of them when `None`. Failures elsewhere are kept: they were there before, or a
        change here brought them about.
    """
    findings = list(item.check(fleet)) or [failed("local-dev/checklist", 0, NOTHING)]
    if changed is None or (item.by_eye and changed):
        return Answer(item, findings)
    kept = [one for one in findings if one.path in changed or one.status is Status.FAIL]
    return Answer(item, kept, len(findings) - len(kept))


def counted(answers: Iterable[Answer]) -> str:
    """Return how many items stand how."""
    each = [one.status for one in answers]
    return ", ".join(f"{each.count(status)} {status}" for status in Status)


def text(answers: list[Answer]) -> str:
    """Return the report for a terminal."""
    lines = []
    for section, those in groupby(answers, key=lambda one: one.item.section):
        lines += ["", section]
        for one in those:
            lines.append(f"  {one.status:<8}{one.item.text}  ({one.summary})")
            for finding in one.noted[:SHOWN]:
                lines += [f"          {finding.status}  {finding.place}", f"            {finding.says}"]
            if len(one.noted) > SHOWN:
                lines.append(f"          … and {len(one.noted) - SHOWN} more")
    return "\n".join([*lines, "", counted(answers)])


def markdown(answers: list[Answer]) -> str:
    """Return the report for a pull request: ticked is what code decided, the rest is a reviewer's or the author's."""
    lines = ["## Implementation checklist"]
    for section, those in groupby(answers, key=lambda one: one.item.section):
        lines += ["", f"### {section}", ""]
        for one in those:
            tick = "x" if one.status is Status.PASS else " "
            lines.append(f"- [{tick}] {one.item.text} **{one.status}** ({one.summary})")
            lines += [f"  - {finding.status}: `{finding.place}` {finding.says}" for finding in one.noted[:SHOWN]]
            if len(one.noted) > SHOWN:
                lines.append(f"  - … and {len(one.noted) - SHOWN} more")
    return "\n".join([*lines, "", counted(answers)])
