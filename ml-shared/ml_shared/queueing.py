"""Handing work to a service's own workers, bounded."""

import asyncio
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kombu.exceptions import OperationalError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ml_shared.auth.context import CallerContext
from ml_shared.contracts.queueing import EnqueueAnswer
from ml_shared.errors import RateLimitedError, UnavailableError
from ml_shared.metrics import QUEUE_REJECTIONS, service_name
from ml_shared.names import Queue
from ml_shared.results import ResultStore
from ml_shared.settings import ServiceSettings

if TYPE_CHECKING:
    from celery import Task

EPOCH_KEY: Final = "ml:queue_epoch"
UNACKED_KEY: Final = "unacked"
# the hash in which kombu keeps what workers hold and have not acknowledged
FULL_RETRY_SECONDS: Final = 30
UNAVAILABLE_RETRY_SECONDS: Final = 5
CALLER_TYPE_HEADER: Final = "ml_caller_type"
REQUEST_ID_HEADER: Final = "ml_request_id"
# of a task's message: who asked for it, for the worker's spans and log lines


class TaskQueue:
    """A Celery queue, as the API in front of it sees it.

    The depth is read, and then the task is queued: requests that come between are counted within this process, so that
    the bound is overshot by at most what the *other* API processes have in flight.
    """

    def __init__(self, redis: Redis, settings: ServiceSettings, queue: Queue) -> None:
        self._redis = redis
        self._queue = queue
        self._max_depth = settings.MAX_QUEUE_DEPTH
        self._results = ResultStore(redis, settings)
        self._arriving = 0

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
            `queue_full`, with `Retry-After: 30`, or `results_full`.
        UnavailableError
            `queue_unavailable`, when Redis does not take it.
        """
        task_id = str(uuid.uuid4())
        self._arriving += 1
        try:
            depth, epoch = await self._look()
            if depth + self._arriving > self._max_depth:
                QUEUE_REJECTIONS.labels(service_name(), self._queue, "queue_full").inc()
                raise RateLimitedError(
                    f"the queue is full: {depth} tasks are waiting or being worked on",
                    code="queue_full",
                    retry_after_seconds=FULL_RETRY_SECONDS,
                )
            if job_id is None:
                await self._results.reserve(task_id, ctx.owner)
            try:
                await self._publish(task, task_id, ctx, kwargs)
            except UnavailableError:
                if job_id is None:
                    await self._results.release(task_id)
                raise
        except RedisError as error:
            raise self._unavailable() from error
        finally:
            self._arriving -= 1
        return EnqueueAnswer(job_id=job_id, task_id=task_id, queue_epoch=epoch)

    async def depth(self) -> int:
        """Return how many tasks are waiting, or held by a worker."""
        depth, _ = await self._look()
        return depth

    async def epoch(self) -> str:
        """Return the name of this life of the queue's Redis; after a wipe it is another one."""
        _, epoch = await self._look()
        return epoch

    async def _look(self) -> tuple[int, str]:
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.llen(self._queue)
            pipeline.hlen(UNACKED_KEY)
            pipeline.set(EPOCH_KEY, uuid.uuid4().hex, nx=True)
            pipeline.get(EPOCH_KEY)
            waiting, held, _, epoch = await pipeline.execute()
        return int(waiting) + int(held), epoch.decode()

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

    def _unavailable(self) -> UnavailableError:
        QUEUE_REJECTIONS.labels(service_name(), self._queue, "unavailable").inc()
        return UnavailableError(
            "the queue can't take tasks at the moment",
            code="queue_unavailable",
            retry_after_seconds=UNAVAILABLE_RETRY_SECONDS,
        )
