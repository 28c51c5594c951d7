"""The log lines of a trace, found in the fleet's log files by its id."""

import contextlib
import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

BYTES_OF_A_PROCESS = 32 * 2**20
# its older files included: all that a fleet keeps of most
MOST_LINES = 1_000
# of a process
LONGEST_LINE_BYTES = 256 * 2**10
# a longer one is told by its beginning
EARLIER_SECONDS = 5
# a log that was last written this long before a trace began has nothing of it
_SEVERITIES = {"WARNING": 1, "ERROR": 2, "CRITICAL": 3}
ACCESS_LOG = "access"


@dataclass(frozen=True, slots=True)
class Line:
    """A log line. `source` is the process as `make status` names it, the gateway for nginx's access log."""

    source: str
    at_ns: int | None
    fields: dict[str, Any] = field(default_factory=dict)
    text: str = ""

    @property
    def severity(self) -> int:
        """How loud it is: 0 for what is no more than information."""
        return _SEVERITIES.get(str(self.fields.get("level")), 0)

    @property
    def is_access(self) -> bool:
        """Whether nginx wrote it of a request."""
        return "upstream_status" in self.fields


def lines_of(logs: Path, trace_id: str, since_ns: int) -> list[Line]:
    """Return the lines that name a trace, by process and time.

    Parameters
    ----------
    logs
        The folder: a file a process with its older ones beside it, and nginx's own in `gateway/`.
    since_ns
        When the trace began.
    """
    found: list[Line] = []
    for path in [*sorted(logs.glob("*.log")), logs / "gateway" / f"{ACCESS_LOG}.log"]:
        source = "gateway" if path.stem == ACCESS_LOG else path.stem
        raw = _lines_with(path, trace_id.encode(), since_ns / 1e9 - EARLIER_SECONDS)
        found += [_line(source, line) for line in islice(raw, MOST_LINES)]
    return sorted(found, key=lambda line: line.at_ns or 0)


def _lines_with(path: Path, wanted: bytes, since: float) -> Iterator[bytes]:
    left = BYTES_OF_A_PROCESS
    older = sorted(path.parent.glob(f"{path.name}.*"), key=lambda one: one.suffix)
    for file in (path, *older):
        with contextlib.suppress(OSError, ValueError):  # it was renamed meanwhile, or is empty
            if left <= 0 or file.stat().st_mtime < since:
                return
            with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
                yield from _matching(content, wanted, max(0, len(content) - left))
                left -= len(content)


def _matching(content: mmap.mmap, wanted: bytes, start: int) -> Iterator[bytes]:
    place = content.find(wanted, start)
    while place >= 0:
        begin = content.rfind(b"\n", max(start, place - LONGEST_LINE_BYTES), place) + 1
        end = content.find(b"\n", place)
        end = len(content) if end < 0 else end
        yield content[begin or max(start, place - LONGEST_LINE_BYTES) : min(end, place + LONGEST_LINE_BYTES)]
        place = content.find(wanted, end)


def _line(source: str, raw: bytes) -> Line:
    text = raw.decode("utf-8", "replace")
    try:
        fields = json.loads(text)
        at_ns = _nanoseconds(str(fields["timestamp"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return Line(source, None, text=text)
    return Line(source, at_ns, fields)


def _nanoseconds(timestamp: str) -> int:
    return int(datetime.fromisoformat(timestamp).timestamp() * 1e6) * 1_000
