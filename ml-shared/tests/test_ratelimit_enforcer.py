"""The enforcer, against a real Redis."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from guarded_app import ORCHESTRATOR_KEY, build_app, serving, settings_for
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from ml_shared.auth.context import CallerContext
from ml_shared.errors import RateLimitedError
from ml_shared.ratelimit import shared_window
from ml_shared.ratelimit.enforcer import SlidingWindowEnforcer
from ml_shared.ratelimit.shared_window import SharedWindow
from ml_shared.ratelimit.strategies import Limit
from ml_shared.settings import ServiceSettings
from ml_shared.storage.redis_client import open_redis
from ml_shared.testing.membership import FakeMembership
from ml_shared.testing.servers import RedisServer

KEY = "user-key-0123456789"
WINDOW_US = 60_000_000


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(redis_url) as client:
        yield client


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


async def test_exactly_those_that_left_the_window_are_dropped_however_many_they_are(redis: Redis) -> None:
    log = "ratelimit:{embedding}:log:a"
    async with SharedWindow.open(redis, "embedding", 60) as window:
        for size in (1, 2, 3, 5, 8, 33, 100):
            for gone in {0, 1, 2, 3, size // 2, size - 1, size}:
                if not 0 <= gone <= size:
                    continue
                await redis.delete(log)
                now = int(time.time() * 1_000_000)
                ages = [90_000_000 - place for place in range(gone)]
                ages += [30_000_000 - place for place in range(size - gone)]
                await redis.rpush(log, *(now - age for age in ages))
                hit = await window.hit("a", [Limit("x", 1_000)])
                assert hit is not None
                assert hit.remaining == 1_000 - (size - gone) - 1
                assert await redis.llen(log) == size - gone + 1


async def test_the_answer_says_when_a_request_will_pass(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(2), redis):
        await passed(enforcer, user(), 2)
        oldest = int(await redis.lindex("ratelimit:{embedding}:log:key:a", 0)) - 40_000_000
        await redis.lset("ratelimit:{embedding}:log:key:a", 0, oldest)
        most = await left(redis, oldest)
        with pytest.raises(RateLimitedError) as raised:
            await enforcer.check(user())
        told = raised.value.retry_after_seconds or 0
        assert await left(redis, oldest) <= told < most + 1 <= 21, "in whole seconds, rounded up"


async def left(redis: Redis, counted_at: int) -> float:
    seconds, microseconds = await redis.time()
    return (counted_at + WINDOW_US) / 1e6 - seconds - microseconds / 1e6


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


async def let_pass(redis: Redis, seconds: int) -> None:
    """Make everything that was counted so much older, which is what a wait would do."""
    for log in await redis.keys("ratelimit:{embedding}:log:*"):
        for place, counted_at in enumerate(await redis.lrange(log, 0, -1)):
            await redis.lset(log, place, int(counted_at) - seconds * 1_000_000)
    for name in await redis.zrange("ratelimit:{embedding}:callers", 0, -1):
        await redis.zincrby("ratelimit:{embedding}:callers", -seconds * 1_000_000, name)


async def test_a_second_caller_halves_the_share_of_the_first_until_it_has_been_gone_for_a_window(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(1_000, RATE_LIMIT_CAPACITY=40, RATE_LIMIT_FLOOR=5), redis):
        assert await passed(enforcer, user("a"), 50) == 40
        await let_pass(redis, 30)
        assert await passed(enforcer, user("b"), 50) == 20  # at once, and `a` has had more than its half already
        assert await passed(enforcer, user("a"), 50) == 0
        await let_pass(redis, 30)
        assert await passed(enforcer, user("a"), 50) == 20
        await let_pass(redis, 30)  # the window of `b` is over
        assert await passed(enforcer, user("a"), 50) == 20
        await let_pass(redis, 60)
        assert await passed(enforcer, user("a"), 50) == 40


async def test_one_service_does_not_use_up_another_ones_window(redis: Redis) -> None:
    first, second = SlidingWindowEnforcer(), SlidingWindowEnforcer()
    async with first.opened(limited_to(3), redis), second.opened(limited_to(3, SERVICE_NAME="scraper"), redis):
        assert (await passed(first, user(), 5), await passed(second, user(), 5)) == (3, 3)


async def test_keys_of_one_account_have_one_share(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    contexts = [CallerContext(caller_id=key, caller_type="user", owner="acct:1") for key in ("k1", "k2")]
    async with enforcer.opened(limited_to(3), redis):
        assert sum([await passed(enforcer, ctx, 5) for ctx in contexts]) == 3


async def test_one_request_is_one_command_and_nothing_else_is_sent(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(50), redis):
        await enforcer.check(user())
        await redis.config_resetstat()
        for _ in range(10):
            await enforcer.check(user())
        asked = {
            name.removeprefix("cmdstat_"): told["calls"] for name, told in (await redis.info("commandstats")).items()
        }
    within_the_script = {"time", "llen", "lindex", "rpush", "pexpire", "zremrangebyscore", "zcard", "zscore", "zadd"}
    sent = {name: calls for name, calls in asked.items() if name not in within_the_script}
    assert {name: calls for name, calls in sent.items() if "config" not in name} == {"evalsha": 10}


async def test_requests_that_come_together_share_round_trips_and_few_connections(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(50), redis):
        await enforcer.check(user())
        before = await redis.info()
        assert await passed(enforcer, user(), 200) == 49
        after = await redis.info()
    assert after["total_reads_processed"] - before["total_reads_processed"] < 20
    assert after["connected_clients"] - before["connected_clients"] <= shared_window.MAX_ROUND_TRIPS


async def test_a_request_that_is_given_up_takes_no_other_with_it(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(50), redis):
        checks = [asyncio.create_task(enforcer.check(user())) for _ in range(10)]
        await asyncio.sleep(0)
        checks[0].cancel()
        outcomes = await asyncio.gather(*checks, return_exceptions=True)
    assert isinstance(outcomes[0], asyncio.CancelledError)
    assert outcomes[1:] == [None] * 9


async def test_memory_of_a_caller_is_bounded_by_its_limit(redis: Redis) -> None:
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(1_000), redis):
        assert sum([await passed(enforcer, user("f" * 64), 50) for _ in range(22)]) == 1_000
        assert await redis.memory_usage(f"ratelimit:{{embedding}}:log:key:{'f' * 64}", samples=0) < 20_000
        await passed(enforcer, user("f" * 63 + "0"), 1)
        alone = await redis.memory_usage("ratelimit:{embedding}:callers", samples=0)
        for number in range(500):
            await enforcer.check(user(f"{number:064x}"))
        assert await redis.memory_usage("ratelimit:{embedding}:callers", samples=0) - alone < 500 * 300


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


async def test_an_outage_is_counted_told_once_and_over_within_five_seconds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert shared_window.REDIS_PAUSE_SECONDS < 5
    monkeypatch.setattr(shared_window, "REDIS_PAUSE_SECONDS", 0.1)
    caplog.set_level("WARNING", logger="ml_shared")
    enforcer = SlidingWindowEnforcer()

    def decided_in(store: str) -> float:
        labels = {"policy": "membership-tier", "outcome": "allowed", "store": store}
        return REGISTRY.get_sample_value("ml_ratelimit_decisions_total", labels) or 0.0

    with RedisServer() as server:
        async with open_redis(server.url) as redis, enforcer.opened(limited_to(1_000), redis):
            await enforcer.check(user())
            server.kill()
            before = decided_in("memory")
            down_until = time.monotonic() + 2.5 * shared_window.REDIS_PAUSE_SECONDS
            checks = 0
            while time.monotonic() < down_until:  # long enough for it to be tried again in between
                await enforcer.check(user())
                checks += 1
                await asyncio.sleep(0.02)
            assert decided_in("memory") - before == checks
            server.start()
            before = decided_in("redis")
            async with asyncio.timeout(60):
                while decided_in("redis") == before:
                    await enforcer.check(user())
                    await asyncio.sleep(0.02)
    told = [record.message for record in caplog.records if record.name.startswith("ml_shared")]
    assert told == ["ratelimit_redis_failed", "ratelimit_redis_back"]


async def test_a_redis_that_hangs_costs_one_short_wait_and_is_then_left_alone(
    redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shared_window, "REDIS_PAUSE_SECONDS", 100.0)
    enforcer = SlidingWindowEnforcer()
    async with enforcer.opened(limited_to(100), redis):
        await enforcer.check(user())
        exchange, asked = shared_window._exchange, []

        async def counted(connection: Any, packed: list[bytes]) -> Any:
            asked.append(len(packed))
            return await exchange(connection, packed)

        monkeypatch.setattr(shared_window, "_exchange", counted)
        monkeypatch.setattr(shared_window, "REDIS_TIMEOUT_SECONDS", 0.5)
        async with open_redis(redis_url) as other:
            await other.client_pause(300_000, all=False)
            try:
                for _ in range(50):
                    await enforcer.check(user())
            finally:
                await other.client_unpause()
            assert [record.message for record in caplog.records].count("ratelimit_redis_failed") == 1
            assert asked == [1], "a wait each would be 25 s"


async def test_a_command_that_was_given_up_leaves_no_answer_for_the_next_one_to_take(
    redis: Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_window, "REDIS_PAUSE_SECONDS", 0.0)
    async with SharedWindow.open(redis, "embedding", 60) as window, open_redis(redis_url) as other:
        assert await window.hit("a", [Limit("x", 1_000)])
        monkeypatch.setattr(shared_window, "REDIS_TIMEOUT_SECONDS", 0.1)
        await other.client_pause(300_000, all=False)
        try:
            assert await window.hit("a", [Limit("x", 1_000)]) is None
        finally:
            await other.client_unpause()
        monkeypatch.setattr(shared_window, "REDIS_TIMEOUT_SECONDS", 30.0)
        hits = [await window.hit(str(limit), [Limit("x", limit)]) for limit in range(1, 5)]
        hits += await asyncio.gather(*(window.hit(str(limit), [Limit("x", limit)]) for limit in range(5, 30)))
    assert [hit and hit.limit for hit in hits] == list(range(1, 30))


async def test_redis_is_asked_again_after_a_pause(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_window, "REDIS_PAUSE_SECONDS", 0.0)
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
