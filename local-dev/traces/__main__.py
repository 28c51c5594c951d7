"""The last traces of the fleet: `python -m traces` lists them, `python -m traces ID` shows one as a waterfall.

An ID is a trace's, a job's, or the beginning of one.
"""

import argparse
import io
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from fleet.layout import DEFAULT_STATE, Layout, make
from fleet.telemetry import ENDPOINT, keeps_traces, spans_go_to

from traces.lines import lines_of
from traces.reading import NoStoreError, NotFoundError, Summary, TraceReader, opened
from traces.store import Worth
from traces.telling import SHORT_ID, of_number
from traces.terminal import Terminal, duration, fitted, padded, shown, terminal_of, width_of
from traces.waterfall import Waterfall

LISTED = 20
ON_THEIR_WAY_SECONDS = 3
# services send each second, and what they sent is kept at once
SHORT_JOB_ID = 8
WIDE_COLUMNS = 150
# of a terminal that has room for whole ids
ALL = "ARGS=--all"


def show_trace(reader: TraceReader, logs: Path, given: str, terminal: Terminal, *, everything: bool) -> Iterator[str]:
    """Yield the lines of a trace's waterfall."""
    summary = reader.summary(reader.find(given))
    spans = reader.spans(summary.trace_id)
    if not spans:
        raise NotFoundError(f"Of {summary.trace_id} nothing is kept: its spans are too large.")
    lines = lines_of(logs, summary.trace_id, summary.start_ns)
    waterfall = Waterfall(summary, spans, lines, terminal, everything=everything)
    yield from waterfall.show()
    notes = []
    if waterfall.hidden.words:
        notes.append(f"{waterfall.hidden.words} without a line here; {ALL} shows all, with every attribute")
    if summary.left_out:
        notes.append(f"{of_number(summary.left_out, 'span')} more came than are kept of one trace")
    if time.time() - summary.end_ns / 1e9 < ON_THEIR_WAY_SECONDS:
        notes.append("it is seconds old: more of it may be on its way")
    yield from (terminal.paint(note, "dim") for note in notes)


def list_traces(reader: TraceReader, terminal: Terminal, *, everything: bool) -> Iterator[str]:
    """Yield a line for each of the latest traces."""
    counts = reader.counts()
    found = reader.latest(-1, Worth.OWN) if everything else reader.latest(LISTED, Worth.WORK)
    if found:
        ids = 32 if terminal.columns >= WIDE_COLUMNS else SHORT_ID
        services = max(width_of(shown(summary.service)) for summary in found)
        head = (
            f"{'began':<12}  {'trace':<{ids}}  {'took':>8}  {'spans':>5}  {'errors':>6}  {'service':<{services}}  what"
        )
        yield terminal.paint(head, "dim")
        yield from (_listed(summary, ids, services, terminal) for summary in found)
    if not everything:
        others = (
            (counts[Worth.WORK] - len(found), "earlier ones"),
            (counts[Worth.READ], "reads"),
            (counts[Worth.OWN], "of the fleet's own passes"),
        )
        told = ", ".join(f"{number:,} {what}" for number, what in others if number > 0)
        if told:
            yield terminal.paint(f"and {told}: {ALL}", "dim")
    if not any(counts.values()):
        yield "No trace is kept yet: it takes a request to the fleet, and a second."


def _listed(summary: Summary, ids: int, services: int, terminal: Terminal) -> str:
    began = datetime.fromtimestamp(summary.start_ns / 1e9, UTC).astimezone().strftime("%H:%M:%S.%f")[:12]
    took = duration(summary.end_ns - summary.start_ns)
    errors = f"{summary.errors or '-':>6}"
    jobs = [f"{job_id[:SHORT_JOB_ID]} {url}" for job_id, url in summary.jobs.items()]
    if len(jobs) > 1:
        jobs = [of_number(len(jobs), "job")]
    what = f"{padded(shown(summary.service), services)}  {'  '.join(map(shown, [summary.name, *jobs]))}"
    before = f"{began}  {summary.trace_id[:ids]}  {took:>8}  {summary.spans:>5}  "
    what = fitted(what, terminal.columns - len(before) - len(errors) - 2)
    return f"{before}{terminal.paint(errors, 'red' if summary.errors else '')}  {what}"


def of_the_fleet(layout: Layout) -> str:
    """Return where the traces of the fleet that runs are, if they are not here, and else how to get one that has some."""
    if endpoint := spans_go_to(layout):
        here = "keeps its traces here" if keeps_traces(layout) else f"sends its spans to {endpoint} ({ENDPOINT})"
        return f"The fleet that runs {here}."
    if layout.manager.exists():
        return f"The fleet that runs makes none; `{make('down')}` and `{make('up')}` start one that keeps them."
    return f"`{make('up')}` starts a fleet that keeps its traces, `{make('demo')}` one that has something to show."


def main(arguments: list[str] | None = None) -> int:
    """Show a trace, or list the latest, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m traces", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("id", nargs="?", default="", help="of a trace or a job, or the beginning of one")
    parser.add_argument("--all", action="store_true", help="everything: each span, attribute and log line; each trace")
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="the fleet's folder")
    chosen = parser.parse_args(arguments)
    layout = Layout(chosen.state.absolute())
    terminal = terminal_of(sys.stdout, os.environ)
    try:
        with opened(layout.traces) as reader:
            if chosen.id:
                lines = show_trace(reader, layout.logs, chosen.id, terminal, everything=chosen.all)
            else:
                lines = list_traces(reader, terminal, everything=chosen.all)
            for line in lines:
                print(line)
    except NotFoundError as error:
        print(error, file=sys.stderr)
        if isinstance(error, NoStoreError) or (layout.manager.exists() and not keeps_traces(layout)):
            print(of_the_fleet(layout), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` has seen enough
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # not every terminal has a sign for a bar
    sys.exit(main())
