"""Spans and metrics of a scrape."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from opentelemetry.trace import Span
from prometheus_client import Counter, Histogram

from app.core import errors
from app.core.errors import RobotsDisallowedError
from ml_shared.errors import InternalError, UnavailableError, UpstreamError
from ml_shared.names import Operation, RequestMode, Stage
from ml_shared.telemetry import attributes
from ml_shared.telemetry.metrics import start_at_zero
from ml_shared.telemetry.spans import CANCELLED, Value, failure_code, work_span
from ml_shared.telemetry.urls import told_url
from ml_shared.web import errors as web_errors
from ml_shared.web.urls import InvalidUrlError

if TYPE_CHECKING:
    from app.core.fetching.visiting import Visit

Metric = TypeVar("Metric", Counter, Histogram)

FETCH_SPAN: Final = "scrape.fetch"
ROBOTS_SPAN: Final = "scrape.robots"
WAIT_SPAN: Final = "scrape.wait"
REQUEST_SPAN: Final = "scrape.request"
EXTRACT_SPAN: Final = "scrape.extract"
RENDER_SPAN: Final = "scrape.render"
# a fetch is made of the three before the last: leave, a turn and a request for each hop

SUCCESS: Final = "success"
NOT_MODIFIED: Final = "not_modified"
OTHER: Final = "other"
OUTCOMES: Final = (
    SUCCESS,
    NOT_MODIFIED,
    CANCELLED,
    OTHER,
    "blocked_scheme",
    *(error.code for error in (InternalError, UnavailableError, UpstreamError, InvalidUrlError)),
    *sorted(
        error.code
        for module in (errors, web_errors)
        for error in vars(module).values()
        if getattr(error, "__module__", "") == module.__name__
    ),
)
"""What can become of a page."""

RENDER_OUTCOMES: Final = (
    SUCCESS,
    CANCELLED,
    OTHER,
    *sorted(error.code for error in (errors.RenderError, errors.RendererUnavailableError, errors.PageTooLargeError)),
)
"""What can become of rendering one."""

_LABELS: Final = ["request_mode", "operation"]
PAGES: Final = Counter(
    "ml_scrape_pages", "Pages that were asked for, by what became of them.", ["outcome", "request_mode", "operation"]
)
PAGE_BYTES: Final = Histogram(
    "ml_scrape_page_bytes",
    "Size of the pages that were fetched, decoded.",
    _LABELS,
    buckets=(1_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000),
)
BYTES: Final = Counter(
    "ml_scrape_bytes",
    "Bytes of bodies that arrived from sites, as they were sent: of pages and robots.txt, used or not.",
    _LABELS,
)
FETCH_SECONDS: Final = Histogram(
    "ml_scrape_fetch_duration_seconds",
    "Time to fetch a page or to fail to, its robots.txt, its redirects and the waits for its host's pace included.",
    _LABELS,
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60),
)
EXTRACT_SECONDS: Final = Histogram(
    "ml_scrape_extract_duration_seconds",
    "Time to turn a page into text or to fail to, the wait for a process included.",
    _LABELS,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30),
)
RENDER_SECONDS: Final = Histogram(
    "ml_scrape_render_duration_seconds",
    "Time to render a page or to fail to, the waits for a browser and for its hosts' paces included.",
    _LABELS,
    buckets=(0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60),
)
RENDERS: Final = Counter(
    "ml_scrape_renders", "Pages that a browser was to build, by what became of that.", ["outcome", *_LABELS]
)
RENDER_REQUESTS: Final = Counter(
    "ml_scrape_render_requests", "Requests that rendered pages made, by what became of them.", ["outcome", *_LABELS]
)
ROBOTS_DENIALS: Final = Counter(
    "ml_scrape_robots_denials", "Pages that were not fetched because the site's robots.txt asks not to.", _LABELS
)


class PartOutcome(StrEnum):
    """What becomes of a request that a rendered page makes."""

    FETCHED = "fetched"
    KEPT = "kept"
    FAILED = "failed"
    REFUSED = "refused"


@lru_cache(maxsize=256)
def _pages(outcome: str, mode: RequestMode) -> Counter:
    return PAGES.labels(outcome if outcome in OUTCOMES else OTHER, mode, Operation.WRITE)


@lru_cache(maxsize=32)
def _of(metric: Metric, mode: RequestMode) -> Metric:
    return metric.labels(mode, Operation.WRITE)


start_at_zero(PAGES, OUTCOMES, RequestMode, [Operation.WRITE])
start_at_zero(RENDERS, RENDER_OUTCOMES, RequestMode, [Operation.WRITE])
start_at_zero(RENDER_REQUESTS, PartOutcome, RequestMode, [Operation.WRITE])
for _metric in (PAGE_BYTES, BYTES, FETCH_SECONDS, EXTRACT_SECONDS, RENDER_SECONDS, ROBOTS_DENIALS):
    start_at_zero(_metric, RequestMode, [Operation.WRITE])


def visit_span(name: str, visit: "Visit") -> AbstractContextManager[Span]:
    """Open a span that carries what is known of a visit."""
    known: dict[str, Value] = {
        attributes.JOB_ID: visit.job_id,
        attributes.JOB_URL: told_url(visit.url),
        attributes.JOB_STAGE: attributes.JobStage.SCRAPE,
        attributes.OPERATION: Operation.WRITE.value,
        attributes.REQUEST_MODE: visit.mode.value,
        attributes.QUEUE_NAME: visit.queue_name,
    }
    return work_span(name, attributes=known, stage=Stage.SCRAPING)


@contextmanager
def fetching(visit: "Visit") -> Iterator[Span]:
    """Tell of fetching a page: a span, the time, and what came over the network whatever became of it."""
    before = visit.bytes_received
    with visit_span(FETCH_SPAN, visit) as span, _of(FETCH_SECONDS, visit.mode).time():
        try:
            yield span
        finally:
            _of(BYTES, visit.mode).inc(visit.bytes_received - before)


def fetched(span: Span, visit: "Visit", size: int) -> None:
    """Tell how long the page is that was fetched, decoded."""
    span.set_attribute(attributes.SCRAPE_RESPONSE_BYTES, size)
    _of(PAGE_BYTES, visit.mode).observe(size)


@contextmanager
def extracting(visit: "Visit") -> Iterator[None]:
    """Tell of turning a page into text."""
    with visit_span(EXTRACT_SPAN, visit), _of(EXTRACT_SECONDS, visit.mode).time():
        yield


@contextmanager
def rendering(visit: "Visit") -> Iterator[None]:
    """Tell of rendering a page, and count what came over the network for it."""
    before = visit.bytes_received
    outcome = SUCCESS
    with visit_span(RENDER_SPAN, visit), _of(RENDER_SECONDS, visit.mode).time():
        try:
            yield
        except BaseException as error:
            outcome = failure_code(error)
            raise
        finally:
            _of(BYTES, visit.mode).inc(visit.bytes_received - before)
            told = outcome if outcome in RENDER_OUTCOMES else OTHER
            RENDERS.labels(told, visit.mode, Operation.WRITE).inc()


def count_part(outcome: PartOutcome, mode: RequestMode) -> None:
    """Count a request that a rendered page made."""
    RENDER_REQUESTS.labels(outcome, mode, Operation.WRITE).inc()


@dataclass
class Ending:
    """How a page ended."""

    outcome: str = SUCCESS


@contextmanager
def counted(mode: RequestMode) -> Iterator[Ending]:
    """Count a page by how it ended: well, unless it is said otherwise or an error is raised."""
    ending = Ending()
    try:
        yield ending
    except BaseException as error:
        ending.outcome = failure_code(error)
        if isinstance(error, RobotsDisallowedError):
            _of(ROBOTS_DENIALS, mode).inc()
        raise
    finally:
        _pages(ending.outcome, mode).inc()
