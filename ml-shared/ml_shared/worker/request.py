"""A task as a worker's main process sees it: the only one left to speak when a child was killed."""

import logging
from functools import partial
from typing import Any, Final

from celery.worker import state
from celery.worker.request import Request

from ml_shared.clients.orchestrator import AbandonError, OrchestratorClient
from ml_shared.errors import DeadlineError, ServiceError
from ml_shared.queues.queueing import REQUEST_ID_HEADER
from ml_shared.queues.results import ResultStore
from ml_shared.storage.redis_client import open_redis
from ml_shared.telemetry.metrics import count_task
from ml_shared.worker.packs import PackTask
from ml_shared.worker.stage import failure_callback
from ml_shared.worker.task import StageTask
from ml_shared.worker.telling import tell_apart_from_forks

logger = logging.getLogger(__name__)

KILLED: Final = "killed"
# the outcome of a task at its hard limit
TRACE_HEADERS: Final = ("traceparent", "tracestate")


class WorkerRequest(Request):  # type: ignore[misc]
    """Celery's request, telling of a task that ran past its hard limit and was killed.

    A child that died by itself needs no word: Celery queues its task again, and it then runs under the same attempt
    (counted, so that a page which kills its worker comes to an end).
    """

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Celery's hook: a soft limit is the child's to tell of, a hard one nobody else's."""
        super().on_timeout(soft, timeout)
        if soft or state.should_terminate:
            return
        count_task(self.name, KILLED)
        task = self.task
        if isinstance(task, PackTask):  # whose fault it was, nobody knows; it comes again, and is given back
            self.reject(requeue=True)
            return
        if isinstance(task, StageTask):
            error = DeadlineError(f"the task did not end within {timeout:g} s and was killed", code="task_timeout")
            headers: dict[str, Any] = self.request_dict
            tell_apart_from_forks(
                partial(_tell, task, self.id, dict(self.kwargs), error),
                trace_headers={name: headers[name] for name in TRACE_HEADERS if headers.get(name)},
                request_id=headers.get(REQUEST_ID_HEADER),
                task_id=self.id,
            )


async def _tell(task: StageTask, task_id: str, kwargs: dict[str, Any], error: ServiceError) -> None:
    settings = task.app.service_settings
    job_id, attempt_id = kwargs.get("job_id"), kwargs.get("attempt_id")
    logger.error("the task was killed: %s", error, extra={"task_id": task_id, "job_id": job_id})
    if job_id and attempt_id:
        callback = failure_callback(error, attempt_id, task.stage, None)
        try:
            async with OrchestratorClient.open(settings) as orchestrator:
                await orchestrator.complete(job_id, callback)
        except AbandonError:
            return
    elif settings.REDIS_URL:
        async with open_redis(settings.REDIS_URL) as redis:
            await ResultStore(redis, settings).finish_failed(task_id, error)
