"""What a rule says of one thing that it looked at."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How one thing, or one item of the checklist, stands."""

    PASS = "pass"  # noqa: S105 - a verdict
    REVIEW = "review"
    FAIL = "fail"


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    path, line
        Where it stands, relative to the repository; line 0 is the file as a whole.
    says
        What was looked at; of a failure what is wrong and what to do, of a review what a person has to judge.
    """

    status: Status
    path: str
    line: int
    says: str

    @property
    def place(self) -> str:
        """Where to look, as editors and reviewers write it."""
        return f"{self.path}:{self.line}" if self.line else self.path


def passed(path: str, line: int = 0, says: str = "") -> Finding:
    """Return the finding of what is as it should be."""
    return Finding(Status.PASS, path, line, says)


def failed(path: str, line: int, says: str) -> Finding:
    """Return the finding of what is wrong; it says what to do."""
    return Finding(Status.FAIL, path, line, says)


def review(path: str, line: int, says: str) -> Finding:
    """Return the finding of what a person has to judge."""
    return Finding(Status.REVIEW, path, line, says)


def held(holds: bool, path: str, line: int, what: str, otherwise: str) -> Finding:
    """Return a pass that names what holds, or else the failure."""
    return passed(path, line, what) if holds else failed(path, line, otherwise)
