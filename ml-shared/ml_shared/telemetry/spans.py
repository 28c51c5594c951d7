"""Work in traces and logs: the spans of business work, and the lines of what failed while a request waited for it."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from ml_shared.errors import InternalError, ServiceError
from ml_shared.instrumentation import record_error
from ml_shared.names import Stage
from ml_shared.telemetry import attributes, logs

logger = logging.getLogger(__name__)

CANCELLED: Final = "cancelled"
# the code of work that was stopped: its caller went away, or its time was up
Value = str | int | float | bool | None

_tracer = trace.get_tracer(__name__)


@contextmanager
def work_span(  # `attributes`, as OpenTelemetry names it, hides the module of that name here
    name: str, *, attributes: Mapping[str, Value], stage: Stage | None = None
) -> Iterator[Span]:
    """Open a span of one piece of work; it also carries the job that this context works for.

    A failure that was foreseen is a code on it, not a stack trace; one that nobody foresaw is recorded, masked.

    Parameters
    ----------
    attributes
        By the vocabulary's constants. `None` is left out.
    stage
        What has failed when this fails for good; none for what is no stage's work.
    """
    carried = _carried(attributes)
    with _tracer.start_as_current_span(
        name, None, SpanKind.INTERNAL, carried, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except (asyncio.CancelledError, Exception) as error:
            _tell(span, error, stage)
            raise


def _carried(given: Mapping[str, Value]) -> dict[str, str | int | float | bool]:
    known = {attributes.JOB_ID: logs.JOB_ID.get(), **given}
    return {key: value for key, value in known.items() if value is not None}


def failure_code(error: BaseException) -> str:
    """Return the stable code of whatever ended a piece of work; metrics and spans say the same."""
    if isinstance(error, ServiceError):
        return error.code
    return InternalError.code if isinstance(error, Exception) else CANCELLED  # or a worker that is being stopped


@contextmanager
def direct_work(stage: Stage, job_id: str | None) -> Iterator[None]:
    """Put a job on the log lines and spans of a stage's work that a request waits for, and log how it failed.

    A worker's base task does the same for what comes through a queue.
    """
    with logs.job_context(job_id):
        try:
            yield
        except Exception as error:
            code = failure_code(error)
            detail = error.detail if isinstance(error, ServiceError) else type(error).__name__
            logger.warning("the work failed: %s", detail, extra={"error_code": code, "failed_stage": stage.value})
            raise


def _tell(span: Span, error: BaseException, stage: Stage | None) -> None:
    code = failure_code(error)
    span.set_attribute(attributes.ERROR_CODE, code)
    if code == CANCELLED:
        return
    span.set_status(Status(StatusCode.ERROR, code))
    if stage is not None and not (isinstance(error, ServiceError) and error.retryable):
        span.set_attribute(attributes.FAILED_STAGE, stage.value)
    if not isinstance(error, ServiceError):
        record_error(span, error)
