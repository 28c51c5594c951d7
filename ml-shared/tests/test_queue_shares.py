"""A queue among several callers: how much of it one may fill, and whose task is worked off next."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Task
from redis.asyncio import Redis

from ml_shared.auth.context import CallerContext
from ml_shared.errors import InvalidError, RateLimitedError
from ml_shared.names import Queue
from ml_shared.queues.lists import queue_lists
from ml_shared.queues.queueing import TaskQueue
from ml_shared.queues.results import ResultStore
from ml_shared.queues.room import EMPTY_SECONDS, HAND_OUTS_A_DIRECT_TASK, HOLD_SECONDS
from ml_shared.settings import ServiceSettings
from ml_shared.storage.redis_client import open_redis
from ml_shared.testing.worker import WorkerProcess
from ml_shared.worker.celery import build_celery_app

ORCHESTRATOR = CallerContext(
    caller_id="o", caller_type="service", owner="key:o", service="orchestrator", is_internal=True
)
PAGE = {"word": "é" * 5_000}
# 40,000 bytes as ASCII JSON in base64
AT_ONCE = 10


def _caller(name: str) -> CallerContext:
    return CallerContext(caller_id=name, caller_type="user", owner=f"key:{name}")


def _settings(redis_url: str, **more: Any) -> ServiceSettings:
    return ServiceSettings(
        _env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1", REDIS_URL=redis_url, **more
    )


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator["Redis"]:
    async with open_redis(redis_url) as client:
        yield client


@pytest.fixture
def task(redis_url: str) -> Iterator[Task]:
    """The task of `worker_app`, as an API sees it."""
    app = build_celery_app(_settings(redis_url), queue=Queue.SCRAPER, include=[], resources=contextlib.nullcontext)

    @app.task(name="probe.plain_task")
    def plain_task(word: str) -> None:
        """Run by the worker's process only."""

    yield plain_task
    app.close()


def _queue(redis: Redis, redis_url: str, **more: Any) -> TaskQueue:
    return TaskQueue(redis, _settings(redis_url, **more), Queue.SCRAPER)


async def _lengths(redis: Redis) -> list[int]:
    return [await redis.llen(key) for key in queue_lists("scraper")]


async def _fill(queue: TaskQueue, task: Task, ctx: CallerContext, kwargs: dict[str, str], times: int) -> list[str]:
    """Queue as many as there is room for; return the codes of the refusals."""
    few = asyncio.Semaphore(AT_ONCE)
    refused: list[str] = []

    async def one() -> None:
        async with few:
            try:
                await queue.enqueue(task, ctx, kwargs=kwargs, job_id=None)
            except RateLimitedError as error:
                refused.append(error.code)

    await asyncio.gather(*(one() for _ in range(times)))
    return refused


async def test_one_caller_fills_a_quarter_of_the_tasks_and_all_callers_three(
    redis: Redis, redis_url: str, task: Task
) -> None:
    queue = _queue(redis, redis_url, MAX_QUEUE_DEPTH=12)
    for caller in ("a", "b", "c"):
        assert await _fill(queue, task, _caller(caller), {"word": "w"}, 5) == ["too_many_tasks"] * 2
    assert sum(await _lengths(redis)) == 9
    for number in range(3):
        await queue.enqueue(task, ORCHESTRATOR, kwargs={"word": "w"}, job_id=f"job-{number}")
    with pytest.raises(RateLimitedError) as refused:
        await queue.enqueue(task, ORCHESTRATOR, kwargs={"word": "w"}, job_id="job-4")
    assert refused.value.code == "queue_full"


async def test_one_caller_fills_a_quarter_of_the_bytes_and_all_callers_three(
    redis: Redis, redis_url: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_shared.queues.queueing.MAX_QUEUED_BYTES", 400_000)
    # two processes of the API, which know of each other only by Redis
    queues = [_queue(redis, redis_url), _queue(redis, redis_url)]
    for caller in ("a", "b", "c"):
        codes = [code for queue in queues for code in await _fill(queue, task, _caller(caller), PAGE, 9)]
        assert codes == ["too_many_tasks"] * 16
        await queues[0].enqueue(task, _caller(caller), kwargs={"word": "short"}, job_id=None)
    with pytest.raises(RateLimitedError) as refused:
        await queues[1].enqueue(task, _caller("d"), kwargs={"word": "é" * 9_000}, job_id=None)
    assert refused.value.code == "queue_full"
    for number in range(2):
        await queues[0].enqueue(task, ORCHESTRATOR, kwargs=PAGE, job_id=f"job-{number}")


async def test_a_task_longer_than_a_quarter_gets_in_alone(
    redis: Redis, redis_url: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_shared.queues.queueing.MAX_QUEUED_BYTES", 100_000)
    queue = _queue(redis, redis_url)
    assert await _fill(queue, task, _caller("a"), PAGE, 3) == ["too_many_tasks"] * 2
    await queue.enqueue(task, _caller("b"), kwargs={"word": "w"}, job_id=None)


async def test_a_task_that_ended_makes_room_for_its_owners_next(redis: Redis, redis_url: str, task: Task) -> None:
    queue, store = _queue(redis, redis_url, MAX_QUEUE_DEPTH=8), ResultStore(redis, _settings(redis_url))
    first, second = [
        (await queue.enqueue(task, _caller("a"), kwargs={"word": "w"}, job_id=None)).task_id for _ in range(2)
    ]
    assert await _fill(queue, task, _caller("a"), {"word": "w"}, 1) == ["too_many_tasks"]
    await store.finish(first, b"{}", 200)
    await store.finish(first, b"{}", 200)  # it ran twice, and frees no second place
    await store.finish_failed(second, InvalidError("no"))
    assert await _fill(queue, task, _caller("a"), {"word": "w"}, 3) == ["too_many_tasks"]
    assert await redis.hget("ml:queue:owner_tasks", "key:a") == b"2"


async def test_what_was_never_released_is_forgotten_when_it_expires_or_nothing_is_queued(
    redis: Redis, redis_url: str, task: Task
) -> None:
    queue = _queue(redis, redis_url, MAX_QUEUE_DEPTH=8)
    assert await _fill(queue, task, _caller("a"), {"word": "w"}, 2) == []
    await redis.delete(*queue_lists("scraper"))
    assert await _fill(queue, task, _caller("a"), {"word": "w"}, 1) == ["too_many_tasks"], "it may be arriving"
    for _ in range(2):  # as if so long ago
        for member in await redis.zrange("ml:queue:direct", 0, -1):
            await redis.zincrby("ml:queue:direct", -EMPTY_SECONDS, member)
        await redis.delete("ml:results:owner_tasks")
        assert await _fill(queue, task, _caller("a"), {"word": "w"}, 2) == []
        await redis.delete(*queue_lists("scraper"))
    await queue.enqueue(task, ORCHESTRATOR, kwargs={"word": "w"}, job_id="job-1")  # it is not empty any more
    for member in await redis.zrange("ml:queue:direct", 0, -1):
        await redis.zincrby("ml:queue:direct", -HOLD_SECONDS, member)
    await redis.delete("ml:results:owner_tasks")
    assert await _fill(queue, task, _caller("a"), {"word": "w"}, 1) == []
    assert await redis.hgetall("ml:queue:owner_tasks") == {b"key:a": b"1"}


async def test_hand_outs_come_first_then_who_has_few_tasks_then_who_has_many(
    redis: Redis, redis_url: str, task: Task
) -> None:
    """One caller queues all that it can; the only task of another, and the orchestrator's, do not wait for it."""
    queue = _queue(redis, redis_url, MAX_QUEUE_DEPTH=400)
    assert len(await _fill(queue, task, _caller("a"), {"word": "flood"}, 110)) == 10
    await queue.enqueue(task, _caller("b"), kwargs={"word": "other"}, job_id=None)
    await queue.enqueue(task, ORCHESTRATOR, kwargs={"word": "job"}, job_id="job-1")
    task.apply_async(kwargs={"word": "old"}, queue="scraper")  # as an API of an earlier version queues a direct task
    assert await _lengths(redis) == [2, 2, 7, 92]
    gauges = await queue.read_gauges()
    assert [next(iter(series.values())) for series in gauges.values()][:2] == [103.0, 400.0]
    worker = WorkerProcess(
        "worker_app",
        queue="scraper",
        folder=Path(__file__).parent,
        env={"REDIS_URL": redis_url, "ORCHESTRATOR_URL": None},
    )
    with worker:
        while await redis.llen("plain") < 103:
            assert worker.running, worker.output
            await asyncio.sleep(0.05)
    assert (await redis.lrange("plain", 0, -1))[:5] == [b"job", b"old", b"flood", b"other", b"flood"]


async def test_hand_outs_without_end_let_a_direct_task_in_now_and_then(
    redis: Redis, redis_url: str, task: Task
) -> None:
    queue = _queue(redis, redis_url)
    assert await _fill(queue, task, _caller("a"), {"word": "w"}, 2) == []
    for number in range(HAND_OUTS_A_DIRECT_TASK):
        await queue.enqueue(task, ORCHESTRATOR, kwargs={"word": "w"}, job_id=f"job-{number}")
    assert await _lengths(redis) == [HAND_OUTS_A_DIRECT_TASK + 1, 0, 1, 0]
