"""`make trace`: the list, and what it says when there is nothing to show."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet.layout import Layout
from opentelemetry.trace import SpanKind
from trace_sink import BEGAN_NS, TRACE, MadeTrace, RunningSink, made_job, running_sink, show
from traces.store import FILE_NAME


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSink]:
    """A sink that has a job, a read and a pass."""
    with running_sink(tmp_path_factory.mktemp("fleet") / "state") as running:
        running.send(made_job().spans)
        read, own = MadeTrace(TRACE + 1, BEGAN_NS + 10**9), MadeTrace(TRACE + 2, BEGAN_NS + 2 * 10**9)
        read.add("embedding-api", "GET /corpora", 0, 5, kind=SpanKind.SERVER, http__request__method="GET")
        own.add("orchestrator", "run/orchestrator.dispatch", 0, 3, kind=SpanKind.CONSUMER)
        running.send(read.spans + own.spans)
        yield running


def running_with(layout: Layout, **environment: str) -> None:
    """Make the folder look as that of a running fleet whose services have these settings."""
    layout.make()
    layout.manager.write_text("{}")
    (layout.programs / "orchestrator.json").write_text(json.dumps({"environment": environment}))


def test_without_an_id_the_latest_work_is_listed_and_the_rest_counted(sink: RunningSink) -> None:
    said = show(sink.layout, "", columns=160).stdout.splitlines()
    assert said == [
        "began         trace                                 took  spans  errors  service       what",
        f"10:00:00.000  {TRACE:032x}    2.00 s     12       2  orchestrator  POST /jobs  0f0e0d0c https://example.org/page?token=***",
        "and 1 reads, 1 of the fleet's own passes: ARGS=--all",
    ]


def test_all_of_them_are_listed_when_asked_for(sink: RunningSink) -> None:
    said = show(sink.layout, "--all").stdout.splitlines()
    whats = [line.split()[6:8] for line in said[1:]]
    assert whats == [
        ["orchestrator", "run/orchestrator.dispatch"],
        ["embedding-api", "GET"],
        ["orchestrator", "POST"],
    ]
    assert max(map(len, said)) <= 100


@pytest.mark.parametrize("given", ["xyz", "abc", "abcdefgh", "'; DROP TABLE spans", "\x1b[2J", "%%%%"])
def test_what_is_no_id_is_told_what_one_is(sink: RunningSink, given: str) -> None:
    done = show(sink.layout, given)
    assert done.returncode == 1
    assert "is no id: a trace has 32 hexadecimal digits, a job's id is a UUID" in done.stderr
    assert "\x1b" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_unknown_id_is_told_what_is_kept(sink: RunningSink) -> None:
    done = show(sink.layout, "1234567")
    assert done.returncode == 1
    assert done.stderr == "No trace or job begins with 1234567. 3 traces are kept, the older ones are gone.\n"


def test_several_that_begin_alike_are_named(sink: RunningSink) -> None:
    done = show(sink.layout, "abcdef")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Several begin with abcdef:",
        *(f"  trace {TRACE + number:032x}" for number in range(3)),
    ]


def test_without_a_store_it_says_how_to_get_one(tmp_path: Path) -> None:
    done = show(Layout(tmp_path / "none"))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "No trace has been kept here yet.",
        "`make up` starts a fleet that keeps its traces, `make demo` one that has something to show.",
    ]
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"}, "sends its spans to http://127.0.0.1:4317"),
        ({"OTEL_TRACES_EXPORTER": "none"}, "makes none; `make down` and `make up` start one that keeps them"),
    ],
)
def test_it_says_where_the_traces_of_the_fleet_that_runs_are(
    tmp_path: Path, environment: dict[str, str], words: str
) -> None:
    layout = Layout(tmp_path / "state")
    running_with(layout, **environment)
    assert words in show(layout, "abcd").stderr


def test_a_store_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "state")
    layout.make()
    layout.traces.mkdir()
    (layout.traces / FILE_NAME).write_text("no database at all" * 100)
    done = show(layout, "abcd")
    assert done.returncode == 1
    assert "can't be read" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_trace_whose_only_span_was_too_large_is_told(tmp_path: Path) -> None:
    from traces.spans import Kind, Span
    from traces.store import Bounds, Store

    layout = Layout(tmp_path / "state")
    layout.make()
    layout.traces.mkdir()
    with Store(layout.traces / FILE_NAME, Bounds(bytes_of_a_trace=1)) as store:
        store.add([Span("ab" * 16, "cd" * 8, "", "scraper", "x", Kind.SERVER, BEGAN_NS, BEGAN_NS + 1)])
    assert "its spans are too large" in show(layout, "abab").stderr
    assert show(layout).returncode == 0
