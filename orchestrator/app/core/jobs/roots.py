"""The roots of several jobs' traces: each job has one of its own, linked to the request that brought them all."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind

from ml_shared.names import Operation
from ml_shared.telemetry import attributes
from ml_shared.telemetry.spans import failure_code
from ml_shared.telemetry.urls import told_url

SUBMIT_SPAN: Final = "job.submit"
AT_ONCE: Final = 100
# roots made before others get their turn: one takes some tens of microseconds

_tracer = trace.get_tracer(__name__)


@asynccontextmanager
async def open_roots(jobs: Sequence[tuple[UUID, str]], corpus_name: str) -> AsyncIterator[list[str | None]]:
    """Begin the traces of jobs, given with their URLs, that are submitted within the block; yield each one's `traceparent`."""
    links = [Link(trace.get_current_span().get_span_context())]
    spans: list[Span] = []
    try:
        for number, (job_id, url) in enumerate(jobs):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            span = _tracer.start_span(SUBMIT_SPAN, context=Context(), kind=SpanKind.INTERNAL, links=links)
            spans.append(span)
            if span.is_recording():
                span.set_attributes(
                    {
                        attributes.JOB_ID: str(job_id),
                        attributes.JOB_URL: told_url(url),
                        attributes.CORPUS_NAME: corpus_name,
                        attributes.OPERATION: Operation.WRITE.value,
                    }
                )
        yield [_traceparent(span) for span in spans]
    except (asyncio.CancelledError, Exception) as error:
        for span in spans:
            span.set_attribute(attributes.ERROR_CODE, failure_code(error))
        raise
    finally:
        for span in spans:
            span.end()


def _traceparent(span: Span) -> str | None:
    """Write it as the propagator does, which takes longer for a thousand of them than all else here."""
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{trace.format_trace_id(context.trace_id)}-{trace.format_span_id(context.span_id)}-{context.trace_flags:02x}"
