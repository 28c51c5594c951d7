"""Spans: what they say, and that instrumentation comes before what it instruments."""

import subprocess
import sys
import time
from pathlib import Path

import httpx
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ml_shared.telemetry import attributes

SERVICE = Path(__file__).parent.parent


def named(spans: InMemorySpanExporter, awaited: str) -> dict[str, ReadableSpan]:
    """Return the finished spans by name; a request's own ends a moment after its answer."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        finished = {span.name: span for span in spans.get_finished_spans()}
        if awaited in finished:
            return finished
        time.sleep(0.01)
    raise AssertionError(f"no span {awaited}")


def test_chunk_split_sets_the_required_attributes(client: httpx.Client, spans: InMemorySpanExporter) -> None:
    secret = "a text that no span repeats"
    answer = client.post("/chunk", json={"text": secret, "job_id": "job-123"}, headers={"X-Request-Id": "span-test-1"})
    assert answer.status_code == 200
    finished = named(spans, "POST /chunk")
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
    assert answer.headers["x-trace-id"] == format(request.context.trace_id, "032x")
    assert secret not in str([span.attributes for span in finished.values()])


def test_a_direct_call_has_no_job(client: httpx.Client, spans: InMemorySpanExporter) -> None:
    client.post("/chunk", json={"text": "x"})
    (split,) = (span for span in spans.get_finished_spans() if span.name == "chunk.split")
    assert attributes.JOB_ID not in (split.attributes or {})


def test_health_and_metrics_make_no_spans(client: httpx.Client, spans: InMemorySpanExporter) -> None:
    for path in ("/health", "/health/live", "/metrics"):
        client.get(path)
    client.post("/chunk", json={"text": "x"})
    names = named(spans, "POST /chunk").keys()
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
