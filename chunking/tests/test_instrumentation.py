"""Spans: what they say, and that instrumentation comes before what it instruments."""

import subprocess
import sys
from pathlib import Path

import httpx
from conftest import WAIT_SECONDS
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ml_shared.telemetry import attributes
from ml_shared.testing.servers import wait_until

SERVICE = Path(__file__).parent.parent


def spans_of(spans: InMemorySpanExporter, answer: httpx.Response) -> dict[str, ReadableSpan]:
    """Return the spans of a request by name: its own ends a moment after its answer, and an earlier test's may just then."""

    def of_trace() -> dict[str, ReadableSpan]:
        trace = answer.headers["x-trace-id"]
        return {span.name: span for span in spans.get_finished_spans() if f"{span.context.trace_id:032x}" == trace}

    assert wait_until(lambda: "POST /chunk" in of_trace(), WAIT_SECONDS), f"no span of the request: {of_trace()}"
    return of_trace()


def test_chunk_split_sets_the_required_attributes(client: httpx.Client, spans: InMemorySpanExporter) -> None:
    secret = "a text that no span repeats"
    answer = client.post("/chunk", json={"text": secret, "job_id": "job-123"}, headers={"X-Request-Id": "span-test-1"})
    assert answer.status_code == 200
    finished = spans_of(spans, answer)
    split = finished["chunk.split"]
    assert split.attributes is not None
    assert dict(split.attributes) == {
        attributes.JOB_ID: "job-123",
        attributes.JOB_STAGE: "chunk",
        attributes.REQUEST_MODE: "sync",
        attributes.OPERATION: "write",
        attributes.CHUNK_COUNT: 1,
    }
    request = finished["POST /chunk"]
    assert split.parent is not None
    assert split.parent.span_id == request.context.span_id
    assert request.attributes is not None
    assert request.attributes[attributes.HTTP_REQUEST_ID] == "span-test-1"
    assert secret not in str([span.attributes for span in finished.values()])


def test_a_direct_call_has_no_job(client: httpx.Client, spans: InMemorySpanExporter) -> None:
    client.post("/chunk", json={"text": "x"})
    (split,) = (span for span in spans.get_finished_spans() if span.name == "chunk.split")
    assert attributes.JOB_ID not in (split.attributes or {})


def test_health_and_metrics_make_no_spans(client: httpx.Client, spans: InMemorySpanExporter) -> None:
    for path in ("/health", "/health/live", "/metrics"):
        client.get(path)
    spans_of(spans, client.post("/chunk", json={"text": "x"}))  # after it theirs would have ended, too
    names = [span.name for span in spans.get_finished_spans()]
    assert not [name for name in names if "health" in name or "metrics" in name]


def test_telemetry_starts_before_fastapi_is_imported() -> None:
    program = (
        "import sys, instrumentation; assert 'fastapi' not in sys.modules; "
        "import app.main; assert app.main.app._is_instrumented_by_opentelemetry"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=SERVICE, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_core_knows_neither_http_nor_celery() -> None:
    for module in (SERVICE / "app" / "core").glob("*.py"):
        source = module.read_text()
        assert not any(name in source for name in ("fastapi", "starlette", "celery", "app.api")), module.name
