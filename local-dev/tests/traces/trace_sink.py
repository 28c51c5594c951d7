"""A real sink in a process of its own, real exporters that send to it, and a trace whose ids and times are known."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fleet.layout import LOCAL_DEV, Layout
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, set_span_in_context

from ml_shared.testing import guard

BEGAN_NS = int(datetime(2026, 3, 1, 10, tzinfo=UTC).timestamp()) * 10**9
TRACE = 0xABCDEF00 << 96
JOB = "0f0e0d0c-0b0a-4908-8706-050403020100"
MILLISECOND = 10**6
READY_SECONDS = 120


@dataclass(frozen=True)
class RunningSink:
    """Where the sink listens, and the state folder that it keeps traces in."""

    layout: Layout
    port: int
    process: "subprocess.Popen[str]"

    def send(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch as a service does."""
        exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{self.port}", timeout=60)
        try:
            return exporter.export(spans)
        finally:
            exporter.shutdown()


@contextmanager
def running_sink(state: Path, port: int = 0) -> Iterator[RunningSink]:
    """Run a sink until the block ends; it then ends in order."""
    layout = Layout(state)
    layout.make()
    layout.traces.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "traces.sink", "--port", str(port), "--folder", str(layout.traces)]
    with subprocess.Popen(command, cwd=LOCAL_DEV, stdout=subprocess.PIPE, text=True) as process:
        guard.watch_process(process.pid)
        try:
            assert process.stdout is not None
            ready = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert ready, "the sink did not start"
            yield RunningSink(layout, int(ready[1]), process)
        finally:
            process.terminate()
            try:
                status = process.wait(READY_SECONDS)
            finally:
                process.kill()
                guard.forget_process(process.pid)
    assert status == 0


def show(layout: Layout, *arguments: str, columns: int = 100, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run what `make trace` runs, its output not a terminal."""
    known = {"PATH": os.environ["PATH"], "TZ": "UTC", "PWD": str(LOCAL_DEV), "COLUMNS": str(columns), **environment}
    return subprocess.run(
        [sys.executable, "-m", "traces", "--state", str(layout.state), *arguments],
        cwd=LOCAL_DEV,
        env=known,
        capture_output=True,
        text=True,
        check=False,
        timeout=READY_SECONDS,
    )


class _Numbered(IdGenerator):
    """Ids that a golden text can name: traces as they are told, spans 1, 2, 3."""

    def __init__(self, trace_id: int) -> None:
        self._trace_id = trace_id
        self._spans = 0

    def generate_span_id(self) -> int:
        self._spans += 1
        return self._spans

    def generate_trace_id(self) -> int:
        return self._trace_id


class MadeTrace:
    """Spans of the SDK with known ids and times, of several services."""

    def __init__(self, trace_id: int = TRACE, began_ns: int = BEGAN_NS) -> None:
        self._ids = _Numbered(trace_id)
        self._began = began_ns
        self._providers: dict[str, TracerProvider] = {}
        self.spans: list[ReadableSpan] = []

    def add(
        self,
        service: str,
        name: str,
        begin_ms: float,
        end_ms: float,
        parent: Span | None = None,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[int] = (),
        error: str | None = None,
        raised: BaseException | None = None,
        **attributes: str | int,
    ) -> Span:
        """Add a span; attributes have `__` for each dot."""
        resource = Resource({"service.name": service})
        provider = self._providers.setdefault(
            service, TracerProvider(id_generator=self._ids, resource=resource, shutdown_on_exit=False)
        )
        span = provider.get_tracer("made").start_span(
            name,
            context=set_span_in_context(parent) if parent else None,
            kind=kind,
            start_time=self._began + int(begin_ms * MILLISECOND),
            attributes={key.replace("__", "."): value for key, value in attributes.items()},
            links=[Link(SpanContext(link, 1, is_remote=True)) for link in links],
        )
        if raised is not None:
            span.record_exception(raised, timestamp=self._began + int(end_ms * MILLISECOND))
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(self._began + int(end_ms * MILLISECOND))
        assert isinstance(span, Span)
        self.spans.append(span)
        return span


def made_job() -> MadeTrace:
    """A job whose page is fetched after it has waited in a queue, and can't be turned into text."""
    made = MadeTrace()
    job = {"job__id": JOB, "job__url": "https://example.org/page?token=***"}
    submit = made.add(
        *("orchestrator", "POST /jobs", 0, 12),
        kind=SpanKind.SERVER,
        http__request__method="POST",
        http__response__status_code=202,
        http__request_id="request-1",
    )
    work = made.add("orchestrator", "job.submit", 2, 8, submit, **job)
    for place in range(3):
        made.add(
            *("orchestrator", "INSERT", 3 + place, 3.5 + place, work),
            kind=SpanKind.CLIENT,
            db__system="postgresql",
            db__statement="INSERT INTO jobs VALUES ($1)",
        )
    dispatch = made.add(
        *("orchestrator", "dispatch.job", 512, 530, submit), links=[0x1234 << 112], dispatch__stage="scraping", **job
    )
    call = made.add(
        "orchestrator", "POST", 514, 524, dispatch, kind=SpanKind.CLIENT, http__url="http://127.0.0.1/enqueue"
    )
    enqueue = made.add(
        "scraper", "POST /enqueue", 515, 523, call, kind=SpanKind.SERVER, http__response__status_code=202
    )
    publish = made.add("scraper", "apply_async/scraper.scrape_url", 518, 520, enqueue, kind=SpanKind.PRODUCER)
    run = made.add(
        *("scraper", "run/scraper.scrape_url", 1_750, 2_000, publish),
        kind=SpanKind.CONSUMER,
        error="extraction_failed",
        queue__name="scraper",
        error__code="extraction_failed",
        **job,
    )
    made.add("scraper", "scrape.fetch", 1_760, 1_900, run, scrape__response_bytes=4_096, **job)
    made.add(
        *("scraper", "scrape.extract", 1_900, 1_990, run),
        raised=ValueError("no text in https://example.org/page?token=s3cret"),
        error="internal_error",
        **job,
    )
    return made


def log_line(layout: Layout, process: str, after_ms: float, span_id: int | None, event: str, **fields: object) -> None:
    """Write a line into a process' log, as ml_shared does."""
    at = datetime.fromtimestamp(BEGAN_NS / 1e9 + after_ms / 1e3, UTC).isoformat()
    line = {"timestamp": at, "level": "INFO", "logger": "audit", "event": event, "trace_id": f"{TRACE:032x}"}
    known = {} if span_id is None else {"span_id": f"{span_id:016x}"}
    with layout.log(process).open("a") as file:
        file.write(json.dumps({**line, **known, **fields}) + "\n")
