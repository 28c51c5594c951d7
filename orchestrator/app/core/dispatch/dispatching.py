"""The dispatcher: takes runnable jobs of a stage in fair order and hands them out.

Claim, commit, then call: no transaction is open during HTTP, and what a crash leaves behind is a lease that runs out.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import asyncpg
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.core import metrics
from app.core.content.store import PURGE_BATCH, ContentStore, purge
from app.core.dispatch.claims import claim, give_back, note_dispatch, queued, reject
from app.core.dispatch.hand_outs import HandOut, Page
from app.core.dispatch.pipeline import StageDefinition, definition_of
from app.core.dispatch.stage_calls import Accepted, Answered, Outcome, Rejected, StageClient, Unavailable, Unknown
from app.core.jobs.transitions import CONTENT_MISSING, Limits, complete, exhausted
from ml_shared.contracts.jobs import CallbackStatus, StageCallback
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
BATCH_SPAN = "dispatch.batch"

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
        return Pass(len(claimed), await self.hand_out(claimed, this_pass))

    async def claim(self, stage: Stage) -> list[HandOut]:
        """Claim what a pass of a stage may hand out: each of these jobs has a lease now, and is to be handed out."""
        definition, policy = definition_of(stage), self._policy
        if definition.by_host and await self._content_is_full():
            metrics.HIGH_WATER.labels(stage).inc()
            return []
        runs_here = definition.read_answer is not None
        return await claim(
            self._pool,
            definition,
            in_flight=policy.in_flight[stage],
            high_water=policy.high_water_jobs,
            lease_seconds=self._limits.run_lease_seconds if runs_here else policy.dispatch_lease_seconds,
            deadline_seconds=self._limits.stage_deadline_seconds if runs_here else None,
        )

    async def hand_out(self, jobs: Sequence[HandOut], this_pass: SpanContext | None = None) -> frozenset[Stage]:
        """Hand out jobs of one stage that were claimed, and return which stages to look at next.

        Those for a queue go with one call. Whatever goes wrong is logged: their leases bring jobs back, and no other is
        cut off for it.

        Parameters
        ----------
        this_pass
            The span of the pass that claimed them, if that has one.
        """
        if not jobs:
            return frozenset()
        definition = definition_of(jobs[0].stage)
        if definition.read_answer is not None:
            moved = await asyncio.gather(*(self._run_here(definition, job, this_pass) for job in jobs))
            # of a stage whose answer is its result a slot is free again
            return frozenset(stage for stage in (*moved, definition.stage) if stage is not None)
        under_way = [_UnderWay(job, self._span(job, this_pass)) for job in jobs]
        try:
            return await self._queue(definition, under_way)
        finally:
            for each in under_way:
                each.span.end()

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

    def _span(self, job: HandOut, this_pass: SpanContext | None) -> Span:
        """Begin the span of a hand-out: a child of the job's own, whoever makes the pass."""
        links = [Link(context) for context in (this_pass, _span_context(job.earlier_traceparent)) if context]
        parent = _propagator.extract({"traceparent": job.traceparent}) if job.traceparent else None
        span = tracer.start_span(HAND_OUT_SPAN, context=parent, kind=SpanKind.INTERNAL, links=links)
        span.set_attribute(attributes.JOB_ID, str(job.job_id))
        span.set_attribute(attributes.JOB_URL, told_url(job.url))
        span.set_attribute(attributes.DISPATCH_STAGE, job.stage)
        span.set_attribute(attributes.OPERATION, Operation.WRITE.value)
        return span

    async def _queue(self, definition: StageDefinition, under_way: "Sequence[_UnderWay]") -> frozenset[Stage]:
        """Put jobs into their stage's queue and record what became of each; say if that stage has work again."""
        try:
            outcomes = await self._outcomes(definition, under_way)
        except Exception:
            for each in under_way:
                logger.exception("hand_out_broke", extra=_fields(each.job, "internal_error"))
            return frozenset()
        by_epoch: dict[str | None, list[_UnderWay]] = {}
        others: list[tuple[_UnderWay, Outcome]] = []
        for each, outcome in zip(under_way, outcomes, strict=True):
            metrics.HAND_OUTS.labels(definition.stage, type(outcome).__name__.lower()).inc()
            if isinstance(outcome, Accepted):
                by_epoch.setdefault(outcome.queue_epoch, []).append(each)
            else:
                others.append((each, outcome))
        # first: that some were taken ends a pause, that others were not begins one
        taken = [self._guarded(each, self._queued(definition, each, epoch)) for epoch, each in by_epoch.items()]
        lost = await asyncio.gather(*taken)
        await asyncio.gather(*(self._guarded([each], self._settle(each, outcome)) for each, outcome in others))
        return frozenset([definition.stage] if any(lost) else [])

    async def _outcomes(self, definition: StageDefinition, under_way: "Sequence[_UnderWay]") -> list[Outcome]:
        if len(under_way) > 1:
            # no job's own: each goes on with its own trace, in which its hand-out stands
            links = [Link(each.span.get_span_context()) for each in under_way]
            with tracer.start_as_current_span(
                BATCH_SPAN, context=Context(), kind=SpanKind.INTERNAL, links=links
            ) as span:
                span.set_attribute(attributes.DISPATCH_STAGE, definition.stage)
                span.set_attribute(attributes.OPERATION, Operation.WRITE.value)
                outcomes = await self._stages.hand_out_several(
                    definition, [(each.job, each.traceparent) for each in under_way]
                )
            if outcomes is not None:
                return outcomes
        return await asyncio.gather(*(self._outcome(definition, each) for each in under_way))

    async def _outcome(self, definition: StageDefinition, each: "_UnderWay") -> Outcome:
        with trace.use_span(each.span):
            return await self._stages.hand_out(definition, each.job)

    async def _guarded(self, handed: "Sequence[_UnderWay]", settling: Awaitable[bool]) -> bool:
        try:
            return await settling
        except Exception:
            for each in handed:
                logger.exception("hand_out_broke", extra=_fields(each.job, "internal_error"))
            return False

    async def _queued(self, definition: StageDefinition, taken: "Sequence[_UnderWay]", epoch: str | None) -> bool:
        """Record that a stage's queue has these jobs; say if the stage has work again because of it."""
        with trace.use_span(taken[0].span):
            lost = await queued(
                self._pool,
                definition.stage,
                [(each.job, each.traceparent) for each in taken],
                queue_epoch=epoch,
                lease_seconds=self._policy.queue_lease_seconds,
            )
        if lost:
            logger.warning("queue_wiped", extra={"failed_stage": definition.stage, "jobs_released": lost})
        return lost > 0

    async def _settle(self, each: "_UnderWay", outcome: Outcome) -> bool:
        """Record why a queue has not, or may not have, what was handed out to it."""
        job, span = each.job, each.span
        with trace.use_span(span):
            match outcome:
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
                    await note_dispatch(self._pool, job, each.traceparent)  # it may be under way
                    logger.warning("hand_out_unanswered", extra={**_fields(job, "unknown"), "reason": reason})
                case _:
                    raise TypeError(f"not an answer of a queue: {outcome!r}")
        return False

    async def _pause(self, job: HandOut, reason: str) -> None:
        seconds = await give_back(
            self._pool, job, reason=reason, base_seconds=PAUSE_BASE_SECONDS, most_seconds=PAUSE_MOST_SECONDS
        )
        if seconds is not None:
            metrics.STAGE_PAUSES.labels(job.stage).inc()
            logger.error(
                "stage_paused", extra={"failed_stage": job.stage, "reason": reason, "pause_seconds": round(seconds, 1)}
            )

    async def _run_here(self, definition: StageDefinition, job: HandOut, this_pass: SpanContext | None) -> Stage | None:
        """Run a stage whose answer is its result; this pass is its worker, and reports as any worker does."""
        each = _UnderWay(job, self._span(job, this_pass))
        with trace.use_span(each.span, end_on_exit=True):
            try:
                return await self._run(definition, each)
            except Exception:
                logger.exception("hand_out_broke", extra=_fields(job, "internal_error"))
                return None

    async def _run(self, definition: StageDefinition, each: "_UnderWay") -> Stage | None:
        job, span = each.job, each.span
        if (job.attempts or 0) > self._limits.max_attempts:
            ended = await exhausted(self._pool, job, self._limits)
            if ended is not None:
                metrics.count_ended(ended)
            return None
        try:
            callback = await self._work_here(definition, job, span)
        except ServiceError as error:
            # what was kept is spoilt, or its chunks are too long to keep: it would be so again
            callback = _failed(job, error.code, error.detail)
        if callback.status is not CallbackStatus.SUCCESS:
            span.set_attribute(attributes.FAILED_STAGE, job.stage)
            span.set_attribute(attributes.ERROR_CODE, callback.error_code or "")
            logger.warning("stage_not_done", extra=_fields(job, callback.error_code or ""))
        moved = await complete(self._pool, job.job_id, definition, callback, self._limits, traceparent=each.traceparent)
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


class _UnderWay:
    """A job that is being handed out, and its span."""

    def __init__(self, job: HandOut, span: Span) -> None:
        self.job, self.span = job, span
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(span))
        self.traceparent = carrier.get("traceparent")


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
