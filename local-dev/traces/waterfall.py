"""A trace as lines for a terminal: each span with when, how long, where and what, who waited, and what was logged."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from ml_shared.telemetry import attributes
from traces import telling
from traces.columns import WAIT, Columns, Row, Scale
from traces.lines import Line
from traces.reading import Summary
from traces.spans import Kind, Span, is_expected
from traces.terminal import Terminal, duration, fitted, shown, width_of
from traces.tree import LEAST_WAIT_NS, Node, forest_of, idle_times

LINES_OF_A_SPAN = 4
MOST_SPANS = 300
# nobody reads more; `everything` shows the rest
MOST_JOBS = 3
# of a trace that has several
FAILED, LOGGED = "✗ ", "│ "
_COLOURS = ("cyan", "green", "blue", "magenta", "yellow")
_LOUDNESS = ("dim", "yellow", "red", "red")


@dataclass(slots=True)
class Hidden:
    """What the short view has left out."""

    folded: int = 0
    spans: int = 0
    lines: int = 0

    @property
    def words(self) -> str:
        """What it is, for the reader; empty when it is nothing."""
        counts = ((self.folded + self.spans, "span"), (self.lines, "log line"))
        return " and ".join(telling.of_number(count, what) for count, what in counts if count)


class Waterfall:
    """One trace, laid out for a terminal.

    Parameters
    ----------
    lines
        Its log lines.
    everything
        Whether each span has a line of its own, with all of its attributes, and each log line is there in full.
    """

    def __init__(
        self, summary: Summary, spans: list[Span], lines: list[Line], terminal: Terminal, *, everything: bool = False
    ) -> None:
        self._summary = summary
        self._spans = spans
        self._terminal = terminal
        self._everything = everything
        self._lines, self._lines_of_none = _by_span(lines, spans)
        services = list(dict.fromkeys(span.service for span in spans))
        self._colours = {shown(name): _COLOURS[place % len(_COLOURS)] for place, name in enumerate(services)}
        width = max(width_of(name) for name in ["service", *self._colours, *(shown(line.source) for line in lines)])
        self._columns = Columns(terminal, Scale(spans), width, self._colours, wrapped=everything)
        self.hidden = Hidden()

    def show(self) -> Iterator[str]:
        """Yield its lines."""
        yield from self._head()
        yield ""
        yield self._columns.head()
        for row in self._rows():
            yield from self._columns.lay(row)

    def _head(self) -> Iterator[str]:
        summary = self._summary
        start, end = min(span.start_ns for span in self._spans), max(span.end_ns for span in self._spans)
        facts = [duration(end - start), telling.of_number(len(self._spans), "span")]
        facts.append(telling.of_number(len(self._colours), "service"))
        facts.append(telling.of_number(summary.errors, "error") if summary.errors else "no errors")
        idle = sum(until - since for since, until in idle_times(self._spans))
        if idle >= LEAST_WAIT_NS:
            facts.append(f"nothing ran for {duration(idle)}")
        began = datetime.fromtimestamp(start / 1e9, UTC).astimezone().isoformat(" ", "milliseconds")
        yield f"{self._terminal.paint(shown(summary.name), 'bold')}  {', '.join(facts)}"
        yield f"trace  {summary.trace_id}  began {began}"
        for job_id, url in islice(summary.jobs.items(), MOST_JOBS):
            yield fitted(f"job    {shown(job_id)}  {shown(url)}".rstrip(), self._terminal.columns)
        if len(summary.jobs) > MOST_JOBS:
            yield f"       … {len(summary.jobs) - MOST_JOBS} more jobs"

    def _rows(self) -> Iterator[Row]:
        jobs = self._summary.jobs
        head = {}
        if len(jobs) == 1:
            ((head[attributes.JOB_ID], head[attributes.JOB_URL]),) = jobs.items()
        told = 0
        for root in forest_of(self._spans, folded=not self._everything):
            known: dict[int, telling.Known] = {-1: head}
            for depth, node in root.walk():
                if told == MOST_SPANS and not self._everything:
                    self.hidden.spans += len(node.told)
                    continue
                told += 1
                self.hidden.folded += len(node.told) - 1
                parts, known[depth] = telling.told_of(node, known[depth - 1])
                yield from self._rows_of(node, depth, parts)
        if self._lines_of_none:
            yield Row("logged outside of these spans", 0)
            yield from self._rows_of_lines(self._lines_of_none, 1)

    def _rows_of(self, node: Node, depth: int, parts: list[str]) -> Iterator[Row]:
        span = node.span
        if node.waited_since_ns is not None:
            took = span.start_ns - node.waited_since_ns
            queue = span.attributes.get(attributes.QUEUE_NAME) if span.kind is Kind.CONSUMER else None
            text = f"waited {duration(took)}" + (f" in queue {shown(str(queue))}" if queue else "")
            yield Row(text, depth, node.waited_since_ns, took, style="yellow", mark=WAIT)
        style = "red" if span.error else ""
        name = FAILED + shown(span.name) if span.error else shown(span.name)
        asides = (*parts, "(its parent is not here)") if node.orphan else tuple(parts)
        yield Row(name, depth, span.start_ns, span.end_ns - span.start_ns, shown(span.service), asides, style)
        if self._everything and (rest := telling.all_of(span)):
            yield Row(rest, depth + 1, style="dim")
        for event in span.events:
            if self._everything or not is_expected(event):
                yield Row(telling.told_event(event), depth + 1, event.at_ns, style=style)
            if self._everything:
                yield from (Row(line, depth + 1, style="dim") for line in telling.trail_of(event))
        lines = [line for one in node.told for line in self._lines.get(one.span_id, ())]
        yield from self._rows_of_lines(sorted(lines, key=lambda line: line.at_ns or 0), depth + 1)

    def _rows_of_lines(self, lines: list[Line], depth: int) -> Iterator[Row]:
        chosen = lines
        if not self._everything and len(lines) > LINES_OF_A_SPAN:
            loudest = sorted(range(len(lines)), key=lambda place: -lines[place].severity)[:LINES_OF_A_SPAN]
            chosen = [lines[place] for place in sorted(loudest)]
        for line in chosen:
            # nginx writes the second in which a request ended
            at_ns = None if line.is_access else line.at_ns
            text = LOGGED + telling.told_line(line, everything=self._everything)
            yield Row(text, depth, at_ns, service=shown(line.source), style=_LOUDNESS[line.severity])
        if left := len(lines) - len(chosen):
            self.hidden.lines += left
            yield Row(f"… {left} more", depth, style="dim")


def _by_span(lines: list[Line], spans: list[Span]) -> tuple[dict[str, list[Line]], list[Line]]:
    """Return the lines of each span, and those of none; nginx, which knows no spans, names the request."""
    ids = {span.span_id for span in spans}
    requests = {
        str(span.attributes[attributes.HTTP_REQUEST_ID]): span.span_id
        for span in spans
        if span.kind is Kind.SERVER and attributes.HTTP_REQUEST_ID in span.attributes
    }
    found: dict[str, list[Line]] = defaultdict(list)
    of_none = []
    for line in lines:
        span_id = str(line.fields.get("span_id") or requests.get(str(line.fields.get("request_id"))))
        if span_id in ids:
            found[span_id].append(line)
        else:
            of_none.append(line)
    return found, of_none
