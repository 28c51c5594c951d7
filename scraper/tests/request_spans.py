"""The span of a request: it ends a moment after its answer, and the one of an earlier test may end just then."""

from conftest import WAIT_SECONDS
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from ml_shared.testing.servers import wait_until


def request_span(spans: InMemorySpanExporter, trace: str) -> ReadableSpan:
    """Wait for the span of the request that an answer's `X-Trace-Id` names, and return it."""

    def found() -> list[ReadableSpan]:
        of_trace = [span for span in spans.get_finished_spans() if f"{span.context.trace_id:032x}" == trace]
        return [span for span in of_trace if span.kind is SpanKind.SERVER]

    assert wait_until(lambda: bool(found()), WAIT_SECONDS), f"the request of trace {trace} has no span"
    return found()[0]
