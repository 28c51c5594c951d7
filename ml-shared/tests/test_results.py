"""Outcomes of tasks without a job: whose they are, how much is kept, and for how long."""

import asyncio
import json
import os
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from ml_shared import results
from ml_shared.auth.context import CallerContext
from ml_shared.contracts.queueing import PendingResult
from ml_shared.errors import InvalidError, NotFoundError, RateLimitedError, TooLargeError, UnavailableError
from ml_shared.redis_client import open_redis
from ml_shared.results import HELD_BYTES, ResultStore, StoredResult, result_response
from ml_shared.settings import ServiceSettings
from ml_shared.testing.servers import free_port

OWNER = "key:a"
CALLER = CallerContext(caller_id="a", caller_type="user", owner=OWNER)
STRANGER = CallerContext(caller_id="b", caller_type="user", owner="key:b")


def _settings(max_bytes: int = 10 * HELD_BYTES) -> ServiceSettings:
    return ServiceSettings(
        _env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1", RESULTS_MAX_BYTES=max_bytes
    )


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator["Redis"]:
    async with open_redis(redis_url) as client:
        yield client


@pytest.fixture
def store(redis: Redis) -> ResultStore:
    return ResultStore(redis, _settings())


async def _total(redis: Redis) -> int:
    return int(await redis.get("ml:results:bytes") or 0)


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
    redis: Redis, store: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "PENDING_SECONDS", 1)
    for number in range(10):
        await store.reserve(f"t{number}", OWNER)
    with pytest.raises(RateLimitedError) as refused:
        await store.reserve("t10", OWNER)
    assert refused.value.code == "results_full"
    assert refused.value.retry_after_seconds
    async with asyncio.timeout(5):
        while await redis.exists("ml:results:task:t9"):
            await asyncio.sleep(0.05)
        while True:
            try:
                await store.reserve("t11", OWNER)
                break
            except RateLimitedError:
                await asyncio.sleep(0.05)
    assert await _total(redis) == HELD_BYTES


async def test_a_hundred_reservations_at_once_never_hold_more_than_there_is(redis: Redis, store: ResultStore) -> None:
    answers = await asyncio.gather(
        *(store.reserve(f"t{number}", OWNER) for number in range(100)), return_exceptions=True
    )
    assert sum(answer is None for answer in answers) == 10
    assert await _total(redis) == 10 * HELD_BYTES


async def test_a_result_counts_what_it_takes_and_one_without_room_says_so(redis: Redis, store: ResultStore) -> None:
    await store.reserve("large", OWNER)
    await store.finish("large", os.urandom(5 * HELD_BYTES), 200)
    assert 5 * HELD_BYTES < await _total(redis) < 6 * HELD_BYTES
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
    assert await store.read("t", OWNER) is None


async def test_an_outcome_that_nobody_registered_is_not_kept(redis: Redis, store: ResultStore) -> None:
    assert await store.start("t") == 0
    await store.finish("t", b"{}", 200)
    assert await store.read("t", OWNER) is None
    assert await redis.dbsize() == 0


async def test_a_second_outcome_of_a_task_that_ran_twice_takes_no_second_room(redis: Redis, store: ResultStore) -> None:
    await store.reserve("t", OWNER)
    await store.finish("t", b"1", 200)
    await store.finish("t", b"2", 200)
    assert await _total(redis) == HELD_BYTES
    assert await redis.zcard("ml:results:index") == 1


async def test_a_redis_that_does_not_answer_is_an_outage_and_not_a_missing_result() -> None:
    async with open_redis(f"redis://127.0.0.1:{free_port()}/0", timeout_seconds=0.2) as nobody:
        with pytest.raises(UnavailableError):
            await result_response(ResultStore(nobody, _settings()), "t", CALLER)
