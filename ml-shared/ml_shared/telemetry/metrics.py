"""The Prometheus metrics that every service has, and how they are read.

Several processes serve one container. With `PROMETHEUS_MULTIPROC_DIR` set each keeps its numbers in files of that
folder, and a scrape adds them up, whichever process answers it. Labels are of low cardinality: never a job, a URL, a
caller or a corpus.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest, start_http_server
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from ml_shared.names import Operation, RequestMode
from ml_shared.telemetry.metric_files import fold_dead_processes, locked, remove_other_processes

logger = logging.getLogger(__name__)

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
REQUEST_BUCKETS_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TASK_BUCKETS_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
# others are the caller's invention, and would each be a new series
READ_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_FAILED: Final = 500
UNMATCHED_ROUTE: Final = "unmatched"
# what has no route is one label value: a path would be the caller's choice

REQUESTS: Final = Counter(
    "ml_http_requests",
    "Requests answered.",
    ["service", "route", "method", "status", "request_mode", "operation"],
)
REQUEST_SECONDS: Final = Histogram(
    "ml_http_request_duration_seconds",
    "Time from a request's arrival to the last byte of its answer.",
    ["service", "route", "request_mode", "operation"],
    buckets=REQUEST_BUCKETS_SECONDS,
)
TASKS: Final = Counter(
    "ml_task_outcomes",
    "Task runs that ended, by how.",
    ["service", "task", "outcome", "request_mode", "operation"],
)
TASK_SECONDS: Final = Histogram(
    "ml_task_duration_seconds",
    "Time that a task ran.",
    ["service", "task", "request_mode", "operation"],
    buckets=TASK_BUCKETS_SECONDS,
)
CALLBACKS: Final = Counter(
    "ml_callback_outcomes",
    "Reports to the orchestrator, by how they ended.",
    ["service", "report", "outcome", "request_mode", "operation"],
)
QUEUE_REJECTIONS: Final = Counter(
    "ml_queue_rejections",
    "Tasks that were not taken in, by why.",
    ["service", "queue", "reason", "request_mode", "operation"],
)
_QUEUED: Final = (RequestMode.ASYNC.value, Operation.WRITE.value)
# what goes through a queue; nothing is read that way
TASK_OUTCOMES: Final = ("success", "failure", "retry", "given_back", "killed")
STAGE_OUTCOMES: Final = ("failed", "deferred", "abandoned", "not_started", "duplicate", "retried")
# of a stage's task also these
REPORTS: Final = {
    "complete": ("success", "failed", "deferred", "stale", "duplicate", "refused", "unavailable"),
    **dict.fromkeys(("started", "running", "committing"), ("accepted", "abandon", "unavailable")),
}
"""How each report may end."""


def service_name() -> str:
    """The value of the label `service` in this process."""
    return os.environ.get("SERVICE_NAME") or os.environ.get("OTEL_SERVICE_NAME") or "unknown"


def observe_request(scope: Mapping[str, Any], status: int, seconds: float) -> None:
    """Count one HTTP request, once it is answered (so that the router has put its route into the scope)."""
    method = scope["method"] if scope["method"] in METHODS else "OTHER"
    series = _series_of(scope.get("route"), method, status)
    if series is not None:
        requests, durations = series
        requests.inc()
        durations.observe(seconds)


def start_requests(routes: Iterable[Any]) -> None:
    """Make the series of each route's failures, which else would begin with the first ones, and have no increase then."""
    multiprocess_folder()
    for route in routes:
        for method in METHODS & (route.methods or set()):
            _series_of(route, method, _FAILED)


def _series_of(route: Any, method: str, status: int) -> tuple[Counter, Histogram] | None:
    tags = getattr(route, "tags", None) or ()
    if "health" in tags:
        return None  # probes and scrapes, some a second, would be most of what is counted
    path = getattr(route, "path", None) or UNMATCHED_ROUTE
    mode = RequestMode.ASYNC if RequestMode.ASYNC in tags else RequestMode.SYNC
    operation = Operation.READ if method in READ_METHODS or Operation.READ in tags else Operation.WRITE
    return _request_series(service_name(), path, method, status // 100, mode, operation)


@lru_cache(maxsize=4_096)
def _request_series(
    service: str, path: str, method: str, hundreds: int, mode: RequestMode, operation: Operation
) -> tuple[Counter, Histogram]:
    # kept, because looking two children up by their labels costs as much as counting
    return (
        REQUESTS.labels(service, path, method, f"{hundreds}xx", mode, operation),
        REQUEST_SECONDS.labels(service, path, mode, operation),
    )


def start_at_zero(metric: MetricWrapperBase, *values: Iterable[str]) -> None:
    """Make a metric's series for every combination of its labels' known values.

    A counter that appears with its first event has no increase then: a rate, and an alert, would miss that event.
    """
    multiprocess_folder()
    for labels in product(*values):
        metric.labels(*labels)


def start_task_metrics(tasks: Mapping[str, bool]) -> None:
    """Make the series of a worker's tasks; the value says whether it is a stage's, which also reports."""
    service = service_name()
    for task, is_stage in tasks.items():
        outcomes = TASK_OUTCOMES + (STAGE_OUTCOMES if is_stage else ())
        start_at_zero(TASKS, [service], [task], outcomes, *([value] for value in _QUEUED))
        start_at_zero(TASK_SECONDS, [service], [task], *([value] for value in _QUEUED))
    if any(tasks.values()):
        for report, outcomes in REPORTS.items():
            start_at_zero(CALLBACKS, [service], [report], outcomes, *([value] for value in _QUEUED))


def start_rejections(queue: str, reasons: Iterable[str]) -> None:
    """Make the series of why tasks are not taken in."""
    start_at_zero(QUEUE_REJECTIONS, [service_name()], [queue], reasons, *([value] for value in _QUEUED))


def count_task(task: str, outcome: str) -> None:
    """Count one run of a task."""
    TASKS.labels(service_name(), task, outcome, *_QUEUED).inc()


def observe_task(task: str, seconds: float) -> None:
    """Keep how long one run of a task took."""
    TASK_SECONDS.labels(service_name(), task, *_QUEUED).observe(seconds)


def count_report(report: str, outcome: str) -> None:
    """Count one report to the orchestrator."""
    CALLBACKS.labels(service_name(), report, outcome, *_QUEUED).inc()


def count_rejection(queue: str, reason: str) -> None:
    """Count one task that was not taken in."""
    QUEUE_REJECTIONS.labels(service_name(), queue, reason, *_QUEUED).inc()


def multiprocess_folder() -> Path | None:
    """The folder of the multi-process mode, made if it is not there; `None` when that mode is off."""
    name = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not name:
        return None
    folder = Path(name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def render_metrics() -> bytes:
    """Return all metrics of this container's processes, in Prometheus' text format."""
    folder = multiprocess_folder()
    if folder is None:
        return generate_latest(REGISTRY)
    return generate_latest(_registry_of(folder))


def forget_process(pid: int) -> None:
    """Take a process that ends out of the gauges of what is alive."""
    if multiprocess_folder() is not None:
        mark_process_dead(pid)  # type: ignore[no-untyped-call]


class _FolderCollector(Collector):
    """All processes that share a folder, ended ones folded into one file before each scrape."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = MultiProcessCollector(None, path=str(folder))  # type: ignore[no-untyped-call]

    def collect(self) -> Any:
        with locked(self._folder):  # several processes of an API may be scraped at once
            fold_dead_processes(self._folder)
            return list(self._files.collect())  # type: ignore[no-untyped-call]


def _registry_of(folder: Path) -> CollectorRegistry:
    registry = CollectorRegistry()  # of its own: the default one holds this process' metrics, which the files hold too
    registry.register(_FolderCollector(folder))
    return registry


WORKER_METRICS_HOST: Final = "WORKER_METRICS_HOST"
# names the address that a worker's /metrics is at, as an image sets it: there its collector is another container
LOOPBACK: Final = "127.0.0.1"


class WorkerMetricsServer:
    """A Celery worker's `/metrics`, served by its main process."""

    def __init__(self) -> None:
        self._server: Any = None

    def start(self, port: int) -> None:
        """Listen, unless the port is 0. A port that is taken costs the metrics, not the work."""
        folder = multiprocess_folder()
        if folder is not None:
            remove_other_processes(folder)  # what an earlier life of this container left
        if port == 0:
            return
        registry = REGISTRY if folder is None else _registry_of(folder)
        try:
            host = os.environ.get(WORKER_METRICS_HOST, LOOPBACK)
            self._server, _ = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            logger.warning("no worker metrics: port %s can't be listened on: %s", port, error)

    def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
