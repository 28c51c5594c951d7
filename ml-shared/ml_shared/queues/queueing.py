"""Handing work to a service's own workers, bounded."""

import asyncio
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from kombu.exceptions import OperationalError
from opentelemetry import context, trace
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ml_shared.auth.context import CallerContext
from ml_shared.contracts.queueing import EnqueueAnswer
from ml_shared.errors import RateLimitedError, ServiceError, UnavailableError
from ml_shared.names import Operation, Queue, RequestMode
from ml_shared.queues.lists import PRIORITY_STEPS, queue_lists
from ml_shared.queues.messages import WrittenMessage
from ml_shared.queues.results import ResultStore
from ml_shared.queues.room import EPOCH_KEY, UNACKED_KEY, QueueRoom, Room, Verdict, release
from ml_shared.settings import ServiceSettings
from ml_shared.storage.lua import LuaScript
from ml_shared.telemetry.metrics import count_rejection, service_name, start_rejections
from ml_shared.telemetry.readings import Reading, Values

if TYPE_CHECKING:
    from celery import Task

MAX_QUEUED_BYTES: Final = 256 * 2**20
# a document's chunks travel in its message, packed, some megabytes at worst; this is a quarter of the embedding VM's Redis
PACK_MOST: Final = 4
# hand-outs in one message: so many jobs a child works on at once, and so many are given back if it dies
FULL_RETRY_SECONDS: Final = 30
UNAVAILABLE_RETRY_SECONDS: Final = 5
CALLER_TYPE_HEADER: Final = "ml_caller_type"
REQUEST_ID_HEADER: Final = "ml_request_id"
# of a task's message: who asked for it, for the worker's spans and log lines
QUEUED_AT_HEADER: Final = "ml_queued_at"
# Unix seconds; `queue_oldest.lua` looks for it

_LABELS: Final = ("service", "queue", "request_mode", "operation")
DEPTH: Final = Reading("ml_queue_depth", "Tasks that wait in the queue, or that a worker holds.", _LABELS)
LIMIT: Final = Reading("ml_queue_limit", "Tasks that the queue takes in.", _LABELS)
OLDEST: Final = Reading(
    "ml_queue_oldest_age_seconds",
    "How long the task that came first has waited in the queue; 0 when none does.",
    _LABELS,
)
_BY_BYTES: Final = frozenset({Verdict.QUEUE_BYTES, Verdict.DIRECT_BYTES, Verdict.OWNER_BYTES})
_BEYOND_ASCII: Final = bytes(range(0x80, 0x100))
_ESCAPED: Final = 3
# characters of an escape a byte of UTF-8: é is two bytes and six characters, an emoji four and twelve; € takes less
_propagator: Final = TraceContextTextMapPropagator()
_tracer: Final = trace.get_tracer(__name__)
_oldest: Final = LuaScript("ml_shared.queues", "queue_oldest.lua")


@dataclass(frozen=True, slots=True)
class HandedOut:
    """A stage of a job, as the orchestrator hands it out.

    Attributes
    ----------
    kwargs
        The task's: plain JSON; never a key.
    traceparent
        What the task's trace goes on from, where that is not the request's.
    alone
        Whether it has to have a message of its own.
    """

    job_id: str
    kwargs: Mapping[str, Any]
    traceparent: str | None = None
    alone: bool = False


class TaskQueue:
    """A Celery queue, as the API in front of it sees it: bounded in messages and in bytes, and shared out among callers.

    One caller has at most a quarter of either, all callers together three quarters: the rest is the orchestrator's, whose
    hand-outs are worked off first. See `ml_shared.queues.room` and `ml_shared.queues.lists`.
    """

    def __init__(self, redis: Redis, settings: ServiceSettings, queue: Queue) -> None:
        self._redis = redis
        self._queue = queue
        self._lists = queue_lists(queue)
        self._max_depth = settings.MAX_QUEUE_DEPTH
        self._room = QueueRoom(redis, queue, max_tasks=settings.MAX_QUEUE_DEPTH, max_bytes=MAX_QUEUED_BYTES)
        self._results = ResultStore(redis, settings)
        start_rejections(queue, ("queue_full", "too_many_tasks", "unavailable"))
        start_rejections("results", ("results_full", "too_many_tasks"))

    async def enqueue(
        self, task: "Task", ctx: CallerContext, *, kwargs: Mapping[str, Any], job_id: str | None
    ) -> EnqueueAnswer:
        """Queue a task, and register its outcome when no job's callback will tell it.

        Parameters
        ----------
        kwargs
            Plain JSON; never a key.
        job_id
            The job whose stage this is, when the orchestrator hands it out.

        Raises
        ------
        RateLimitedError
            `queue_full`, with `Retry-After: 30`; without a job also `too_many_tasks` and `results_full`.
        UnavailableError
            `queue_unavailable`, when Redis does not take it.
        """
        if job_id is not None:
            (answer,) = await self.hand_out(task, ctx, [HandedOut(job_id, kwargs)])
            if isinstance(answer, ServiceError):
                raise answer
            return answer
        task_id = str(uuid.uuid4())
        try:
            room = await self._take_in(task, task_id, ctx, kwargs)
        except RedisError as error:
            raise self._unavailable() from error
        return EnqueueAnswer(task_id=task_id, queue_epoch=room.epoch)

    async def hand_out(
        self, task: "Task", ctx: CallerContext, handed: Sequence[HandedOut], *, several: "Task | None" = None
    ) -> list[EnqueueAnswer | RateLimitedError]:
        """Queue stages of jobs with one word to Redis; return of each what became of it, in their order.

        Parameters
        ----------
        several
            The task that takes several of them with one message, if there is one: a `PackTask`.

        Raises
        ------
        UnavailableError
            `queue_unavailable`, when Redis does not take them. Some may be queued all the same.
        """
        packs = _packs(handed, together=several is not None)
        messages = [self._written(task, several, ctx, [handed[number] for number in pack]) for pack in packs]
        try:
            rooms = await self._room.hand_out(messages)
        except RedisError as error:
            raise self._unavailable() from error
        answers: dict[int, EnqueueAnswer | RateLimitedError] = {}
        for pack, (task_id, _), room in zip(packs, messages, rooms, strict=True):
            for number in pack:
                answers[number] = (
                    EnqueueAnswer(job_id=handed[number].job_id, task_id=task_id, queue_epoch=room.epoch)
                    if room.verdict is Verdict.TAKEN
                    else self._refusal(room)
                )
        return [answers[number] for number in range(len(handed))]

    def _written(
        self, task: "Task", several: "Task | None", ctx: CallerContext, pack: Sequence[HandedOut]
    ) -> tuple[str, bytes]:
        """Return the message of these hand-outs, its task's id before it."""
        task_id, written = str(uuid.uuid4()), WrittenMessage()
        if several is None or len(pack) == 1:
            (only,) = pack
            with _within(only.traceparent):
                task.apply_async(producer=written, **self._options(task_id, ctx, only.kwargs, PRIORITY_STEPS[0]))
            return task_id, written.message
        jobs = [{"kwargs": dict(each.kwargs), **_published(task.name, each.traceparent)} for each in pack]
        several.apply_async(producer=written, **self._options(task_id, ctx, {"jobs": jobs}, PRIORITY_STEPS[0]))
        return task_id, written.message

    async def _take_in(self, task: "Task", task_id: str, ctx: CallerContext, kwargs: Mapping[str, Any]) -> Room:
        size = _message_bytes(kwargs)
        room = await self._room.reserve(task_id, size, ctx.owner)
        if room.verdict is not Verdict.TAKEN:
            raise self._refusal(room)
        try:
            await self._register_and_publish(task, task_id, ctx, kwargs, room.priority)
        except BaseException:
            with suppress(RedisError):
                await release(self._redis, task_id)
            raise
        finally:
            await self._room.arrived(task_id, size)
        return room

    async def depth(self) -> int:
        """Return how many tasks are waiting, or held by a worker."""
        waiting, held = await self._count()
        return waiting + held

    async def epoch(self) -> str:
        """Return the name of this life of the queue's Redis; after a wipe it is another one."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.set(EPOCH_KEY, uuid.uuid4().hex, nx=True)
            pipeline.get(EPOCH_KEY)
            _, epoch = await pipeline.execute()
        name: str = epoch.decode()
        return name

    async def read_gauges(self) -> Values:
        """Return depth, limit and oldest age of the queue, for a scrape."""
        waiting, held = await self._count()
        queued_at = await _oldest(self._redis, self._lists) if waiting else None
        age = max(time.time() - float(queued_at), 0.0) if queued_at is not None else 0.0
        labels = (service_name(), str(self._queue), RequestMode.ASYNC.value, Operation.WRITE.value)
        return {
            DEPTH: {labels: float(waiting + held)},
            LIMIT: {labels: float(self._max_depth)},
            OLDEST: {labels: age},
        }

    async def _count(self) -> tuple[int, int]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            for key in self._lists:
                pipeline.llen(key)
            pipeline.hlen(UNACKED_KEY)
            *waiting, held = await pipeline.execute()
        return sum(waiting), int(held)

    async def _register_and_publish(
        self, task: "Task", task_id: str, ctx: CallerContext, kwargs: Mapping[str, Any], priority: int
    ) -> None:
        await self._results.reserve(task_id, ctx.owner)
        try:
            await self._publish(task, self._options(task_id, ctx, kwargs, priority))
        except Exception:
            await self._results.release(task_id)
            raise

    async def _publish(self, task: "Task", options: Mapping[str, Any]) -> None:
        try:  # a thread, because Celery's producer blocks; the current span goes with it
            await asyncio.to_thread(task.apply_async, **options)
        except (OperationalError, RedisError, OSError) as error:
            raise self._unavailable() from error

    def _options(self, task_id: str, ctx: CallerContext, kwargs: Mapping[str, Any], priority: int) -> dict[str, Any]:
        return {
            "kwargs": dict(kwargs),
            "task_id": task_id,
            "queue": str(self._queue),
            "priority": priority,
            "headers": {CALLER_TYPE_HEADER: ctx.caller_type, REQUEST_ID_HEADER: ctx.request_id},
            "argsrepr": "()",
            "kwargsrepr": "{...}",  # else the message's headers, and from there logs, quote what the caller sent
        }

    def _refusal(self, room: Room) -> RateLimitedError:
        what = "bytes" if room.verdict in _BY_BYTES else "tasks"
        if room.verdict in (Verdict.OWNER_TASKS, Verdict.OWNER_BYTES):
            count_rejection(self._queue, "too_many_tasks")
            return RateLimitedError(
                f"{room.counted} {what} of yours wait or are being worked on; one caller may have a quarter of the queue, "
                "and POST /jobs on the orchestrator takes more",
                code="too_many_tasks",
                retry_after_seconds=FULL_RETRY_SECONDS,
            )
        count_rejection(self._queue, "queue_full")
        return RateLimitedError(
            f"the queue is full: {room.counted} {what} wait or are being worked on",
            code="queue_full",
            retry_after_seconds=FULL_RETRY_SECONDS,
        )

    def _unavailable(self) -> UnavailableError:
        count_rejection(self._queue, "unavailable")
        return UnavailableError(
            "the queue can't take tasks at the moment",
            code="queue_unavailable",
            retry_after_seconds=UNAVAILABLE_RETRY_SECONDS,
        )


@contextmanager
def _within(traceparent: str | None) -> Iterator[None]:
    """Be in a trace that goes on from elsewhere than the request's."""
    if traceparent is None:
        yield
        return
    token = context.attach(_propagator.extract({"traceparent": traceparent}, context.Context()))
    try:
        yield
    finally:
        context.detach(token)


def _packs(handed: Sequence[HandedOut], *, together: bool) -> list[list[int]]:
    """Return which hand-outs share a message, by their numbers: about as many in each."""
    alone = [number for number, each in enumerate(handed) if each.alone or not together]
    others = [number for number, each in enumerate(handed) if together and not each.alone]
    count = -(-len(others) // PACK_MOST)
    return [*([number] for number in alone), *(others[first::count] for first in range(count))]


def _published(name: str, traceparent: str | None) -> dict[str, str]:
    """Have a job's own trace say that it was queued, as its own message would, and return what goes on from there."""
    told: dict[str, str] = {}
    with _within(traceparent), _tracer.start_as_current_span(f"apply_async/{name}", kind=SpanKind.PRODUCER):
        _propagator.inject(told)
    return told


def _message_bytes(kwargs: Mapping[str, Any]) -> int:
    """Return how long a task's arguments are in Redis, at most: as ASCII JSON, in base64.

    Reckoned from their UTF-8, since writing megabytes as ASCII would hold the event loop for as long as nobody else may.
    """
    written = orjson.dumps(kwargs)
    plain = len(written.translate(None, _BEYOND_ASCII))
    return (plain + _ESCAPED * (len(written) - plain)) * 4 // 3
