"""The columns of a waterfall: when, how long, which service, what, and a bar of it beside all others."""

import textwrap
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from traces.spans import Span
from traces.terminal import Terminal, duration, fitted, padded, width_of
from traces.tree import idle_times

NUMBERS = 8
GAP = "  "
IDLE_SHARE = 0.15
# of the time in which something ran: as long as this an idle time is drawn at most
DEEPEST = 12
LEAST_TEXT = 20
# what lies deeper than that, or leaves a text less room, is not indented further
BAR, WAIT = "█", "·"
SHORT = {BAR: "▏", WAIT: "·"}
# of what is shorter than half a column


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the waterfall. Its texts are fit to be shown.

    Parameters
    ----------
    asides
        What is told beside the text, or below it where there is no room.
    took_ns
        With it there is a bar of the `mark`.
    """

    text: str
    depth: int
    at_ns: int | None = None
    took_ns: int | None = None
    service: str = ""
    asides: tuple[str, ...] = ()
    style: str = ""
    mark: str = BAR


class Columns:
    """Lays rows out.

    Parameters
    ----------
    scale
        What the bars are drawn to.
    colours
        A style for each service.
    wrapped
        Whether a text that is too long goes on below instead of being cut.
    """

    def __init__(
        self,
        terminal: Terminal,
        scale: "Scale",
        services: int,
        colours: Mapping[str, str],
        *,
        wrapped: bool = False,
    ) -> None:
        self._terminal = terminal
        self._scale = scale
        self._services = min(services, terminal.columns // 6)
        self._colours = colours
        self._wrapped = wrapped
        left = terminal.columns - 2 * NUMBERS - self._services - 4 * len(GAP)
        self._bars = max(8, left // 4)
        self._texts = left - self._bars
        self._deepest = max(1, min(DEEPEST, (self._texts - LEAST_TEXT) // len(GAP)))

    def head(self) -> str:
        """Return the line above all."""
        scale = duration(self._scale.end_ns - self._scale.start_ns)
        names = (f"{'at':>{NUMBERS}}", f"{'took':>{NUMBERS}}", padded("service", self._services))
        bars = padded("0", self._bars - width_of(scale)) + scale
        return self._terminal.paint(GAP.join([*names, padded("span", self._texts), bars]), "dim")

    def lay(self, row: Row) -> Iterator[str]:
        """Yield a row's lines."""
        at = "" if row.at_ns is None else _offset(row.at_ns - self._scale.start_ns)
        took = "" if row.took_ns is None else duration(row.took_ns)
        service = padded(row.service, self._services)
        service = self._terminal.paint(service, self._colours.get(row.service, "dim"))
        before = f"{at:>{NUMBERS}}{GAP}{took:>{NUMBERS}}{GAP}{service}{GAP}"
        indent = GAP * min(row.depth, self._deepest)
        if row.took_ns is None:
            lines = self._broken(row.text, self._texts + len(GAP) + self._bars - width_of(indent))
            yield (before + indent + self._terminal.paint(lines[0], row.style)).rstrip()
            yield from self._below(lines[1:], indent, row.style)
            return
        room = self._texts - width_of(indent)
        text, beside, below = fitted(row.text, room), "", list(row.asides)
        while below and width_of(text + beside + GAP + below[0]) <= room:
            beside += GAP + below.pop(0)
        padding = " " * (room - width_of(text + beside))
        painted = self._terminal.paint(text, row.style) + self._terminal.paint(beside, row.style or "dim")
        bar = self._terminal.paint(self._bar(row), row.style or self._colours.get(row.service, ""))
        yield (before + indent + painted + padding + GAP + bar).rstrip()
        if below:
            indent += GAP
            room = self._texts + len(GAP) + self._bars - width_of(indent)
            yield from self._below(self._broken(GAP.join(below), room), indent, row.style or "dim")

    def _below(self, lines: list[str], indent: str, style: str) -> Iterator[str]:
        before = " " * (2 * NUMBERS + self._services + 3 * len(GAP))
        for line in lines:
            yield (before + indent + self._terminal.paint(line, style)).rstrip()

    def _broken(self, text: str, room: int) -> list[str]:
        if not self._wrapped:
            return [fitted(text, room)]
        start = text[: len(text) - len(text.lstrip())]
        return textwrap.wrap(text, room, subsequent_indent=start, break_on_hyphens=False) or [""]

    def _bar(self, row: Row) -> str:
        if row.at_ns is None or row.took_ns is None:
            return ""
        begin, end = (self._scale.place_of(at) * self._bars for at in (row.at_ns, row.at_ns + row.took_ns))
        first = min(self._bars - 1, int(begin))
        bar = row.mark * min(round(end - begin), self._bars - first) if end - begin >= 0.5 else SHORT[row.mark]
        return " " * first + bar


class Scale:
    """Where on a line a moment is, from 0 to 1.

    A time in which no span ran is drawn short, or one wait for a host's turn would leave nothing of all the rest.
    """

    def __init__(self, spans: list[Span]) -> None:
        self.start_ns = min(span.start_ns for span in spans)
        self.end_ns = max(span.end_ns for span in spans)
        idle = idle_times(spans)
        busy = self.end_ns - self.start_ns - sum(until - since for since, until in idle)
        self._moments, self._places = [self.start_ns], [0.0]
        for since, until in idle:
            self._add(since, since - self._moments[-1])
            self._add(until, min(until - since, busy * IDLE_SHARE))
        self._add(self.end_ns, self.end_ns - self._moments[-1])

    def _add(self, moment_ns: int, length: float) -> None:
        self._moments.append(moment_ns)
        self._places.append(self._places[-1] + length)

    def place_of(self, moment_ns: int) -> float:
        """Return the place of a moment."""
        moment_ns = min(max(moment_ns, self.start_ns), self.end_ns)
        after = min(bisect_right(self._moments, moment_ns), len(self._moments) - 1)
        since, until = self._moments[after - 1 : after + 1]
        low, high = self._places[after - 1 : after + 1]
        within = (moment_ns - since) / (until - since) if until > since else 1.0
        return (low + (high - low) * within) / (self._places[-1] or 1)


def _offset(nanoseconds: int) -> str:
    return ("-" if nanoseconds < 0 else "") + duration(abs(nanoseconds))
