"""Several hand-outs of a stage in one message, worked on beside each other by one child.

A message costs Celery as much as the rest of a page's work here, and a child that waits for a site could do something else
meanwhile. Each job of a pack is as it would be alone: its own attempt, lease, limit, callback, span and log lines.

What ends a child ends all that it works on, and nobody can say whose fault it was. So whatever ends a pack before its time
(a kill, a limit that a body would not hear, the worker's stop) gives its jobs back, uncounted, and the orchestrator hands each
out again alone: a page that kills its worker then harms only itself.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Final

from opentelemetry import context, trace
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ml_shared.clients.orchestrator import AbandonError
from ml_shared.contracts.jobs import StageCallback
from ml_shared.errors import ServiceError
from ml_shared.names import Operation, RequestMode
from ml_shared.queues.queueing import REQUEST_ID_HEADER
from ml_shared.telemetry import attributes
from ml_shared.telemetry.logs import JOB_ID, REQUEST_ID
from ml_shared.telemetry.metrics import count_task, observe_task
from ml_shared.worker.runtime import ResourcesError
from ml_shared.worker.stage import Attempt, NotStartedError, StageBody
from ml_shared.worker.task import AsyncTask, StageTask

logger = logging.getLogger(__name__)

ABANDONED: Final = "abandoned"
NOT_STARTED: Final = "not_started"
GIVEN_BACK: Final = "given_back"
_propagator: Final = TraceContextTextMapPropagator()
_tracer: Final = trace.get_tracer(__name__)


class PackTask(AsyncTask):
    """A task whose message carries several hand-outs: `app.task(base=PackTask, of=scrape_task)`.

    Attributes
    ----------
    of
        The task that each of them would have been.
    """

    abstract = True
    of: ClassVar[StageTask]
    acks_on_failure_or_timeout = False
    # what was killed at its hard limit is delivered again, and then given back

    def run_pack(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """Work on all jobs, and tell of each how it ended.

        Parameters
        ----------
        jobs
            Each with the `kwargs` of its task, and the `traceparent` that it goes on from.
        """
        self._describe_queue()
        items = [_Item(self, job) for job in jobs]
        if (self.request.delivery_info or {}).get("redelivered"):
            logger.warning("a pack came again: its jobs are given back", extra={"jobs": len(items)})
            self.run_async(lambda resources: _all(item.conclude(resources) for item in items))
            return
        try:
            self.run_async(lambda resources: _worked_on(resources, items))
        except SystemExit:
            if self.interrupted:
                self.last_word(lambda resources: _all(item.conclude(resources, started=True) for item in items))
            raise
        except ResourcesError as error:
            for item in items:
                item.defer(error)
        except Exception:
            logger.exception("a pack was cut off: its jobs are given back")
            self.run_async(lambda resources: _all(item.conclude(resources) for item in items))


class _Item:
    """One job of a pack. To the function of its task it is the task."""

    def __init__(self, pack: PackTask, job: Mapping[str, Any]) -> None:
        self._task = pack.of
        self._headers = pack.request.headers or {}
        self._queue = (pack.request.delivery_info or {}).get("routing_key") or pack.app.conf.task_default_queue
        self._pack = trace.get_current_span().get_span_context()
        self._traceparent = job.get("traceparent")
        self._attempt: Attempt | None = None
        self._body: StageBody | None = None
        self._url: str | None = None
        self._callback: StageCallback | None = None
        self._content: bytes | None = None
        self._told = False
        try:
            self._task.run.__func__(self, **job["kwargs"])
        except Exception:
            logger.exception("a hand-out could not be read")

    def run_stage(
        self,
        body: StageBody,
        *,
        job_id: str | None,
        attempt_id: str | None,
        url: str | None,
        content_ref: str | None = None,
    ) -> None:
        """Take what the task's function would have its task run."""
        if job_id is None or attempt_id is None:
            raise ValueError("a task that is no job's does not come in a pack")
        renew_seconds = self._task.app.service_settings.LEASE_RENEW_SECONDS
        self._attempt = Attempt(
            self._task.stage, job_id, attempt_id, renew_seconds=renew_seconds, content_ref=content_ref
        )
        self._body, self._url = body, url

    async def run(self, resources: Any) -> None:
        """Run the attempt to its end, and tell of it."""
        attempt, body = self._attempt, self._body
        if attempt is None or body is None:
            return
        JOB_ID.set(attempt.job_id)
        REQUEST_ID.set(self._headers.get(REQUEST_ID_HEADER))
        began = time.perf_counter()
        with self._span() as span:
            self._task.describe(attempt.job_id, self._url, self._headers)
            span.set_attributes(
                {
                    attributes.QUEUE_NAME: str(self._queue),
                    attributes.REQUEST_MODE: RequestMode.ASYNC.value,
                    attributes.OPERATION: Operation.WRITE.value,
                }
            )
            outcome = await self._attempted(resources, attempt, body)
            self._told = True
            self._count(outcome, time.perf_counter() - began)

    async def _attempted(self, resources: Any, attempt: Attempt, body: StageBody) -> str:
        try:
            outcome = await attempt.execute(resources, body, self._task.body_limit_seconds)
        except AbandonError as abandoned:
            logger.info("attempt abandoned: %s", abandoned)
            return ABANDONED
        except NotStartedError as error:
            logger.error("attempt not started, its lease brings the job back: %s", error)
            return NOT_STARTED
        except Exception as error:  # noqa: BLE001 - a worker's edge: whatever it was, it is logged and told
            self._callback = self._task.failure(error, attempt)
        else:
            self._callback, self._content = attempt.succeeded(outcome), outcome.content
        try:
            await self._report(resources, attempt)
        except ServiceError as error:  # what it made is not kept
            self._callback, self._content = self._task.failure(error, attempt), None
            await self._report(resources, attempt)
        return str(self._callback.status)

    async def _report(self, resources: Any, attempt: Attempt) -> None:
        await resources.orchestrator.complete(attempt.job_id, self._callback, content=self._content)

    def _span(self) -> AbstractContextManager[Span]:
        parent = _propagator.extract({"traceparent": self._traceparent} if self._traceparent else {}, context.Context())
        links = [Link(self._pack)] if self._pack.is_valid else []
        return _tracer.start_as_current_span(
            f"run/{self._task.name}", context=parent, kind=SpanKind.CONSUMER, links=links
        )

    def _count(self, outcome: str, seconds: float) -> None:
        count_task(self._task.name, outcome)
        observe_task(self._task.name, seconds)
        fields = {"task": self._task.name, "outcome": outcome, "duration_seconds": round(seconds, 3)}
        logger.info("task ended", extra=fields)

    async def conclude(self, resources: Any, *, started: bool = False) -> None:
        """Say what was about to be said, or have the orchestrator hand the job out again.

        Parameters
        ----------
        started
            Whether only of an attempt that has started: the others are given back when the pack comes again.
        """
        attempt = self._attempt
        if attempt is None or self._told or resources.orchestrator is None:
            return
        JOB_ID.set(attempt.job_id)
        if self._callback is not None:
            await self._report(resources, attempt)
        elif attempt.run is not None or not started:
            await resources.orchestrator.complete(attempt.job_id, attempt.given_back)
            count_task(self._task.name, GIVEN_BACK)

    def defer(self, error: ResourcesError) -> None:
        """Hand the job back: what this child needs for it is not there."""
        if self._attempt is not None:
            self._task.defer_without_resources(self._attempt, error)


async def _worked_on(resources: Any, items: Sequence[_Item]) -> None:
    with resources.orchestrator.together() if resources.orchestrator is not None else nullcontext():
        await _all(item.run(resources) for item in items)


async def _all(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of it at once, each in a context of its own. One that fails cuts off no other."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done = await asyncio.gather(*tasks, return_exceptions=True)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        raise
    for error in done:
        if isinstance(error, Exception):
            logger.error("a job of a pack was cut off, its lease brings it back", exc_info=error)
        elif isinstance(error, BaseException):
            raise error


__all__ = ["PackTask"]
