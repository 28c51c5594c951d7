"""Spans and metrics of a scrape."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode
from prometheus_client import Counter, Histogram

from app.core.visiting import Visit
from ml_shared import attributes
from ml_shared.errors import ServiceError
from ml_shared.names import Operation, RequestMode
from ml_shared.settings import without_password

FETCH_SPAN: Final = "scrape.fetch"
EXTRACT_SPAN: Final = "scrape.extract"
SUCCESS: Final = "success"

PAGES: Final = Counter(
    "ml_scrape_pages", "Pages that were asked for, by what became of them.", ["outcome", "request_mode", "operation"]
)
PAGE_BYTES: Final = Histogram(
    "ml_scrape_page_bytes",
    "Size of the pages that were fetched, decoded.",
    ["request_mode", "operation"],
    buckets=(1_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000),
)

_tracer = trace.get_tracer("scraper")


def shown_url(url: str) -> str:
    """Return a URL as it may stand on spans: without user information, whatever it is."""
    try:
        return without_password(url)
    except ValueError:
        return "invalid"


@contextmanager
def visit_span(name: str, visit: Visit) -> Iterator[Span]:
    """Open a span that carries what is known of a visit. An expected failure is a code on it, not a stack trace."""
    known = {
        attributes.JOB_ID: visit.job_id,
        attributes.JOB_URL: shown_url(visit.url),
        attributes.JOB_STAGE: attributes.JobStage.SCRAPE,
        attributes.REQUEST_MODE: str(visit.mode),
        attributes.QUEUE_NAME: visit.queue_name,
    }
    with _tracer.start_as_current_span(
        name,
        attributes={key: value for key, value in known.items() if value is not None},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except ServiceError as error:
            span.set_attribute(attributes.ERROR_CODE, error.code)
            span.set_status(Status(StatusCode.ERROR, error.code))
            raise


@contextmanager
def counted(mode: RequestMode) -> Iterator[None]:
    """Count a page by how it ended."""
    outcome = "cancelled"
    try:
        yield
        outcome = SUCCESS
    except ServiceError as error:
        outcome = error.code
        raise
    except Exception:
        outcome = "internal_error"
        raise
    finally:
        PAGES.labels(outcome, mode, Operation.WRITE).inc()


def observe_bytes(mode: RequestMode, size: int) -> None:
    """Count the bytes of a page that was fetched."""
    PAGE_BYTES.labels(mode, Operation.WRITE).observe(size)
