"""Handing work to a service's own workers, bounded."""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kombu.exceptions import OperationalError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ml_shared.auth.context import CallerContext
from ml_shared.contracts.queueing import EnqueueAnswer
from ml_shared.errors import RateLimitedError, UnavailableError
from ml_shared.names import Operation, Queue, RequestMode
from ml_shared.queues.results import ResultStore
from ml_shared.settings import ServiceSettings
from ml_shared.storage.lua import LuaScript
from ml_shared.telemetry.metrics import count_rejection, service_name, start_rejections
from ml_shared.telemetry.readings import Reading, Values

if TYPE_CHECKING:
    from celery import Task

EPOCH_KEY: Final = "ml:queue_epoch"
UNACKED_KEY: Final = "unacked"
# the hash in which kombu keeps what workers hold and have not acknowledged
MAX_QUEUED_BYTES: Final = 256 * 2**20
# a document's chunks travel in its message, tens of megabytes at worst; this is a quarter of the embedding VM's Redis
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
    "How long the task that comes next has waited in the queue; 0 when none does.",
    _LABELS,
)
_oldest: Final = LuaScript("ml_shared.queues", "queue_oldest.lua")


class TaskQueue:
    """A Celery queue, as the API in front of it sees it: bounded in tasks and in bytes.

    Both are read, and then the task is queued: requests that come between are counted within this process, so that
    the bound is overshot by at most what the *other* API processes have in flight.
    """

    def __init__(self, redis: Redis, settings: ServiceSettings, queue: Queue) -> None:
        self._redis = redis
        self._queue = queue
        self._max_depth = settings.MAX_QUEUE_DEPTH
        self._results = ResultStore(redis, settings)
        self._arriving = self._arriving_bytes = 0
        start_rejections(queue, ("queue_full", "unavailable"))
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
        task_id = str(uuid.uuid4())
        size = _message_bytes(kwargs)
        self._arriving += 1
        self._arriving_bytes += size
        try:
            depth, queued_bytes, epoch = await self._look()
            if depth + self._arriving > self._max_depth:
                raise self._full(f"{depth} tasks are waiting or being worked on")
            if queued_bytes + self._arriving_bytes > MAX_QUEUED_BYTES:
                raise self._full(f"{queued_bytes} bytes are waiting, {MAX_QUEUED_BYTES} is the most")
            if job_id is None:
                await self._results.reserve(task_id, ctx.owner)
            try:
                await self._publish(task, task_id, ctx, kwargs)
            except Exception:
                if job_id is None:
                    await self._results.release(task_id)
                raise
        except RedisError as error:
            raise self._unavailable() from error
        finally:
            self._arriving -= 1
            self._arriving_bytes -= size
        return EnqueueAnswer(job_id=job_id, task_id=task_id, queue_epoch=epoch)

    async def depth(self) -> int:
        """Return how many tasks are waiting, or held by a worker."""
        depth, _, _ = await self._look()
        return depth

    async def epoch(self) -> str:
        """Return the name of this life of the queue's Redis; after a wipe it is another one."""
        _, _, epoch = await self._look()
        return epoch

    async def read_gauges(self) -> Values:
        """Return depth, limit and oldest age of the queue, for a scrape."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.llen(self._queue)
            pipeline.hlen(UNACKED_KEY)
            waiting, held = await pipeline.execute()
        queued_at = await _oldest(self._redis, [self._queue]) if waiting else None
        age = max(time.time() - float(queued_at), 0.0) if queued_at is not None else 0.0
        labels = (service_name(), str(self._queue), RequestMode.ASYNC.value, Operation.WRITE.value)
        return {
            DEPTH: {labels: float(waiting + held)},
            LIMIT: {labels: float(self._max_depth)},
            OLDEST: {labels: age},
        }

    async def _look(self) -> tuple[int, int, str]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.llen(self._queue)
            pipeline.hlen(UNACKED_KEY)
            pipeline.set(EPOCH_KEY, uuid.uuid4().hex, nx=True)
            pipeline.get(EPOCH_KEY)
            for key in (self._queue, UNACKED_KEY):
                pipeline.memory_usage(key, samples=0)  # 0: exact, by looking at every message's length
            waiting, held, _, epoch, *sizes = await pipeline.execute()
        return int(waiting) + int(held), sum(size or 0 for size in sizes), epoch.decode()

    async def _publish(self, task: "Task", task_id: str, ctx: CallerContext, kwargs: Mapping[str, Any]) -> None:
        headers = {CALLER_TYPE_HEADER: ctx.caller_type, REQUEST_ID_HEADER: ctx.request_id}
        try:  # a thread, because Celery's producer blocks; the current span goes with it
            await asyncio.to_thread(
                task.apply_async,
                kwargs=dict(kwargs),
                task_id=task_id,
                queue=str(self._queue),
                headers=headers,
                argsrepr="()",
                kwargsrepr="{...}",  # else the message's headers, and from there logs, quote what the caller sent
            )
        except (OperationalError, RedisError, OSError) as error:
            raise self._unavailable() from error

    def _full(self, why: str) -> RateLimitedError:
        count_rejection(self._queue, "queue_full")
        return RateLimitedError(f"the queue is full: {why}", code="queue_full", retry_after_seconds=FULL_RETRY_SECONDS)

    def _unavailable(self) -> UnavailableError:
        count_rejection(self._queue, "unavailable")
        return UnavailableError(
            "the queue can't take tasks at the moment",
            code="queue_unavailable",
            retry_after_seconds=UNAVAILABLE_RETRY_SECONDS,
        )


def _message_bytes(kwargs: Mapping[str, Any]) -> int:
    """Return how long a task's arguments are in Redis: as ASCII JSON, in base64."""
    return len(json.dumps(kwargs)) * 4 // 3
