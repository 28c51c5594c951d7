"""The Celery app of a service, configured in one place, and what its processes do when they start and stop."""

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final

from celery import Celery, signals
from celery import Task as CeleryTask

from ml_shared.instrumentation import init_telemetry, instrument_celery, shutdown_telemetry, start_logging
from ml_shared.names import Queue
from ml_shared.probe import HEARTBEAT_SECONDS
from ml_shared.queues.lists import PRIORITY_SEPARATOR, PRIORITY_STEPS
from ml_shared.queues.queueing import QUEUED_AT_HEADER, REQUEST_ID_HEADER
from ml_shared.settings import ServiceSettings
from ml_shared.storage.pools import sample_pools
from ml_shared.telemetry.logs import JOB_ID, REQUEST_ID
from ml_shared.telemetry.metrics import (
    WorkerMetricsServer,
    count_task,
    forget_process,
    observe_task,
    start_task_metrics,
)
from ml_shared.worker.console import speak_json
from ml_shared.worker.ending import EndingWorker, Failure
from ml_shared.worker.heartbeat import HeartbeatScheduler, HeartbeatStep, PromptEvents
from ml_shared.worker.outcomes import RETRY_MAX_SECONDS
from ml_shared.worker.pool import PromptTaskPool, import_for_children
from ml_shared.worker.request import KILLED
from ml_shared.worker.runtime import ChildRuntime
from ml_shared.worker.task import AsyncTask, StageTask
from ml_shared.worker.transport import LeanTransport

logger = logging.getLogger(__name__)

GIVEN_BACK: Final = "given_back"
SUCCESS: Final = "success"

SOFT_TIME_LIMIT_SECONDS: Final = 270
TIME_LIMIT_SECONDS: Final = 300
SLACK_SECONDS: Final = 60
CHILD_START_SECONDS: Final = 30.0
# Celery's four are less than opening a database pool may take
SOFT_SHUTDOWN_SECONDS: Final = 4.0
# then about 3 s to give back what is unfinished and to close, 5 s with an orchestrator that hangs; see worker.ending
BROKER_TIMEOUT_SECONDS: Final = 5.0
# above kombu's blocking read of one second, which a shorter socket timeout would cut
PUBLISH_RETRY: Final = {"max_retries": 2, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 0.5}


class WorkerApp(Celery):  # type: ignore[misc]
    """A Celery app with the service's settings and its processes' runtime."""

    service_settings: ServiceSettings
    runtime: ChildRuntime
    events_cls = PromptEvents

    @property
    def Worker(self) -> type[EndingWorker]:  # noqa: N802
        """Celery's hook: what `celery worker` runs."""
        worker: type[EndingWorker] = self.subclass_with_self(EndingWorker)
        return worker

    if TYPE_CHECKING:  # Celery has no types; without this each task would be an untyped function

        def task(self, **options: Any) -> Callable[[Callable[..., Any]], Any]:
            """Celery's decorator."""


def build_celery_app(
    settings: ServiceSettings,
    *,
    queue: Queue,
    include: Sequence[str],
    resources: Callable[[], AbstractAsyncContextManager[Any]],
    soft_time_limit_seconds: float = SOFT_TIME_LIMIT_SECONDS,
    time_limit_seconds: float = TIME_LIMIT_SECONDS,
    beat_schedule: Mapping[str, Any] | None = None,
    for_children: Sequence[str] = (),
) -> WorkerApp:
    """Return a service's Celery app.

    Parameters
    ----------
    queue
        The one queue of this service; `-Q` of the worker's command names it too.
    include
        Modules that define tasks, imported when a worker starts.
    resources
        Makes what task bodies get, once in each child. Stage tasks need `worker.stage.WorkerResources`.
    soft_time_limit_seconds, time_limit_seconds
        A body is ended a little before the soft limit; the child is killed at the hard one.
    beat_schedule
        As Celery takes it.
    for_children
        Modules that only those need who run tasks, and beat does not: a worker imports them before it forks.

    Raises
    ------
    ValueError
        If there is no `REDIS_URL`, or the limits are not in order.
    """
    if not settings.REDIS_URL:
        raise ValueError("a worker needs REDIS_URL")
    if not 0 < soft_time_limit_seconds < time_limit_seconds:
        raise ValueError("the soft time limit has to lie below the hard one")
    instrument_celery()  # what is made before it is not traced
    app = WorkerApp(settings.SERVICE_NAME, broker=settings.REDIS_URL, include=list(include), task_cls=AsyncTask)
    app.service_settings = settings
    app.runtime = ChildRuntime(resources)
    app.conf.update(
        task_default_queue=str(queue),
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        task_reject_on_worker_lost=True,
        task_soft_time_limit=soft_time_limit_seconds,
        task_time_limit=time_limit_seconds,
        task_ignore_result=True,  # outcomes are callbacks and our own results: no content in the broker
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        broker_transport=f"{LeanTransport.__module__}:{LeanTransport.__qualname__}",
        broker_transport_options={
            # A delayed retry waits at most RETRY_MAX_SECONDS, then at most one task's time for a slot, then runs.
            "visibility_timeout": 2 * time_limit_seconds + RETRY_MAX_SECONDS + SLACK_SECONDS,
            "socket_timeout": BROKER_TIMEOUT_SECONDS,
            "socket_connect_timeout": BROKER_TIMEOUT_SECONDS,
            "socket_keepalive": True,
            # one list a priority, the orchestrator's hand-outs first
            "queue_order_strategy": "priority",
            "priority_steps": list(PRIORITY_STEPS),
            "sep": PRIORITY_SEPARATOR,
        },
        broker_connection_timeout=BROKER_TIMEOUT_SECONDS,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a worker waits for its Redis as long as it takes
        worker_cancel_long_running_tasks_on_connection_loss=False,  # they go on, and their effect is idempotent
        task_publish_retry_policy=PUBLISH_RETRY,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_pool=f"{PromptTaskPool.__module__}:{PromptTaskPool.__qualname__}",
        worker_proc_alive_timeout=CHILD_START_SECONDS,
        worker_soft_shutdown_timeout=SOFT_SHUTDOWN_SECONDS,
        worker_enable_soft_shutdown_on_idle=False,
        enable_utc=True,
        timezone="UTC",
        beat_schedule=dict(beat_schedule or {}),
        beat_scheduler=f"{HeartbeatScheduler.__module__}:{HeartbeatScheduler.__qualname__}",
        beat_max_loop_interval=HEARTBEAT_SECONDS,  # however seldom something is due, its heartbeat is fresh
    )
    app.steps["consumer"].add(HeartbeatStep)
    _connect_process_signals(app, for_children)
    return app


def _connect_process_signals(app: WorkerApp, for_children: Sequence[str]) -> None:
    metrics = WorkerMetricsServer()

    def start_main(**_: Any) -> None:
        import_for_children(for_children)
        ours = {name: task for name, task in app.tasks.items() if isinstance(task, AsyncTask)}
        start_task_metrics({name: isinstance(task, StageTask) for name, task in ours.items()})
        metrics.start(app.service_settings.WORKER_METRICS_PORT)

    def stop_main(**_: Any) -> None:
        metrics.stop()

    def start_child(**_: Any) -> None:
        init_telemetry(worker=True)
        app.runtime.open()

    def stop_child(**_: Any) -> None:
        app.runtime.close()
        shutdown_telemetry()
        forget_process(os.getpid())

    signals.worker_init.connect(start_main, weak=False)
    signals.worker_shutdown.connect(stop_main, weak=False)
    signals.worker_process_init.connect(start_child, weak=False)
    signals.worker_process_shutdown.connect(stop_child, weak=False)


@signals.celeryd_init.connect  # type: ignore[untyped-decorator]
def _before_worker(instance: Any, **_: Any) -> None:
    speak_json(instance)


@signals.setup_logging.connect  # type: ignore[untyped-decorator]
def _set_up_logging(**_: Any) -> None:
    """Keep Celery from setting up logging itself, in worker and beat."""
    start_logging()


@signals.before_task_publish.connect  # type: ignore[untyped-decorator]
def _before_publish(headers: dict[str, Any], **_: Any) -> None:
    """Let a message say since when it waits; one that is retried waits anew."""
    headers[QUEUED_AT_HEADER] = round(time.time(), 3)


@signals.task_prerun.connect  # type: ignore[untyped-decorator]
def _before_task(task: CeleryTask, kwargs: dict[str, Any], **_: Any) -> None:
    request = task.request
    request.ml_began = time.perf_counter()
    headers = request.headers or {}
    request.ml_log_tokens = (JOB_ID.set(kwargs.get("job_id")), REQUEST_ID.set(headers.get(REQUEST_ID_HEADER)))


@signals.task_failure.connect  # type: ignore[untyped-decorator]
@signals.task_retry.connect  # type: ignore[untyped-decorator]
def _after_failure(einfo: Any, **_: Any) -> None:
    if einfo is not None:
        einfo.__class__ = Failure


def _ended_early(task: CeleryTask) -> str:
    """Return the outcome of a task without a state: its child is being ended."""
    return GIVEN_BACK if not isinstance(task, AsyncTask) or task.interrupted else KILLED


@signals.task_postrun.connect  # type: ignore[untyped-decorator]
def _after_task(task: CeleryTask, state: str | None = None, **_: Any) -> None:
    request = task.request
    outcome = getattr(request, "ml_outcome", None) or (state or _ended_early(task)).lower()
    if outcome != KILLED:  # those the main process counts: a child is seldom left the time
        count_task(task.name, outcome)
    seconds = time.perf_counter() - getattr(request, "ml_began", time.perf_counter())
    observe_task(task.name, seconds)
    sample_pools()
    fields = {"task": task.name, "task_id": request.id, "outcome": outcome, "duration_seconds": round(seconds, 3)}
    # what only looks whether there is something to do has looked several times a second
    unremarkable = outcome == SUCCESS and not isinstance(task, StageTask)
    logger.log(logging.DEBUG if unremarkable else logging.INFO, "task ended", extra=fields)
    for variable, token in zip((JOB_ID, REQUEST_ID), getattr(request, "ml_log_tokens", ()), strict=False):
        variable.reset(token)
