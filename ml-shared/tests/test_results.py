"""Outcomes of tasks without a job: whose they are, how much is kept, and for how long."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from ml_shared.auth.context import CallerContext
from ml_shared.contracts.queueing import PendingResult
from ml_shared.errors import InvalidError, NotFoundError, RateLimitedError, TooLargeError, UnavailableError
from ml_shared.queues import results
from ml_shared.queues.results import HELD_BYTES, ResultStore, StoredResult, result_response
from ml_shared.settings import ServiceSettings
from ml_shared.storage.redis_client import open_redis
from ml_shared.testing.servers import free_port

OWNER = "key:a"
CALLER = CallerContext(caller_id="a", caller_type="user", owner=OWNER)
STRANGER = CallerContext(caller_id="b", caller_type="user", owner="key:b")


def _settings(**more: Any) -> ServiceSettings:
    values: dict[str, Any] = {"RESULTS_MAX_BYTES": 40 * HELD_BYTES, "MAX_QUEUE_DEPTH": 80} | more
    return ServiceSettings(_env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1", **values)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator["Redis"]:
    async with open_redis(redis_url) as client:
        yield client


@pytest.fixture
def store(redis: Redis) -> ResultStore:
    return ResultStore(redis, _settings())


async def _total(redis: Redis) -> int:
    return int(await redis.get("ml:results:held_bytes") or 0)


async def _of(redis: Redis, owner: str) -> tuple[int, int]:
    """What is counted for an owner: bytes, and tasks that have not ended."""
    values = [await redis.hget(f"ml:results:owner_{what}", owner) for what in ("bytes", "tasks")]
    return int(values[0] or 0), int(values[1] or 0)


async def test_a_result_is_pending_then_running_then_there(store: ResultStore) -> None:
    await store.reserve("t", OWNER)
    assert await store.read("t", OWNER) == PendingResult(task_id="t", status="queued")
    pending = await result_response(store, "t", CALLER)
    assert pending.status_code == 202
    assert json.loads(bytes(pending.body)) == {"task_id": "t", "status": "queued"}
    assert await store.start("t") == 1
    assert await store.read("t", OWNER) == PendingResult(task_id="t", status="running")
    await store.finish("t", b'{"a": 1}', 200)
    assert await store.read("t", OWNER) == StoredResult(200, b'{"a": 1}')
    ready = await result_response(store, "t", CALLER)
    assert (ready.status_code, bytes(ready.body), ready.headers["content-type"]) == (
        200,
        b'{"a": 1}',
        "application/json",
    )


async def test_another_owners_result_is_not_there(store: ResultStore) -> None:
    await store.reserve("t", OWNER)
    await store.finish("t", b"{}", 200)
    for task_id, caller in (("t", STRANGER), ("never", CALLER)):
        with pytest.raises(NotFoundError) as refused:
            await result_response(store, task_id, caller)
        assert refused.value.code == "result_not_found"


async def test_a_failure_is_answered_as_the_sync_route_would_have(store: ResultStore) -> None:
    await store.reserve("t", OWNER)
    await store.finish_failed("t", InvalidError("the page is empty", code="empty_content"))
    answer = await result_response(store, "t", CALLER)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    problem = json.loads(bytes(answer.body))
    assert (problem["code"], problem["detail"], problem["instance"]) == (
        "empty_content",
        "the page is empty",
        "/results/t",
    )


async def test_room_is_held_before_the_work_is_done_and_given_back_when_it_expires(
    redis: Redis, store: ResultStore
) -> None:
    for number in range(40):
        await store.reserve(f"t{number}", f"key:{number // 10}")
    with pytest.raises(RateLimitedError) as refused:
        await store.reserve("t40", "key:z")
    assert refused.value.code == "results_full"
    assert refused.value.retry_after_seconds
    latest = (await redis.time())[0] + results.PENDING_SECONDS + 1
    for member, ends in await redis.zrange("ml:results:holds", 0, -1, withscores=True):
        assert latest - 300 < ends <= latest
        await redis.zincrby("ml:results:holds", -results.PENDING_SECONDS - 1, member)  # as if so long ago
    await store.reserve("t41", "key:0")  # sweeps
    assert await _total(redis) == HELD_BYTES
    assert [await _of(redis, owner) for owner in ("key:0", "key:1")] == [(HELD_BYTES, 1), (0, 0)]
    assert await redis.hlen("ml:results:owner_bytes") == await redis.hlen("ml:results:owner_tasks") == 1


async def test_a_task_that_ends_just_before_it_expires_is_counted_as_it_is_kept(
    redis: Redis, store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hash expires to the millisecond; what is swept by whole seconds must not go before it."""
    monkeypatch.setattr(results, "PENDING_SECONDS", 1)
    async with asyncio.timeout(60):
        while not 0.5 < (await redis.time())[1] / 1e6 < 0.7:
            await asyncio.sleep(0.02)
        await store.reserve("t", OWNER)
        second = (await redis.time())[0]
        while (await redis.time())[0] == second:
            await asyncio.sleep(0.02)
    await store.reserve("another", "key:b")  # sweeps
    await store.finish("t", b"{}", 200)
    held = [int(member.split(b":")[0]) for member in await redis.zrange("ml:results:holds", 0, -1)]
    assert await _total(redis) == sum(held)


async def test_a_hundred_reservations_at_once_never_hold_more_than_there_is(redis: Redis, store: ResultStore) -> None:
    answers = await asyncio.gather(
        *(store.reserve(f"t{number}", f"key:{number % 10}") for number in range(100)), return_exceptions=True
    )
    assert sum(answer is None for answer in answers) == 40
    assert await _total(redis) == 40 * HELD_BYTES


async def test_an_owner_has_a_quarter_of_the_room_however_many_ask_at_once(redis: Redis, store: ResultStore) -> None:
    answers = await asyncio.gather(
        *(store.reserve(f"t{number}", OWNER) for number in range(30)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, RateLimitedError)]
    assert (len(refused), {error.code for error in refused}) == (20, {"results_full"})
    assert await _of(redis, OWNER) == (10 * HELD_BYTES, 10)
    await store.reserve("another", "key:b")
    with pytest.raises(RateLimitedError):
        await store.finish(_granted(answers), os.urandom(HELD_BYTES + 1), 200)


def _granted(answers: list[BaseException | None]) -> str:
    return f"t{answers.index(None)}"


async def test_an_owner_has_a_quarter_of_the_tasks_and_an_ended_one_makes_room(redis: Redis) -> None:
    store = ResultStore(redis, _settings(MAX_QUEUE_DEPTH=9))
    for task_id in ("first", "second"):
        await store.reserve(task_id, OWNER)
    with pytest.raises(RateLimitedError) as refused:
        await store.reserve("third", OWNER)
    assert refused.value.code == "too_many_tasks"
    assert "POST /jobs" in refused.value.detail
    assert refused.value.retry_after_seconds == 30
    await store.finish("first", b"{}", 200)
    await store.finish("first", b"{}", 200)  # it ran twice
    await store.reserve("third", OWNER)
    with pytest.raises(RateLimitedError):
        await store.reserve("fourth", OWNER)
    await store.release("third")
    await store.release("third")
    await store.reserve("fourth", OWNER)
    assert await _of(redis, OWNER) == (3 * HELD_BYTES, 2)


async def test_a_result_counts_what_it_takes_and_one_without_room_says_so(redis: Redis, store: ResultStore) -> None:
    await store.reserve("large", OWNER)
    await store.finish("large", os.urandom(5 * HELD_BYTES), 200)
    assert 5 * HELD_BYTES < await _total(redis) < 6 * HELD_BYTES
    assert await _of(redis, OWNER) == (await _total(redis), 0)
    await store.reserve("second", OWNER)
    with pytest.raises(RateLimitedError) as refused:
        await store.finish("second", os.urandom(6 * HELD_BYTES), 200)
    await store.finish_failed("second", refused.value)
    found = await store.read("second", OWNER)
    assert isinstance(found, StoredResult)
    assert (found.status, json.loads(found.body)["code"]) == (429, "results_full")
    assert await _total(redis) <= 10 * HELD_BYTES


async def test_a_result_over_a_mebibyte_names_the_way_that_takes_it(store: ResultStore) -> None:
    await store.reserve("t", OWNER)
    with pytest.raises(TooLargeError) as refused:
        await store.finish("t", os.urandom(2**20 + 1), 200)
    assert refused.value.code == "result_too_large"
    assert "POST /jobs" in refused.value.detail


async def test_a_task_that_was_not_queued_gives_its_room_back(redis: Redis, store: ResultStore) -> None:
    await store.reserve("t", OWNER)
    await store.release("t")
    assert await _total(redis) == 0
    assert await _of(redis, OWNER) == (0, 0)
    assert await store.read("t", OWNER) is None


async def test_an_outcome_that_nobody_registered_is_not_kept(redis: Redis, store: ResultStore) -> None:
    await store.finish("t", b"{}", 200)
    assert await store.read("t", OWNER) is None
    assert await redis.dbsize() == 0


async def test_deliveries_are_counted_of_a_task_that_nobody_waits_for_too(redis: Redis, store: ResultStore) -> None:
    """Or one that kills its worker would come again without end, once its registration has expired."""
    assert [await store.start("t"), await store.start("t")] == [1, 2]
    assert 0 < await redis.ttl("ml:results:task:t") <= results.PENDING_SECONDS
    await store.finish("t", b"{}", 200)
    assert await store.read("t", OWNER) is None
    assert await _total(redis) == 0


async def test_a_delivery_that_a_worker_s_stop_interrupted_does_not_count(store: ResultStore) -> None:
    await store.reserve("t", OWNER)
    for _ in range(10):
        assert await store.start("t") == 1
        await store.interrupt("t")
    assert await store.read("t", OWNER) == PendingResult(task_id="t", status="queued")
    await store.interrupt("never started")
    assert await store.start("never started") == 1


async def test_a_delivery_of_what_has_ended_is_told_so_and_hides_no_outcome(store: ResultStore) -> None:
    await store.reserve("t", OWNER)
    await store.start("t")
    await store.finish("t", b"{}", 200)
    assert await store.start("t") == 0
    assert await store.read("t", OWNER) == StoredResult(200, b"{}")


async def test_a_second_outcome_of_a_task_that_ran_twice_takes_no_second_room(redis: Redis, store: ResultStore) -> None:
    await store.reserve("t", OWNER)
    await store.finish("t", b"1", 200)
    await store.finish("t", b"2", 200)
    assert await _total(redis) == HELD_BYTES
    assert await redis.zcard("ml:results:holds") == 1
    assert await _of(redis, OWNER) == (HELD_BYTES, 0)


async def test_a_redis_that_does_not_answer_is_an_outage_and_not_a_missing_result() -> None:
    async with open_redis(f"redis://127.0.0.1:{free_port()}/0", timeout_seconds=0.2) as nobody:
        with pytest.raises(UnavailableError):
            await result_response(ResultStore(nobody, _settings()), "t", CALLER)
