"""The enforcer, against a real Redis."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from guarded_app import ORCHESTRATOR_KEY, build_app, serving, settings_for
from redis.asyncio import Redis

from ml_shared.auth.context import CallerContext
from ml_shared.errors import RateLimitedError
from ml_shared.ratelimit import enforcer as enforcer_module
from ml_shared.ratelimit.enforcer import SlidingWindowEnforcer
from ml_shared.redis_client import open_redis
from ml_shared.settings import ServiceSettings
from ml_shared.testing.membership import FakeMembership
from ml_shared.testing.servers import RedisServer

KEY = "user-key-0123456789"
WINDOW_US = 60_000_000


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(redis_url) as client:
        yield client


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    # a busy test machine is not a failing Redis; the tests of failure set their own
    monkeypatch.setattr(enforcer_module, "REDIS_TIMEOUT_SECONDS", 5.0)


def limited_to(requests: int, **overrides: Any) -> ServiceSettings:
    values = {"RATE_LIMIT_CAPACITY": 10_000, "RATE_LIMIT_TIERS": {"default": requests}, **overrides}
    return settings_for("http://membership", **values)


def user(name: str = "a") -> CallerContext:
    return CallerContext(caller_id=name, caller_type="user", owner=f"key:{name}")


async def passed(enforcer: SlidingWindowEnforcer, ctx: CallerContext, times: int) -> int:
    outcomes = await asyncio.gather(*(enforcer.check(ctx) for _ in range(times)), return_exceptions=True)
    assert all(outcome is None or isinstance(outcome, RateLimitedError) for outcome in outcomes)
    return outcomes.count(None)


async def test_a_burst_from_many_connections_lets_exactly_the_limit_through(redis: Redis) -> None:
    first, second = SlidingWindowEnforcer(), SlidingWindowEnforcer()
    async with first.opened(limited_to(20), redis), second.opened(limited_to(20), redis):
        counts = await asyncio.gather(passed(first, user(), 40), passed(second, user(), 40))
    assert sum(counts) == 20


async def test_a_refused_request_leaves_nothing_behind(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(5), redis):
        await passed(enforcer, user(), 50)
    assert await redis.llen("ratelimit:{embedding}:log:key:a") == 5
    assert 0 < await redis.pttl("ratelimit:{embedding}:log:key:a") <= 60_000


async def test_a_request_passes_again_once_the_oldest_has_left_the_window(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(2), redis):
        assert await passed(enforcer, user(), 3) == 2
        log = "ratelimit:{embedding}:log:key:a"
        await redis.lset(log, 0, int(await redis.lindex(log, 0)) - WINDOW_US)
        assert await passed(enforcer, user(), 3) == 1


async def test_the_answer_says_when_a_request_will_pass(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(2), redis):
        await passed(enforcer, user(), 2)
        log = "ratelimit:{embedding}:log:key:a"
        await redis.lset(log, 0, int(await redis.lindex(log, 0)) - 40_000_000)
        with pytest.raises(RateLimitedError) as raised:
            await enforcer.check(user())
    assert raised.value.retry_after_seconds == pytest.approx(20, abs=2)


async def test_callers_who_are_active_share_the_capacity_and_those_who_left_do_not_count(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    settings = limited_to(1_000, RATE_LIMIT_CAPACITY=40, RATE_LIMIT_FLOOR=5)
    async with enforcer.opened(settings, redis):
        assert await passed(enforcer, user("a"), 50) == 40
        assert await passed(enforcer, user("b"), 50) == 20
        for number in range(20):
            await enforcer.check(user(f"more-{number}"))
        assert await passed(enforcer, user("c"), 50) == 5
        for name in await redis.zrange("ratelimit:{embedding}:callers", 0, -1):
            await redis.zincrby("ratelimit:{embedding}:callers", -WINDOW_US, name)
        assert await passed(enforcer, user("d"), 50) == 40


async def test_one_service_does_not_use_up_another_ones_window(redis: Redis) -> None:
    first, second = SlidingWindowEnforcer(), SlidingWindowEnforcer()
    async with first.opened(limited_to(3), redis), second.opened(limited_to(3, SERVICE_NAME="scraper"), redis):
        assert (await passed(first, user(), 5), await passed(second, user(), 5)) == (3, 3)


async def test_keys_of_one_account_have_one_share(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    contexts = [CallerContext(caller_id=key, caller_type="user", owner="acct:1") for key in ("k1", "k2")]
    async with enforcer.opened(limited_to(3), redis):
        assert sum([await passed(enforcer, ctx, 5) for ctx in contexts]) == 3


async def test_one_request_is_one_round_trip(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(50), redis):
        await enforcer.check(user())
        await redis.config_resetstat()
        for _ in range(10):
            await enforcer.check(user())
        asked = await redis.info("commandstats")
    sent = {name: told["calls"] for name, told in asked.items() if name in ("cmdstat_evalsha", "cmdstat_eval")}
    assert sent == {"cmdstat_evalsha": 10}


async def test_memory_is_bounded_by_the_limit(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(1_000), redis):
        assert sum([await passed(enforcer, user(), 50) for _ in range(22)]) == 1_000
    assert await redis.memory_usage("ratelimit:{embedding}:log:key:a", samples=0) < 20_000


async def test_a_server_clock_set_back_by_more_than_a_window_locks_nobody_out(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(2), redis):
        await passed(enforcer, user(), 2)
        ahead = int(time.time() * 1_000_000) + 3_600_000_000
        log = "ratelimit:{embedding}:log:key:a"
        await redis.lset(log, 0, ahead)
        await redis.lset(log, 1, ahead)
        await redis.zadd("ratelimit:{embedding}:callers", {"key:a": ahead, "key:b": ahead})
        assert await passed(enforcer, user(), 5) == 2
        assert await redis.zcard("ratelimit:{embedding}:callers") == 1


async def test_after_a_wipe_the_script_is_sent_again(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(2), redis):
        await enforcer.check(user())
        await redis.flushall()
        await redis.script_flush()
        assert await passed(enforcer, user(), 5) == 2


async def test_internal_callers_pass_uncounted(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    service = CallerContext("h", "service", "service:orchestrator", service="orchestrator", is_internal=True)
    async with enforcer.opened(limited_to(1), redis):
        assert await passed(enforcer, service, 20) == 20
    assert await redis.keys("ratelimit:*") == []


async def test_without_redis_the_window_is_kept_in_the_process_and_divided() -> None:
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(20, API_PROCESSES=2, SERVICE_REPLICAS=2), None):
        assert await passed(enforcer, user(), 50) == 5


async def test_while_redis_is_down_the_process_decides_and_remembers_what_redis_accepted() -> None:
    enforcer = SlidingWindowEnforcer()
    with RedisServer() as server:
        async with open_redis(server.url) as redis, enforcer.opened(limited_to(10), redis):
            assert await passed(enforcer, user(), 6) == 6
            server.kill()
            assert await passed(enforcer, user(), 20) == 4


async def test_a_redis_that_hangs_costs_one_short_wait_and_is_then_left_alone(
    redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(enforcer_module, "REDIS_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(enforcer_module, "REDIS_PAUSE_SECONDS", 30.0)
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(100), redis):
        await enforcer.check(user())
        async with open_redis(redis_url) as other:
            await other.client_pause(3_000, all=False)
            began = time.monotonic()
            for _ in range(50):
                await enforcer.check(user())
            assert time.monotonic() - began < 1.0
            assert [record.message for record in caplog.records].count("ratelimit_redis_failed") == 1
            await other.client_unpause()
        # the command that was given up leaves no answer behind for the next one to take
        assert await asyncio.gather(*(redis.echo(str(number)) for number in range(30))) == [
            str(number).encode() for number in range(30)
        ]


async def test_redis_is_asked_again_after_a_pause(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enforcer_module, "REDIS_PAUSE_SECONDS", 0.0)
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(100), redis):
        await redis.set("ratelimit:{embedding}:log:key:a", "of another type")
        await enforcer.check(user())
        await redis.delete("ratelimit:{embedding}:log:key:a")
        await enforcer.check(user())
    assert await redis.llen("ratelimit:{embedding}:log:key:a") == 1


async def test_an_enforcer_that_nobody_opened_lets_nobody_through_by_mistake() -> None:
    with pytest.raises(RuntimeError, match="not open"):
        await SlidingWindowEnforcer().check(user())


async def test_it_can_be_opened_again_and_starts_anew_in_memory() -> None:
    enforcer = SlidingWindowEnforcer()
    for _ in range(2):
        async with enforcer.opened(limited_to(3), None):
            assert await passed(enforcer, user(), 5) == 3


def test_applications_in_loops_of_their_own_do_not_share_their_limits() -> None:
    enforcer = SlidingWindowEnforcer()

    async def outer() -> int:
        async with enforcer.opened(limited_to(3), None):
            await enforcer.check(user())
            inside = await asyncio.to_thread(asyncio.run, inner())
            assert inside == 5
            return await passed(enforcer, user(), 10)

    async def inner() -> int:
        async with enforcer.opened(limited_to(5), None):
            return await passed(enforcer, user(), 10)

    assert asyncio.run(outer()) == 2


@pytest.fixture
async def client(membership: FakeMembership, redis: Redis) -> AsyncIterator[httpx.AsyncClient]:
    membership.add(KEY)
    settings = settings_for(
        membership.url, RATE_LIMIT_CAPACITY=3, RATE_LIMIT_FLOOR=1, RATE_LIMIT_TIERS={"default": 100}
    )
    async with serving(build_app(), settings, redis) as opened:
        yield opened


async def test_every_answer_to_a_limited_caller_carries_the_limit(client: httpx.AsyncClient) -> None:
    answers = [await client.get("/whoami", headers={"X-API-Key": KEY}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"fair-share";q=3;w=60'}
    assert [answer.headers["ratelimit"].split(";t=")[0] for answer in answers] == [
        f'"fair-share";r={left}' for left in (2, 1, 0, 0)
    ]
    refused = answers[-1]
    assert refused.json()["code"] == "rate_limited"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit"].endswith(f";t={refused.headers['retry-after']}")


async def test_an_internal_caller_is_answered_without_a_limit(client: httpx.AsyncClient) -> None:
    for _ in range(5):
        answer = await client.get("/whoami", headers={"X-API-Key": ORCHESTRATOR_KEY})
        assert (answer.status_code, "ratelimit" in answer.headers) == (200, False)
