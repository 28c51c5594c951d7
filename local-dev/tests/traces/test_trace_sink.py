"""The sink as services see it: real exporters send real spans over the wire to a real process."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanKind
from trace_sink import BEGAN_NS, JOB, TRACE, MadeTrace, RunningSink, made_job, running_sink, show
from traces.reading import opened
from traces.sink import MESSAGE_BYTES
from traces.store import FILE_NAME, Bounds

MEMORY_BYTES = 100 * 2**20
# it takes half of that


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[RunningSink]:
    with running_sink(tmp_path / "state") as running:
        yield running


def kept(sink: RunningSink) -> dict[str, int]:
    """Return how many spans of each trace there are."""
    with opened(sink.layout.traces) as reader:
        return {summary.trace_id: summary.spans for summary in reader.latest(-1)}


def work(trace_id: int, began_ns: int = BEGAN_NS) -> MadeTrace:
    """A trace of one span that somebody would ask for."""
    made = MadeTrace(trace_id, began_ns)
    made.add("scraper", "POST /scrape", 0, 1, kind=SpanKind.SERVER, http__request__method="POST")
    return made


@pytest.mark.parametrize("given", [f"{TRACE:032x}", "abcd", JOB, JOB[:9], JOB.upper()])
def test_what_exporters_send_is_found_by_the_trace_or_the_job_or_the_beginning_of_either(
    sink: RunningSink, given: str
) -> None:
    assert sink.send(made_job().spans) is SpanExportResult.SUCCESS
    with opened(sink.layout.traces) as reader:
        spans = reader.spans(reader.find(given))
    assert [(span.service, span.name, span.start_ns - BEGAN_NS, span.error) for span in spans[:2]] == [
        ("orchestrator", "POST /jobs", 0, False),
        ("orchestrator", "job.submit", 2_000_000, False),
    ]
    assert spans[1].parent_id == spans[0].span_id
    assert spans[1].attributes["job.id"] == JOB
    assert [span.message for span in spans if span.error] == ["extraction_failed", "internal_error"]
    assert {link for span in spans for link in span.links} == {f"{0x1234 << 112:032x}"}


def test_a_services_own_processor_sends_in_batches_and_all_of_them_arrive(sink: RunningSink) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{sink.port}")
    provider.add_span_processor(BatchSpanProcessor(exporter, max_export_batch_size=50))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("POST /chunk", kind=SpanKind.SERVER):
        for _ in range(199):
            tracer.start_span("chunk.split").end()
    provider.shutdown()
    assert list(kept(sink).values()) == [200]


def test_a_batch_that_is_sent_again_is_kept_once(sink: RunningSink) -> None:
    spans = made_job().spans
    sink.send(spans[:7])
    sink.send(spans)
    assert kept(sink) == {f"{TRACE:032x}": len(spans)}


def test_the_1001st_trace_pushes_out_the_oldest_whole(sink: RunningSink) -> None:
    most = Bounds().traces
    for first in range(0, most + 1, 500):
        numbers = range(first + 1, min(first + 500, most + 1) + 1)
        sink.send([span for number in numbers for span in work(number, BEGAN_NS + number).spans])
    left = kept(sink)
    assert len(left) == most
    assert f"{1:032x}" not in left
    assert f"{2:032x}" in left
    assert f"{most + 1:032x}" in left


def test_a_trace_with_too_many_spans_is_cut_and_says_so(sink: RunningSink) -> None:
    most = Bounds().spans_of_a_trace
    made = made_job()
    for number in range(most - len(made.spans) + 3):
        made.add("scraper", "more", number, number + 1)
    for first in range(0, len(made.spans), 500):
        sink.send(made.spans[first : first + 500])
    assert kept(sink) == {f"{TRACE:032x}": most}
    assert "3 spans more came than are kept of one trace" in show(sink.layout, "abcd").stdout


def test_a_message_that_is_too_large_is_refused_and_the_next_one_is_kept(sink: RunningSink) -> None:
    made = MadeTrace()
    made.add("scraper", "huge", 0, 1, page="x" * MESSAGE_BYTES)
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{sink.port}", timeout=1)
    assert exporter.export(made.spans) is SpanExportResult.FAILURE
    exporter.shutdown()
    assert kept(sink) == {}
    assert sink.send(made_job().spans) is SpanExportResult.SUCCESS
    assert list(kept(sink)) == [f"{TRACE:032x}"]


def test_many_spans_take_it_neither_much_memory_nor_disk(sink: RunningSink) -> None:
    for number in range(20):
        made = MadeTrace(number + 1)
        for place in range(500):
            made.add("scraper", "scrape.fetch", place, place + 1, statement="x" * 2_000)
        assert sink.send(made.spans) is SpanExportResult.SUCCESS
    assert psutil.Process(sink.process.pid).memory_info().rss < MEMORY_BYTES
    size = sum(file.stat().st_size for file in sink.layout.traces.iterdir())
    assert size < 20 * 500 * 2_000  # texts are cut to half of that


def test_traces_are_there_after_a_restart_and_while_no_sink_runs(tmp_path: Path) -> None:
    with running_sink(tmp_path / "state") as first:
        first.send(made_job().spans)
    assert f"{TRACE:032x}" in show(first.layout, columns=200).stdout
    with running_sink(tmp_path / "state") as second:
        second.send(work(7).spans)
        assert list(kept(second)) == [f"{TRACE:032x}", f"{7:032x}"]


@pytest.mark.parametrize(
    "content", [b"no database at all, but a text that is long enough" * 100, b"", b"SQLite format 3\0"]
)
def test_a_damaged_file_is_made_anew(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "state" / "data" / "traces"
    folder.mkdir(parents=True)
    (folder / FILE_NAME).write_bytes(content)
    (folder / f"{FILE_NAME}-wal").write_bytes(b"left by a crash")
    with running_sink(tmp_path / "state") as sink:
        assert sink.send(made_job().spans) is SpanExportResult.SUCCESS
        assert list(kept(sink)) == [f"{TRACE:032x}"]


def test_it_listens_on_a_port_of_its_own_alone(sink: RunningSink) -> None:
    with pytest.raises(AssertionError, match="did not start"), running_sink(sink.layout.state, port=sink.port):
        pass
