"""One run of a stage's body: what it gets, what it gives back, and how its errors are told."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

import httpx
from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from pydantic import BaseModel
from redis.exceptions import RedisError

from ml_shared.clients.orchestrator import AbandonError, OrchestratorClient
from ml_shared.contracts.jobs import CallbackStatus, ProgressPhase, ProgressReport, StageCallback
from ml_shared.errors import DeadlineError, InternalError, ServiceError, UnavailableError, UpstreamError
from ml_shared.names import Stage
from ml_shared.queues.results import ResultStore
from ml_shared.worker.runtime import BodyEndedError, ResourcesError, cancel_and_wait, tell_apart

logger = logging.getLogger(__name__)

INTERNAL_MESSAGE: Final = "the worker failed in a way that nobody foresaw; its log line has this trace id"
# never the exception's own text: it may quote a key, an address or a stranger's page
RENEWAL_ATTEMPTS: Final = 1
# the next renewal is the next attempt
GIVEN_BACK_RETRY_SECONDS: Final = 1.0


class WorkerResources(Protocol):
    """What the resources of a worker with stage tasks have, beside the service's own."""

    @property
    def orchestrator(self) -> OrchestratorClient | None:
        """`None` where no job can come from: no `ORCHESTRATOR_URL`."""

    @property
    def results(self) -> ResultStore | None:
        """Where outcomes of tasks without a job go."""


class NotStartedError(Exception):
    """The orchestrator could not be told that the attempt starts, so it must not."""


@dataclass
class StageOutcome:
    """What a body that succeeded gives back.

    Attributes
    ----------
    result
        What `GET /results/{task_id}` answers: the sync route's model. Not sent to the orchestrator.
    content_ref
        Where the orchestrator keeps what this stage made.
    stats
        Counts for the job, plain JSON.
    content
        What this stage made, to be kept with the final callback, where it is not kept already.
    """

    result: BaseModel
    content_ref: str | None = None
    stats: dict[str, Any] = field(default_factory=dict)
    content: bytes | None = None


@dataclass
class StageRun:
    """What a body gets.

    Attributes
    ----------
    resources
        The child's, as the service's `resources` made them.
    job_id, attempt_id
        The hand-out that this run is; both `None` for a task without a job.
    orchestrator
        For content; `None` for a task without a job.
    host_next_at
        The body sets it: when the host may be asked again. Sent with the final callback, whatever that says.
    content
        What the orchestrator keeps for this stage, if it came with the answer to `started`.
    """

    resources: Any
    job_id: str | None = None
    attempt_id: str | None = None
    orchestrator: OrchestratorClient | None = None
    host_next_at: datetime | None = None
    stage: Stage | None = None
    content: bytes | None = None

    async def committing(self) -> None:
        """Announce the write that can't be taken back. Without a job, nothing.

        Raises
        ------
        AbandonError
            If the job was cancelled or handed to another; let it pass, the task is dropped.
        UnavailableError
            If the orchestrator could not be asked: nothing may be written.
        """
        if self.orchestrator is not None and self.job_id and self.attempt_id and self.stage:
            report = ProgressReport(attempt_id=self.attempt_id, stage=self.stage, phase=ProgressPhase.COMMITTING)
            await self.orchestrator.progress(self.job_id, report)


StageBody = Callable[[StageRun], Awaitable[StageOutcome]]


def as_service_error(error: BaseException) -> ServiceError:
    """Return what is told of an error: itself if it is one of ours, else the kind of failure and nothing of its text."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, (SoftTimeLimitExceeded, TimeLimitExceeded)):
        return DeadlineError("the task ran past its time limit", code="task_timeout")
    if isinstance(error, (httpx.HTTPError, TimeoutError)):
        return UpstreamError("something that the task called did not answer as it should")
    if isinstance(error, ResourcesError):
        return UnavailableError("what the worker needs is not available", code="endpoint_unavailable")
    if isinstance(error, RedisError):
        return UnavailableError("the worker's Redis does not answer", code="redis_unavailable")
    return InternalError(INTERNAL_MESSAGE)


def failure_callback(
    error: ServiceError, attempt_id: str, stage: Stage, host_next_at: datetime | None
) -> StageCallback:
    """Return the callback that tells of an error: `deferred` when trying again may help, else `failed`."""
    return StageCallback(
        attempt_id=attempt_id,
        stage=stage,
        status=CallbackStatus.DEFERRED if error.retryable else CallbackStatus.FAILED,
        error_code=error.code,
        error_message=error.detail,
        retry_after_seconds=error.retry_after_seconds if error.retryable else None,
        host_next_at=host_next_at,
    )


async def within(seconds: float, work: Awaitable[StageOutcome]) -> StageOutcome:
    """Await the work, and say `task_timeout` when it takes longer than the task may.

    Raises
    ------
    BodyEndedError
        If it ended by what is not an error.
    """
    current = asyncio.current_task()
    try:
        async with asyncio.timeout(seconds) as limit:
            return await work
    except TimeoutError as error:
        if limit.expired():
            raise DeadlineError(f"the task did not end within {seconds:g} s", code="task_timeout") from error
        raise
    except SystemExit as error:
        tell_apart(error)
    except asyncio.CancelledError as error:
        if current is None or current.cancelling():
            raise
        raise BodyEndedError("the body cancelled itself") from error


class Attempt:
    """One attempt of a job's stage: started, kept alive, and given up when the orchestrator says so."""

    def __init__(
        self, stage: Stage, job_id: str, attempt_id: str, *, renew_seconds: float, content_ref: str | None = None
    ) -> None:
        self._content_ref = content_ref
        self.stage = stage
        self.job_id = job_id
        self.attempt_id = attempt_id
        self.run: StageRun | None = None
        self._renew_seconds = renew_seconds
        self._start_id = uuid.uuid4().hex  # a `started` whose answer was lost is said again, and counts once

    @property
    def given_back(self) -> StageCallback:
        """What is said when this worker is stopped under the attempt: another takes it up at once, and uncounted."""
        told = UnavailableError(
            "the worker was stopped", code="stage_unavailable", retry_after_seconds=GIVEN_BACK_RETRY_SECONDS
        )
        return failure_callback(told, self.attempt_id, self.stage, self.run.host_next_at if self.run else None)

    def succeeded(self, outcome: StageOutcome) -> StageCallback:
        """Return the callback that tells of a success."""
        return StageCallback(
            attempt_id=self.attempt_id,
            stage=self.stage,
            status=CallbackStatus.SUCCESS,
            content_ref=outcome.content_ref,
            stats=outcome.stats,
            host_next_at=self.run.host_next_at if self.run else None,
        )

    async def start(self, orchestrator: OrchestratorClient) -> bytes | None:
        """Say `started`, and return what the stage works on if that came with the answer.

        Raises
        ------
        AbandonError
            If it is another's by now.
        NotStartedError
            If that could not be said.
        """
        try:
            started = self._report(ProgressPhase.STARTED, start_id=self._start_id)
            if self._content_ref is not None:
                return await orchestrator.start_with_content(self.job_id, started, self._content_ref)
            await orchestrator.progress(self.job_id, started)
        except UnavailableError as error:
            raise NotStartedError(str(error)) from error
        return None

    async def execute(self, resources: WorkerResources, body: StageBody, limit_seconds: float) -> StageOutcome:
        """Run the body under a lease that is renewed beside it.

        Raises
        ------
        AbandonError
            If the orchestrator wanted nothing more of this attempt; the body was cancelled and has ended.
        """
        orchestrator = resources.orchestrator
        if orchestrator is None:
            raise NotStartedError("a task with a job needs ORCHESTRATOR_URL and SERVICE_API_KEY")
        content = await self.start(orchestrator)
        self.run = StageRun(resources, self.job_id, self.attempt_id, orchestrator, stage=self.stage, content=content)
        work = asyncio.ensure_future(within(limit_seconds, body(self.run)))
        renewal = asyncio.create_task(self._renew(orchestrator))
        try:
            await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await renewal  # it ends by AbandonError only
            return await work
        finally:
            await cancel_and_wait({work, renewal})

    def _report(self, phase: ProgressPhase, start_id: str | None = None) -> ProgressReport:
        return ProgressReport(attempt_id=self.attempt_id, stage=self.stage, phase=phase, start_id=start_id)

    async def _renew(self, orchestrator: OrchestratorClient) -> None:
        while True:
            await asyncio.sleep(self._renew_seconds)
            try:
                await orchestrator.progress(self.job_id, self._report(ProgressPhase.RUNNING), attempts=RENEWAL_ATTEMPTS)
            except AbandonError:
                raise
            except UnavailableError as error:
                logger.warning("the lease was not renewed", extra={"job_id": self.job_id, "error": str(error)})
