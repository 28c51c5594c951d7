"""Files are of a size that one reads at once; those above house style's are listed."""

import re
from collections.abc import Iterator

from checklist.findings import Finding, passed, review
from checklist.fleet import Fleet

LIMITS = (
    (re.compile(r".*/tests?/.*|.*/test_\w+\.py"), 500),
    (re.compile(r"\w+/app/main\.py"), 80),
    (re.compile(r"\w+/app/api/routes/\w+\.py"), 150),
    (re.compile(r"\w+/app/worker/tasks\.py"), 150),
    (re.compile(r".*"), 300),
)
"""The first that fits a path: the most lines of such a file."""


def check(fleet: Fleet) -> Iterator[Finding]:
    """Count the lines of every file of Python."""
    for path in fleet.tree.under("ml-shared", "local-dev", "gateway-vm", *fleet.services, suffix=".py"):
        most = next(limit for pattern, limit in LIMITS if pattern.fullmatch(path))
        lines = len(fleet.tree.text(path).splitlines())
        if lines > most:
            yield review(path, 0, f"{lines} lines, where {most} are aimed at; has it a second reason to change?")
        else:
            yield passed(path, 0, f"{lines} lines")
