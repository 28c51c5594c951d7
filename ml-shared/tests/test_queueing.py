"""Handing tasks to the queue: bounded, registered, and traced."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from celery import Task
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.asyncio import Redis

from ml_shared.auth.context import CallerContext
from ml_shared.contracts.queueing import EnqueueAnswer, PendingResult
from ml_shared.errors import RateLimitedError, UnavailableError
from ml_shared.names import Queue
from ml_shared.queues.lists import queue_lists
from ml_shared.queues.queueing import OLDEST, HandedOut, TaskQueue
from ml_shared.queues.results import HELD_BYTES, ResultStore
from ml_shared.settings import ServiceSettings
from ml_shared.storage.redis_client import open_redis
from ml_shared.testing.servers import RedisServer
from ml_shared.worker.celery import WorkerApp, build_celery_app

USER = CallerContext(caller_id="a", caller_type="user", owner="key:a", request_id="request-0001")
OTHER = CallerContext(caller_id="b", caller_type="user", owner="key:b")
ORCHESTRATOR = CallerContext(
    caller_id="o", caller_type="service", owner="key:o", service="orchestrator", is_internal=True
)


def _settings(redis_url: str, **more: Any) -> ServiceSettings:
    return ServiceSettings(
        _env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1", REDIS_URL=redis_url, **more
    )


def _app(settings: ServiceSettings) -> WorkerApp:
    return build_celery_app(settings, queue=Queue.SCRAPER, include=[], resources=contextlib.nullcontext)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator["Redis"]:
    async with open_redis(redis_url) as client:
        yield client


@pytest.fixture
def task(redis_url: str) -> Iterator[Task]:
    app = _app(_settings(redis_url))

    @app.task(name="probe.nothing")
    def nothing(word: str) -> None:
        """Never run here."""

    yield nothing
    app.close()


FIRST_DIRECT = queue_lists("scraper")[1]


async def _message(redis: Redis) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await redis.lindex(FIRST_DIRECT, 0) or b"")
    return message


async def _waiting(redis: Redis) -> int:
    return sum([await redis.llen(key) for key in queue_lists("scraper")])


async def test_a_users_task_is_queued_where_workers_listen_and_registered_for_its_owner(
    redis: Redis, redis_url: str, task: Task
) -> None:
    queue = TaskQueue(redis, _settings(redis_url), Queue.SCRAPER)
    answer = await queue.enqueue(task, USER, kwargs={"word": "somebody's page"}, job_id=None)
    assert (answer.job_id, answer.status) == (None, "queued")
    assert await _waiting(redis) == await redis.llen(FIRST_DIRECT) == 1
    message = await _message(redis)
    assert message["headers"]["id"] == answer.task_id
    assert message["headers"]["ml_request_id"] == "request-0001"
    assert "somebody" not in json.dumps(message["headers"])
    gauges = await queue.read_gauges()
    assert [value for series in gauges.values() for value in series.values()][:2] == [1.0, queue._max_depth]
    assert 0.0 < next(iter(gauges[OLDEST].values())) < 60.0, "the message says since when it waits"
    store = ResultStore(redis, _settings(redis_url))
    assert await store.read(answer.task_id, "key:a") == PendingResult(task_id=answer.task_id, status="queued")
    assert await store.read(answer.task_id, "key:b") is None


async def test_a_jobs_task_is_not_registered_and_says_which_life_of_the_queue_it_is_in(
    redis: Redis, redis_url: str, task: Task
) -> None:
    queue = TaskQueue(redis, _settings(redis_url), Queue.SCRAPER)
    first = await queue.enqueue(task, ORCHESTRATOR, kwargs={"word": "w"}, job_id="job-1")
    second = await queue.enqueue(task, ORCHESTRATOR, kwargs={"word": "w"}, job_id="job-2")
    assert (first.job_id, first.queue_epoch) == ("job-1", second.queue_epoch)
    assert first.queue_epoch == await queue.epoch()
    assert await ResultStore(redis, _settings(redis_url)).read(first.task_id, ORCHESTRATOR.owner) is None
    await redis.flushall()
    third = await queue.enqueue(task, ORCHESTRATOR, kwargs={"word": "w"}, job_id="job-1")
    assert third.queue_epoch != first.queue_epoch


async def test_a_hand_out_is_queued_by_the_one_command_that_makes_room_for_it(
    redis: Redis, redis_url: str, task: Task
) -> None:
    queue = TaskQueue(redis, _settings(redis_url), Queue.SCRAPER)
    await queue.enqueue(task, ORCHESTRATOR, kwargs={"word": "w"}, job_id="j")
    before = await redis.info("commandstats")
    await queue.enqueue(task, ORCHESTRATOR, kwargs={"word": "w"}, job_id="j")
    after = await redis.info("commandstats")

    def more(command: str) -> int:
        calls = [stats.get(f"cmdstat_{command}", {"calls": 0})["calls"] for stats in (before, after)]
        return int(calls[1] - calls[0])

    assert (more("evalsha"), more("lpush"), more("zrem")) == (1, 1, 0)
    assert await redis.zcard("ml:queue:arriving") == 0


@pytest.mark.parametrize("kwargs", [{"word": "w"}, {"word": 'ünïcödé "quoted" \n'}], ids=["plain", "odd"])
async def test_a_hand_outs_message_is_the_one_that_celery_writes(
    redis: Redis, redis_url: str, task: Task, kwargs: dict[str, str]
) -> None:
    queue = TaskQueue(redis, _settings(redis_url), Queue.SCRAPER)
    answer = await queue.enqueue(task, ORCHESTRATOR, kwargs=kwargs, job_id="j")
    ours = json.loads(await redis.lpop("scraper") or b"")
    await asyncio.to_thread(
        task.apply_async,
        kwargs=kwargs,
        task_id=answer.task_id,
        queue="scraper",
        priority=0,
        headers={"ml_caller_type": "service", "ml_request_id": ORCHESTRATOR.request_id},
        argsrepr="()",
        kwargsrepr="{...}",
    )
    theirs = json.loads(await redis.lpop("scraper") or b"")
    for message in (ours, theirs):
        message["body"] = json.loads(base64.b64decode(message["body"]))
        assert message["properties"].pop("delivery_tag")
        message["properties"].pop("reply_to")  # the thread's, where no result is ever sent
        for repeated in ("argsrepr", "kwargsrepr"):  # from the headers; no worker reads them here
            message["properties"].pop(repeated, None)
        for changing in ("ml_queued_at", "traceparent", "origin"):
            message["headers"].pop(changing, None)
    assert ours == theirs


async def test_hand_outs_share_messages_but_for_those_that_have_to_go_alone(
    redis: Redis, redis_url: str, task: Task, spans: InMemorySpanExporter
) -> None:
    queue = TaskQueue(redis, _settings(redis_url, MAX_QUEUE_DEPTH=3), Queue.SCRAPER)

    @task.app.task(name="probe.several")  # type: ignore[untyped-decorator]
    def several(jobs: list[Any]) -> None:
        """Never run here."""

    trace = f"00-{7:032x}-{8:016x}-01"
    handed = [HandedOut(f"j{number}", {"word": str(number)}, trace, alone=number == 2) for number in range(6)]
    answers = await queue.hand_out(task, ORCHESTRATOR, handed, several=several)
    assert [answer.job_id for answer in answers if isinstance(answer, EnqueueAnswer)] == [
        each.job_id for each in handed
    ]
    messages = [json.loads(each) for each in await redis.lrange("scraper", 0, -1)]
    told = [json.loads(base64.b64decode(message["body"]))[1] for message in reversed(messages)]
    assert told[0] == {"word": "2"}
    assert [[job["kwargs"]["word"] for job in each["jobs"]] for each in told[1:]] == [["0", "3", "5"], ["1", "4"]]
    assert {job["traceparent"].split("-")[1] for each in told[1:] for job in each["jobs"]} == {f"{7:032x}"}
    published = [span for span in spans.get_finished_spans() if span.name == "apply_async/probe.nothing"]
    assert [span.context.trace_id for span in published if span.context] == [7] * len(handed)
    refused = await queue.hand_out(task, ORCHESTRATOR, handed[:2], several=several)
    assert [type(answer) for answer in refused] == [RateLimitedError] * 2


async def test_what_workers_hold_counts_and_a_full_queue_says_when_to_come_back(
    redis: Redis, redis_url: str, task: Task
) -> None:
    queue = TaskQueue(redis, _settings(redis_url, MAX_QUEUE_DEPTH=2), Queue.SCRAPER)
    await redis.hset("unacked", "held-by-a-worker", "x")
    await queue.enqueue(task, USER, kwargs={"word": "w"}, job_id=None)
    assert await queue.depth() == 2
    with pytest.raises(RateLimitedError) as refused:
        await queue.enqueue(task, USER, kwargs={"word": "w"}, job_id=None)
    assert (refused.value.code, refused.value.retry_after_seconds) == ("queue_full", 30)
    assert await redis.get("ml:results:held_bytes") == str(HELD_BYTES).encode()


async def test_a_queue_is_bounded_in_bytes_too_and_what_workers_hold_counts(
    redis: Redis, redis_url: str, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_shared.queues.queueing.MAX_QUEUED_BYTES", 100_000)
    queue = TaskQueue(redis, _settings(redis_url), Queue.SCRAPER)
    page = {"word": "é" * 15_000}  # 40,000 bytes as JSON in base64
    await queue.enqueue(task, ORCHESTRATOR, kwargs=page, job_id="j")
    await redis.hset("unacked", "held-by-a-worker", await redis.lpop("scraper") or b"")
    await queue.enqueue(task, ORCHESTRATOR, kwargs=page, job_id="j")
    for ctx, job_id in ((ORCHESTRATOR, "j"), (USER, None)):
        with pytest.raises(RateLimitedError) as refused:
            await queue.enqueue(task, ctx, kwargs=page, job_id=job_id)
        assert (refused.value.code, refused.value.retry_after_seconds) == ("queue_full", 30)
    assert not await redis.exists("ml:results:held_bytes")
    await queue.enqueue(task, USER, kwargs={"word": "short"}, job_id=None)
    await redis.delete("unacked")
    await queue.enqueue(task, ORCHESTRATOR, kwargs=page, job_id="j")


@pytest.mark.parametrize(("length", "job_id"), [(15_000, "j"), (4_000, None)], ids=["hand-outs", "direct tasks"])
async def test_large_tasks_at_once_do_not_overshoot_the_bytes_within_a_process(
    redis: Redis, redis_url: str, task: Task, monkeypatch: pytest.MonkeyPatch, length: int, job_id: str | None
) -> None:
    monkeypatch.setattr("ml_shared.queues.queueing.MAX_QUEUED_BYTES", 100_000)
    queue = TaskQueue(redis, _settings(redis_url), Queue.SCRAPER)
    answers = await asyncio.gather(
        *(queue.enqueue(task, USER, kwargs={"word": "é" * length}, job_id=job_id) for _ in range(10)),
        return_exceptions=True,
    )
    assert 1 <= sum(not isinstance(answer, Exception) for answer in answers) <= 2
    assert 1 <= await _waiting(redis) <= 2


async def test_a_hundred_requests_at_once_overshoot_the_depth_by_nothing_within_a_process(
    redis: Redis, redis_url: str, task: Task
) -> None:
    queue = TaskQueue(redis, _settings(redis_url, MAX_QUEUE_DEPTH=10), Queue.SCRAPER)
    answers = await asyncio.gather(
        *(queue.enqueue(task, USER, kwargs={"word": "w"}, job_id="j") for _ in range(100)), return_exceptions=True
    )
    assert sum(not isinstance(answer, Exception) for answer in answers) <= 10
    assert all(isinstance(answer, RateLimitedError) for answer in answers if isinstance(answer, Exception))
    assert await redis.llen("scraper") <= 10


async def test_two_processes_do_not_overshoot_either(redis: Redis, redis_url: str, task: Task) -> None:
    queues = [TaskQueue(redis, _settings(redis_url, MAX_QUEUE_DEPTH=10), Queue.SCRAPER) for _ in range(2)]
    await asyncio.gather(
        *(queues[n % 2].enqueue(task, USER, kwargs={"word": "w"}, job_id="j") for n in range(40)),
        return_exceptions=True,
    )
    assert 5 < await redis.llen("scraper") <= 10  # what is arriving may be counted twice for a moment


async def test_results_without_room_refuse_the_task(redis: Redis, redis_url: str, task: Task) -> None:
    queue = TaskQueue(redis, _settings(redis_url, RESULTS_MAX_BYTES=HELD_BYTES), Queue.SCRAPER)
    await queue.enqueue(task, USER, kwargs={"word": "w"}, job_id=None)
    with pytest.raises(RateLimitedError) as refused:
        await queue.enqueue(task, USER, kwargs={"word": "w"}, job_id=None)
    assert refused.value.code == "results_full"
    assert await _waiting(redis) == 1
    await queue.enqueue(task, ORCHESTRATOR, kwargs={"word": "w"}, job_id="job-1")


async def test_a_task_that_can_not_be_sent_leaves_nothing_behind(redis: Redis, redis_url: str, task: Task) -> None:
    queue = TaskQueue(redis, _settings(redis_url), Queue.SCRAPER)
    with pytest.raises(TypeError):
        await queue.enqueue(task, USER, kwargs={"no": "such argument"}, job_id=None)
    assert not await redis.keys("ml:results:task:*")
    assert await redis.get("ml:results:held_bytes") == b"0"
    assert not await redis.keys("ml:queue:*")


async def test_the_publishing_span_is_a_child_of_the_requests_and_the_message_carries_it(
    redis: Redis, redis_url: str, task: Task, spans: InMemorySpanExporter
) -> None:
    queue = TaskQueue(redis, _settings(redis_url), Queue.SCRAPER)
    with trace.get_tracer("test").start_as_current_span("request") as request:
        await queue.enqueue(task, USER, kwargs={"word": "w"}, job_id=None)
    [publish] = [span for span in spans.get_finished_spans() if span.name.startswith("apply_async")]
    assert publish.parent is not None
    assert publish.context is not None
    assert publish.parent.span_id == request.get_span_context().span_id
    headers = (await _message(redis))["headers"]
    assert headers["traceparent"].split("-")[2] == trace.format_span_id(publish.context.span_id)
    assert "baggage" not in headers


async def test_a_redis_that_hangs_or_is_gone_is_said_within_seconds() -> None:
    with RedisServer() as server:
        settings = _settings(server.url)
        app = _app(settings)

        @app.task(name="probe.nothing")
        def nothing() -> None:
            """Never run."""

        async with open_redis(server.url) as patient, open_redis(server.url, timeout_seconds=2) as redis:
            await TaskQueue(patient, settings, Queue.SCRAPER).enqueue(nothing, USER, kwargs={}, job_id="j")
            queue = TaskQueue(redis, settings, Queue.SCRAPER)
            for down in (server.paused, _killed(server)):
                with down():
                    async with asyncio.timeout(60):
                        with pytest.raises(UnavailableError) as refused:
                            await queue.enqueue(nothing, USER, kwargs={}, job_id="j")
                    assert refused.value.code == "queue_unavailable"
        app.close()


def _killed(server: RedisServer) -> Any:
    @contextlib.contextmanager
    def killed() -> Iterator[None]:
        server.kill()
        yield
        server.start()

    return killed
