"""The base of every Celery task of ours: it owns trace attributes, retries, outcomes and the final callback."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from celery import Task
from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from ml_shared.clients.orchestrator import AbandonError, OrchestratorClient
from ml_shared.contracts.jobs import CallbackStatus, StageCallback
from ml_shared.errors import InternalError, ServiceError, UnavailableError
from ml_shared.instrumentation import record_error
from ml_shared.names import Operation, RequestMode, Stage
from ml_shared.queues.queueing import CALLER_TYPE_HEADER, REQUEST_ID_HEADER
from ml_shared.queues.results import ResultStore
from ml_shared.storage.redis_client import open_redis
from ml_shared.telemetry import attributes
from ml_shared.telemetry.urls import told_url
from ml_shared.worker.outcomes import countdown, keep, keep_failure
from ml_shared.worker.runtime import ResourcesError
from ml_shared.worker.stage import (
    Attempt,
    NotStartedError,
    StageBody,
    StageOutcome,
    StageRun,
    as_service_error,
    failure_callback,
    within,
)

if TYPE_CHECKING:
    from ml_shared.worker.celery import WorkerApp

__all__ = ["AsyncTask", "StageOutcome", "StageRun", "StageTask"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

MAX_RETRIES: Final = 3
MAX_LOST_DELIVERIES: Final = 3
# Celery requeues what killed its worker without end
RESOURCES_RETRY_SECONDS: Final = 15
LIMIT_MARGIN: Final = 0.1
LIMIT_MARGIN_MAX_SECONDS: Final = 20.0
# a body's own limit lies this much below Celery's soft one, so that the callback still fits
LAST_WORD_SECONDS: Final = 2.0
# a child that is being stopped has this long to say so, of the ten seconds that a container gets


class AlreadyEndedError(Exception):
    """The task was delivered again although its outcome is kept: its worker died before it could say that it ended."""


class TransientError(Exception):
    """Why Celery runs a task again; its text is the error's code."""


class AsyncTask(Task):  # type: ignore[misc]
    """A task whose body is a coroutine: a plain function to Celery, run on the child's own loop."""

    abstract = True
    Request = "ml_shared.worker.request:WorkerRequest"

    app: "WorkerApp"

    def run_async(self, body: Callable[[Any], Awaitable[T]]) -> T:
        """Run `body(resources)` on the child's loop, within the task's span, and return what it returns."""
        self._describe_queue()
        return self.app.runtime.run_body(body)

    def _describe_queue(self) -> None:
        delivery = self.request.delivery_info or {}
        trace.get_current_span().set_attributes(
            {
                attributes.QUEUE_NAME: delivery.get("routing_key") or self.app.conf.task_default_queue,
                attributes.REQUEST_MODE: RequestMode.ASYNC.value,
                attributes.OPERATION: Operation.WRITE.value,
            }
        )

    def note_outcome(self, outcome: str) -> None:
        """Say how this run ended, where its Celery state says less."""
        self.request.ml_outcome = outcome

    def last_word(self, say: Callable[[Any], Awaitable[Any]]) -> None:
        """Say something before this child ends. The message is delivered again whether it was heard or not."""

        async def briefly(resources: Any) -> None:
            async with asyncio.timeout(LAST_WORD_SECONDS):
                await say(resources)

        try:
            self.run_async(briefly)
        except Exception:
            logger.warning("the interruption by this worker's stop could not be told", exc_info=True)

    @property
    def interrupted(self) -> bool:
        """Whether a `SystemExit` of billiard's signal handler is the worker's stop.

        The same signal precedes the kill at the hard limit. A task that overran its soft limit is ended for its own
        sake, which counts, and of which the main process tells.
        """
        return time.perf_counter() - float(self.request.ml_began) < self.soft_limit_seconds

    @property
    def body_limit_seconds(self) -> float:
        """Seconds that a body may take: less than Celery's soft limit, which is the net under it."""
        soft = self.soft_limit_seconds
        return soft - min(LIMIT_MARGIN_MAX_SECONDS, soft * LIMIT_MARGIN)

    @property
    def soft_limit_seconds(self) -> float:
        """Celery's soft limit of this task."""
        return float(self.soft_time_limit or self.app.conf.task_soft_time_limit)


class StageTask(AsyncTask):
    """A task that is one stage of a job, or the same work for a caller who reads its outcome himself.

    Its arguments name `job_id` and `attempt_id` so, since a killed worker's main process reads them there.
    """

    abstract = True
    stage: ClassVar[Stage]
    job_stage: ClassVar[str]
    max_retries = MAX_RETRIES

    def run_stage(
        self,
        body: StageBody,
        *,
        job_id: str | None,
        attempt_id: str | None,
        url: str | None,
        content_ref: str | None = None,
    ) -> None:
        """Run a stage's body and tell whoever asked how it ended.

        With a job: `started`, the body under a lease that is renewed, and exactly one callback; no Celery retries.
        Without: Celery's retries for errors that may pass, and then the outcome for `GET /results/{task_id}`.
        """
        self.describe(job_id, url, self.request.headers or {})
        if job_id is not None and attempt_id is not None:
            self._run_attempt(body, job_id, attempt_id, content_ref)
        else:
            self._run_direct(body)

    def describe(self, job_id: str | None, url: str | None, headers: Mapping[str, Any]) -> None:
        """Put on the current span what is known of a run; `headers` are its message's."""
        span = trace.get_current_span()
        known = {
            attributes.JOB_ID: job_id,
            attributes.JOB_URL: told_url(url) if url else None,
            attributes.JOB_STAGE: self.job_stage,
            attributes.CALLER_TYPE: headers.get(CALLER_TYPE_HEADER),
            attributes.HTTP_REQUEST_ID: headers.get(REQUEST_ID_HEADER),
        }
        span.set_attributes({name: value for name, value in known.items() if value})

    def _run_attempt(self, body: StageBody, job_id: str, attempt_id: str, content_ref: str | None) -> None:
        renew_seconds = self.app.service_settings.LEASE_RENEW_SECONDS
        attempt = Attempt(self.stage, job_id, attempt_id, renew_seconds=renew_seconds, content_ref=content_ref)
        content: bytes | None = None
        try:
            outcome = self.run_async(lambda resources: attempt.execute(resources, body, self.body_limit_seconds))
        except AbandonError as abandoned:
            logger.info("attempt abandoned: %s", abandoned)
            self.note_outcome("abandoned")
            return
        except NotStartedError as error:
            logger.error("attempt not started, its lease brings the job back: %s", error)
            self.note_outcome("not_started")
            return
        except ResourcesError as error:
            self.defer_without_resources(attempt, error)
            return
        except SystemExit:
            if attempt.run is not None and self.interrupted:
                self.last_word(lambda resources: resources.orchestrator.complete(job_id, attempt.given_back))
            raise
        except Exception as error:  # noqa: BLE001 - a worker's edge: whatever it was, it is logged and told
            callback = self.failure(error, attempt)
        else:
            content = outcome.content
            callback = attempt.succeeded(outcome)
        try:
            self._report(job_id, callback, content)
        except ServiceError as error:  # what it made is not kept
            callback = self.failure(error, attempt)
            self._report(job_id, callback, None)
        self.note_outcome(str(callback.status))

    def _report(self, job_id: str, callback: StageCallback, content: bytes | None) -> None:
        async def say(resources: Any) -> None:
            await resources.orchestrator.complete(job_id, callback, content=content)

        try:
            self.run_async(say)
        except SystemExit:  # stopped while it was said: said again, since a second one of an attempt does no harm
            self.note_outcome(str(callback.status))
            self.last_word(say)
            raise

    def failure(self, error: Exception, attempt: Attempt) -> StageCallback:
        """Put an attempt's error on the span and into the log, and return what is told of it."""
        told = self._tell_of(error)
        host_next_at = attempt.run.host_next_at if attempt.run else None
        return failure_callback(told, attempt.attempt_id, self.stage, host_next_at)

    def defer_without_resources(self, attempt: Attempt, error: ResourcesError) -> None:
        """Hand the job back: what this child needs for it (its database, say) is not there."""
        logger.error("attempt handed back, this worker's resources can't be opened: %s", error)
        self.note_outcome(str(CallbackStatus.DEFERRED))
        told = UnavailableError(
            "what the worker needs is not available",
            code="endpoint_unavailable",
            retry_after_seconds=RESOURCES_RETRY_SECONDS,
        )
        callback = failure_callback(told, attempt.attempt_id, self.stage, None)

        async def hand_back() -> None:
            async with OrchestratorClient.open(self.app.service_settings) as orchestrator:
                await attempt.start(orchestrator)
                await orchestrator.complete(attempt.job_id, callback)

        try:
            self.app.runtime.run(hand_back())
        except (AbandonError, NotStartedError, ValueError) as reason:
            logger.error("the job could not be handed back: %s", reason)

    def _run_direct(self, body: StageBody) -> None:
        task_id: str = self.request.id
        retries: int = self.request.retries
        counted = False

        async def work(resources: Any) -> StageOutcome:
            nonlocal counted
            if resources.results is not None:
                deliveries = await resources.results.start(task_id)
                if deliveries == 0:
                    raise AlreadyEndedError
                if deliveries - retries > MAX_LOST_DELIVERIES:
                    raise InternalError("the task ended the worker that ran it, several times", code="worker_lost")
                counted = True
            return await within(self.body_limit_seconds, body(StageRun(resources, stage=self.stage)))

        try:
            outcome = self.run_async(work)
        except AlreadyEndedError:
            self.note_outcome("duplicate")
        except SystemExit:
            if counted and self.interrupted:  # or it would take back the count of an earlier delivery
                self.last_word(lambda resources: resources.results.interrupt(task_id))
            raise
        except Exception as error:
            told = self._tell_of(error)
            if told.retryable and retries < self.max_retries:
                self.note_outcome("retried")
                raise self.retry(exc=TransientError(told.code), countdown=countdown(retries, told)) from error
            self.note_outcome("failed")
            self.app.runtime.run(self._keep_failure_apart(task_id, told))
        else:
            self.note_outcome("success")
            self.run_async(lambda resources: keep(resources.results, task_id, outcome))

    async def _keep_failure_apart(self, task_id: str, error: ServiceError) -> None:
        # by a client of its own: the child's may be what could not be opened
        async with open_redis(self.app.service_settings.REDIS_URL or "") as redis:
            await keep_failure(ResultStore(redis, self.app.service_settings), task_id, error)

    def _tell_of(self, error: Exception) -> ServiceError:
        """Put an error on the span and into the log, and return what may be told of it."""
        told = as_service_error(error)
        span = trace.get_current_span()
        span.set_attribute(attributes.ERROR_CODE, told.code)
        fields = {"error_code": told.code, "task": self.name}
        if told.retryable:
            logger.warning("the task did not succeed this time: %s", told.detail, extra=fields)
            return told
        span.set_attribute(attributes.FAILED_STAGE, str(self.stage))
        span.set_status(Status(StatusCode.ERROR, told.code))
        fields["failed_stage"] = str(self.stage)
        if told is error:
            logger.error("the task failed: %s", told.detail, extra=fields)
        else:
            record_error(span, error)
            logger.error("the task failed unforeseen", extra=fields, exc_info=error)
        return told
