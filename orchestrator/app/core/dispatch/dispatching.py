"""The dispatcher: takes runnable jobs of a stage in fair order and hands them out.

Claim, commit, then call: no transaction is open during HTTP, and what a crash leaves behind is a lease that runs out.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanContext, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.core import metrics
from app.core.content.store import PURGE_BATCH, ContentStore, purge
from app.core.dispatch.claims import claim, give_back, note_dispatch, queued, reject
from app.core.dispatch.hand_outs import HandOut, Page
from app.core.dispatch.pipeline import StageDefinition, definition_of
from app.core.dispatch.stage_calls import Accepted, Answered, Outcome, Rejected, StageClient, Unavailable, Unknown
from app.core.jobs.transitions import CONTENT_MISSING, Limits, complete, progress
from ml_shared.contracts.jobs import CallbackStatus, ProgressPhase, ProgressReport, StageCallback
from ml_shared.errors import ServiceError
from ml_shared.names import Operation, Stage
from ml_shared.telemetry import attributes
from ml_shared.telemetry.urls import told_url

PAUSE_BASE_SECONDS = 1.0
PAUSE_MOST_SECONDS = 60.0
ROOM_KEPT_SECONDS = 1.0
# that there is room for content is believed for so long: adding up what is kept reads an entry of each piece
STAGE_UNAVAILABLE = "stage_unavailable"
HAND_OUT_SPAN = "dispatch.job"

logger = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)
_propagator = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class Policy:
    """How much of a stage may be under way, and for how long.

    Attributes
    ----------
    in_flight
        Most jobs handed out, by stage.
    high_water_jobs, high_water_bytes
        Jobs behind a stage, and bytes of content, at which it gets no new work.
    dispatch_lease_seconds, queue_lease_seconds
        Durations of the first two lease phases.
    """

    in_flight: dict[Stage, int]
    high_water_jobs: int
    high_water_bytes: int
    dispatch_lease_seconds: float
    queue_lease_seconds: float


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did: jobs handed out, and stages that have work now because of it."""

    handed_out: int
    nudge: frozenset[Stage]


class Dispatcher:
    """Hands out jobs. Any number may run at once: the claim is what keeps them apart."""

    def __init__(
        self, pool: asyncpg.Pool, content: ContentStore, stages: StageClient, policy: Policy, limits: Limits
    ) -> None:
        self._pool = pool
        self._content = content
        self._stages = stages
        self._policy = policy
        self._limits = limits
        self._room_until = 0.0

    async def run(self, stage: Stage) -> Pass:
        """Make one pass of a stage, and wait for what it hands out.

        Returns
        -------
        Pass
            How many jobs were handed out, and which stages to look at next.
        """
        claimed = await self.claim(stage)
        this_pass = trace.get_current_span().get_span_context()
        moved = await asyncio.gather(*(self.hand_out(job, this_pass) for job in claimed))
        return Pass(len(claimed), frozenset().union(*moved))

    async def claim(self, stage: Stage) -> list[HandOut]:
        """Claim what a pass of a stage may hand out: each of these jobs has a lease now, and is to be handed out."""
        definition = definition_of(stage)
        if definition.by_host and await self._content_is_full():
            metrics.HIGH_WATER.labels(stage).inc()
            return []
        return await claim(
            self._pool,
            definition,
            in_flight=self._policy.in_flight[stage],
            high_water=self._policy.high_water_jobs,
            lease_seconds=self._policy.dispatch_lease_seconds,
        )

    async def hand_out(self, job: HandOut, this_pass: SpanContext | None = None) -> frozenset[Stage]:
        """Hand out a claimed job, and return which stages to look at next.

        Whatever goes wrong is logged: its lease brings the job back, and the others of a pass are not cut off for it.

        Parameters
        ----------
        this_pass
            The span of the pass that claimed it, if that has one.
        """
        definition = definition_of(job.stage)
        try:
            following = await self._hand_out(definition, job, this_pass)
        except Exception:
            logger.exception("hand_out_broke", extra=_fields(job, "internal_error"))
            following = None
        # of a stage whose answer is its result a slot is free again
        ready = {following, job.stage if definition.read_answer is not None else None}
        return frozenset(stage for stage in ready if stage is not None)

    async def _content_is_full(self) -> bool:
        """Say whether new pages have to wait; what ended jobs left behind is given up before that."""
        if time.monotonic() < self._room_until:
            return False
        most = self._policy.high_water_bytes
        full = await self._content.total_bytes() >= most
        if full:
            await purge(self._pool, self._content, timedelta(0), enough=PURGE_BATCH)
            full = await self._content.total_bytes() >= most
        if not full:
            self._room_until = time.monotonic() + ROOM_KEPT_SECONDS
        return full

    async def _hand_out(self, definition: StageDefinition, job: HandOut, this_pass: SpanContext | None) -> Stage | None:
        links = [Link(context) for context in (this_pass, _span_context(job.earlier_traceparent)) if context]
        parent = _propagator.extract({"traceparent": job.traceparent}) if job.traceparent else None
        with tracer.start_as_current_span(HAND_OUT_SPAN, context=parent, kind=SpanKind.INTERNAL, links=links) as span:
            span.set_attribute(attributes.JOB_ID, str(job.job_id))
            span.set_attribute(attributes.JOB_URL, told_url(job.url))
            span.set_attribute(attributes.DISPATCH_STAGE, job.stage)
            span.set_attribute(attributes.OPERATION, Operation.WRITE.value)
            carrier: dict[str, str] = {}
            _propagator.inject(carrier)
            if definition.read_answer is not None:
                return await self._run_here(definition, job, span, carrier.get("traceparent"))
            outcome = await self._stages.hand_out(definition, job)
            return await self._settle(job, outcome, span, carrier.get("traceparent"))

    async def _settle(self, job: HandOut, outcome: Outcome, span: Span, traceparent: str | None) -> Stage | None:
        """Record what became of a hand-out to a queue; return the stage that has work again because of it."""
        metrics.HAND_OUTS.labels(job.stage, type(outcome).__name__.lower()).inc()
        match outcome:
            case Accepted(queue_epoch):
                lost = await queued(
                    self._pool,
                    job,
                    queue_epoch=queue_epoch,
                    lease_seconds=self._policy.queue_lease_seconds,
                    traceparent=traceparent,
                )
                if lost:
                    logger.warning("queue_wiped", extra={"failed_stage": job.stage, "jobs_released": lost})
                return job.stage if lost else None
            case Unavailable(reason):
                await self._pause(job, reason)
            case Rejected(code, message):
                span.set_attribute(attributes.ERROR_CODE, code)
                span.set_attribute(attributes.FAILED_STAGE, job.stage)
                ended = await reject(self._pool, job, code=code, message=message)
                if ended is not None:
                    metrics.count_ended(ended)
                logger.error("stage_rejected_job", extra=_fields(job, code))
            case Unknown(reason):
                await note_dispatch(self._pool, job, traceparent)  # it may be under way
                logger.warning("hand_out_unanswered", extra={**_fields(job, "unknown"), "reason": reason})
            case Answered():
                raise TypeError("only a synchronous stage answers with its result")
        return None

    async def _pause(self, job: HandOut, reason: str) -> None:
        seconds = await give_back(
            self._pool, job, reason=reason, base_seconds=PAUSE_BASE_SECONDS, most_seconds=PAUSE_MOST_SECONDS
        )
        if seconds is not None:
            metrics.STAGE_PAUSES.labels(job.stage).inc()
            logger.error(
                "stage_paused", extra={"failed_stage": job.stage, "reason": reason, "pause_seconds": round(seconds, 1)}
            )

    async def _run_here(
        self, definition: StageDefinition, job: HandOut, span: Span, traceparent: str | None
    ) -> Stage | None:
        """Run a stage whose answer is its result; this pass is its worker, and reports as any worker does."""
        report = ProgressReport(attempt_id=str(job.attempt_id), stage=job.stage, phase=ProgressPhase.STARTED)
        answer, moved = await progress(
            self._pool, job.job_id, definition, report, self._limits, traceparent=traceparent
        )
        if answer is not None:
            try:
                callback = await self._work_here(definition, job, span)
            except ServiceError as error:
                # what was kept is spoilt, or its chunks are too long to keep: it would be so again
                callback = _failed(job, error.code, error.detail)
            if callback.status is not CallbackStatus.SUCCESS:
                span.set_attribute(attributes.FAILED_STAGE, job.stage)
                span.set_attribute(attributes.ERROR_CODE, callback.error_code or "")
                logger.warning("stage_not_done", extra=_fields(job, callback.error_code or ""))
            moved = await complete(self._pool, job.job_id, definition, callback, self._limits)
        metrics.count_transition(moved)
        return moved.next_stage

    async def _work_here(self, definition: StageDefinition, job: HandOut, span: Span) -> StageCallback:
        """Call the stage with the page, keep its answer, and return what a worker would report."""
        page = await self._content.get(job.content_ref or "")
        outcome: Outcome | None = None
        if page is not None:
            outcome = await self._stages.hand_out(definition, job, Page(page.body))
            metrics.HAND_OUTS.labels(job.stage, type(outcome).__name__.lower()).inc()
        match outcome:
            case Answered(body, stats):
                stored = await self._content.put(job.owner, job.job_id, job.attempt_id, job.stage, body)
                span.set_attribute(attributes.CHUNK_COUNT, stats["chunks"])
                return StageCallback(
                    attempt_id=str(job.attempt_id),
                    stage=job.stage,
                    status=CallbackStatus.SUCCESS,
                    content_ref=stored.content_ref,
                    stats=stats,
                )
            case None:
                return _deferred(job, CONTENT_MISSING, "the page's text is no longer kept")
            case Unavailable(reason, retry_after):
                await self._pause(job, reason)
                return _deferred(job, STAGE_UNAVAILABLE, reason, retry_after or PAUSE_BASE_SECONDS)
            case Rejected(code, message):
                return _failed(job, code, message)
            case Unknown(reason):
                return _deferred(job, "upstream_error", reason)
            case _:
                raise TypeError(f"not an answer of a synchronous stage: {outcome!r}")


def _failed(job: HandOut, code: str, message: str) -> StageCallback:
    return StageCallback(
        attempt_id=str(job.attempt_id),
        stage=job.stage,
        status=CallbackStatus.FAILED,
        error_code=code,
        error_message=message,
    )


def _deferred(job: HandOut, code: str, message: str, retry_after_seconds: float | None = None) -> StageCallback:
    return StageCallback(
        attempt_id=str(job.attempt_id),
        stage=job.stage,
        status=CallbackStatus.DEFERRED,
        error_code=code,
        error_message=message,
        retry_after_seconds=retry_after_seconds,
    )


def _span_context(traceparent: str | None) -> SpanContext | None:
    if traceparent is None:
        return None
    context = trace.get_current_span(_propagator.extract({"traceparent": traceparent})).get_span_context()
    return context if context.is_valid else None


def _fields(job: HandOut, code: str) -> dict[str, str]:
    return {"job_id": str(job.job_id), "failed_stage": job.stage, "error_code": code}
