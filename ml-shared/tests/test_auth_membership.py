"""Who a key belongs to, against a Membership over real HTTP and a real Redis."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from guarded_app import ORCHESTRATOR_KEY, SCRAPER_KEY, settings_for
from redis.asyncio import Redis

from ml_shared.auth import cache as cache_module
from ml_shared.auth import membership as membership_module
from ml_shared.auth.cache import Clock
from ml_shared.auth.context import hash_key
from ml_shared.auth.membership import Authenticator
from ml_shared.errors import UnauthorizedError, UnavailableError
from ml_shared.redis_client import open_redis
from ml_shared.testing.membership import FakeMembership, MembershipMode
from ml_shared.testing.servers import RedisServer

KEY = "user-key-0123456789"


class SteppedClock:
    """A clock that moves when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(redis_url) as client:
        yield client


@pytest.fixture
def quick_timeout(monkeypatch: pytest.MonkeyPatch) -> float:
    seconds = 0.2
    monkeypatch.setattr(membership_module, "MEMBERSHIP_TIMEOUT_SECONDS", seconds)
    return seconds


@asynccontextmanager
async def authenticator_for(
    fake: FakeMembership, redis: Redis | None = None, clock: SteppedClock | None = None, **settings: object
) -> AsyncIterator[Authenticator]:
    measured = Clock(clock, clock) if clock else None
    async with Authenticator.open(settings_for(fake.url, **settings), redis, clock=measured) as opened:
        yield opened


async def test_a_key_that_membership_knows_is_a_user_with_its_tier_and_scopes(membership: FakeMembership) -> None:
    membership.add(KEY, account_id="42", tier="gold", scopes=["search"])
    async with authenticator_for(membership) as authenticator:
        ctx = await authenticator.identify(KEY, "request-1")
    assert (ctx.caller_type, ctx.owner, ctx.tier) == ("user", f"key:{hash_key(KEY)}", "gold")
    assert (ctx.scopes, ctx.is_internal, ctx.service) == (frozenset({"search"}), False, None)
    assert (ctx.caller_id, ctx.request_id) == (hash_key(KEY), "request-1")


async def test_owner_is_the_account_where_the_fleet_says_so(membership: FakeMembership) -> None:
    membership.add(KEY, account_id="42")
    async with authenticator_for(membership, OWNER_SOURCE="account") as authenticator:
        assert (await authenticator.identify(KEY, "")).owner == "acct:42"


async def test_an_account_that_is_missing_is_an_outage_and_is_not_remembered(membership: FakeMembership) -> None:
    membership.add(KEY)
    async with authenticator_for(membership, OWNER_SOURCE="account") as authenticator:
        with pytest.raises(UnavailableError) as raised:
            await authenticator.identify(KEY, "")
        assert (raised.value.status, raised.value.code) == (503, "membership_unavailable")
        membership.add(KEY, account_id="42")
        assert (await authenticator.identify(KEY, "")).owner == "acct:42"


@pytest.mark.parametrize(("key", "name"), [(ORCHESTRATOR_KEY, "orchestrator"), (SCRAPER_KEY, "scraper")])
async def test_an_internal_key_is_known_without_asking_membership(
    membership: FakeMembership, key: str, name: str
) -> None:
    membership.mode = MembershipMode.DOWN
    async with authenticator_for(membership) as authenticator:
        ctx = await authenticator.identify(key, "")
    assert (ctx.service, ctx.owner, ctx.caller_type, ctx.is_internal) == (name, f"service:{name}", "service", True)
    assert membership.calls == []


async def test_every_internal_hash_is_compared_in_constant_time(
    membership: FakeMembership, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[str, str]] = []
    genuine = membership_module.hmac.compare_digest

    def watched(left: str, right: str) -> bool:
        compared.append((left, right))
        return genuine(left, right)

    monkeypatch.setattr(membership_module.hmac, "compare_digest", watched)
    settings = settings_for(membership.url)
    assert membership_module._is_internal(hash_key(SCRAPER_KEY), settings) == "scraper"
    assert {right for _, right in compared} == set(settings.internal_callers.values())


@pytest.mark.parametrize("revoked", [False, True], ids=["401", "valid-false"])
async def test_an_invalid_key_is_refused_and_remembered_for_ten_seconds(
    membership: FakeMembership, revoked: bool
) -> None:
    if revoked:
        membership.revoke(KEY)
    clock = SteppedClock()
    async with authenticator_for(membership, clock=clock) as authenticator:
        for _ in range(3):
            with pytest.raises(UnauthorizedError) as raised:
                await authenticator.identify(KEY, "")
            assert (raised.value.status, raised.value.code) == (401, "invalid_api_key")
        assert len(membership.calls) == 1
        membership.add(KEY)
        clock.now += cache_module.INVALID_SECONDS
        assert (await authenticator.identify(KEY, "")).caller_type == "user"


@pytest.mark.parametrize("key", ["k" * 513, "kéy-0123456789", "key\x7f0123456789"])
async def test_what_cannot_be_a_key_is_refused_without_asking(membership: FakeMembership, key: str) -> None:
    async with authenticator_for(membership) as authenticator:
        with pytest.raises(UnauthorizedError):
            await authenticator.identify(key, "")
    assert membership.calls == []


async def test_a_revoked_key_works_for_at_most_sixty_seconds_from_the_call(membership: FakeMembership) -> None:
    membership.add(KEY)
    clock = SteppedClock()
    async with authenticator_for(membership, clock=clock) as authenticator:
        await authenticator.identify(KEY, "")
        membership.revoke(KEY)
        clock.now += 59.9
        await authenticator.identify(KEY, "")
        clock.now += 0.1
        with pytest.raises(UnauthorizedError):
            await authenticator.identify(KEY, "")


async def test_a_copy_from_redis_inherits_the_deadline(membership: FakeMembership, redis: Redis) -> None:
    membership.add(KEY)
    clock = SteppedClock()
    async with authenticator_for(membership, redis, clock) as first:
        await first.identify(KEY, "")
    membership.revoke(KEY)
    clock.now += 59.0
    async with authenticator_for(membership, redis, clock) as second:
        await second.identify(KEY, "")
        assert len(membership.calls) == 1
        clock.now += 1.0
        with pytest.raises(UnauthorizedError):
            await second.identify(KEY, "")


async def test_the_deadline_counts_from_when_the_call_began_and_not_from_its_answer(
    membership: FakeMembership, redis: Redis
) -> None:
    membership.add(KEY)
    clock = SteppedClock()
    membership.hold()
    async with authenticator_for(membership, redis, clock) as authenticator:
        waiting = asyncio.create_task(authenticator.identify(KEY, ""))
        await until(lambda: len(membership.calls) == 1)
        clock.now += 59.0
        membership.release()
        await waiting
        assert await redis.pttl(f"auth:verdict:{hash_key(KEY)}") <= 1_000
        clock.now += 1.0
        await authenticator.identify(KEY, "")
        assert len(membership.calls) == 2


async def test_redis_holds_hashes_with_a_bounded_life_and_no_invalid_key(
    membership: FakeMembership, redis: Redis
) -> None:
    membership.add(KEY, account_id="42")
    async with authenticator_for(membership, redis) as authenticator:
        await authenticator.identify(KEY, "")
        with pytest.raises(UnauthorizedError):
            await authenticator.identify("made-up-key-0123456789", "")
    names = await redis.keys("*")
    assert names == [f"auth:verdict:{hash_key(KEY)}".encode()]
    assert KEY.encode() not in await redis.get(names[0])
    assert 0 < await redis.pttl(names[0]) <= 60_000


@pytest.mark.parametrize("entry", [b"not json", b"[]", b'{"valid": true}', orjson.dumps({"deadline": "x"})])
async def test_an_unreadable_cache_entry_is_a_miss(membership: FakeMembership, redis: Redis, entry: bytes) -> None:
    membership.add(KEY)
    await redis.set(f"auth:verdict:{hash_key(KEY)}", entry, px=60_000)
    async with authenticator_for(membership, redis) as authenticator:
        assert (await authenticator.identify(KEY, "")).caller_type == "user"
    assert len(membership.calls) == 1


async def test_without_its_redis_keys_are_still_checked(membership: FakeMembership) -> None:
    membership.add(KEY)
    with RedisServer() as server:
        async with open_redis(server.url) as redis:
            server.kill()
            async with authenticator_for(membership, redis) as authenticator:
                assert (await authenticator.identify(KEY, "")).caller_type == "user"


async def test_requests_with_one_key_share_one_call(membership: FakeMembership) -> None:
    membership.add(KEY)
    membership.hold()
    async with authenticator_for(membership) as authenticator:
        callers = [asyncio.create_task(authenticator.identify(KEY, str(number))) for number in range(20)]
        await until(lambda: len(membership.calls) == 1)
        membership.release()
        contexts = await asyncio.gather(*callers)
    assert len(membership.calls) == 1
    assert {ctx.request_id for ctx in contexts} == {str(number) for number in range(20)}


async def test_a_caller_who_hangs_up_does_not_fail_those_who_wait_for_the_same_key(
    membership: FakeMembership,
) -> None:
    membership.add(KEY)
    membership.hold()
    async with authenticator_for(membership) as authenticator:
        first = asyncio.create_task(authenticator.identify(KEY, ""))
        await until(lambda: len(membership.calls) == 1)
        second = asyncio.create_task(authenticator.identify(KEY, ""))
        await asyncio.sleep(0)
        first.cancel()
        membership.release()
        assert (await second).caller_type == "user"
    assert len(membership.calls) == 1


@pytest.mark.parametrize(
    "mode",
    [
        MembershipMode.DOWN,
        MembershipMode.GARBAGE,
        MembershipMode.WRONG_TYPES,
        MembershipMode.HUGE,
        MembershipMode.REDIRECT,
    ],
)
async def test_whatever_is_not_a_verdict_is_an_outage_and_lets_nobody_in(
    membership: FakeMembership, mode: MembershipMode
) -> None:
    membership.add(KEY)
    membership.mode = mode
    async with authenticator_for(membership) as authenticator:
        with pytest.raises(UnavailableError) as raised:
            await authenticator.identify(KEY, "")
    assert raised.value.code == "membership_unavailable"
    assert raised.value.retry_after_seconds is not None
    assert [call.path for call in membership.calls] == ["/auth"]


@pytest.mark.parametrize("mode", [MembershipMode.SLOW, MembershipMode.DRIP])
async def test_a_slow_membership_is_given_up_on(
    membership: FakeMembership, mode: MembershipMode, quick_timeout: float
) -> None:
    membership.add(KEY)
    membership.mode = mode
    membership.state.delay_seconds = 2.0
    async with authenticator_for(membership) as authenticator:
        began = asyncio.get_running_loop().time()
        with pytest.raises(UnavailableError):
            await authenticator.identify(KEY, "")
        assert asyncio.get_running_loop().time() - began < 1.5


async def test_a_membership_that_is_not_there_is_an_outage(free_port: int) -> None:
    settings = settings_for(f"http://127.0.0.1:{free_port}")
    async with Authenticator.open(settings, None) as authenticator:
        with pytest.raises(UnavailableError):
            await authenticator.identify(KEY, "")


async def test_the_breaker_stops_asking_and_closes_after_one_good_answer(membership: FakeMembership) -> None:
    membership.add(KEY)
    membership.mode = MembershipMode.DOWN
    clock = SteppedClock()
    async with authenticator_for(membership, clock=clock) as authenticator:
        for _ in range(membership_module.BREAKER_FAILURES + 3):
            with pytest.raises(UnavailableError) as raised:
                await authenticator.identify(KEY, "")
        assert len(membership.calls) == membership_module.BREAKER_FAILURES
        assert raised.value.retry_after_seconds == pytest.approx(membership_module.BREAKER_OPEN_SECONDS)
        clock.now += membership_module.BREAKER_OPEN_SECONDS
        membership.mode = MembershipMode.OK
        assert (await authenticator.identify(KEY, "")).caller_type == "user"


async def test_a_flood_of_made_up_keys_waits_here_and_not_in_membership(
    membership: FakeMembership, quick_timeout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership_module, "MAX_CALLS_IN_FLIGHT", 2)
    membership.hold()
    async with authenticator_for(membership) as authenticator:
        keys = [f"made-up-key-{number}" for number in range(20)]
        outcomes = await asyncio.gather(*(authenticator.identify(key, "") for key in keys), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {UnavailableError}
        assert len(membership.calls) <= 4


async def test_invalid_keys_do_not_open_the_breaker(membership: FakeMembership) -> None:
    membership.add(KEY)
    async with authenticator_for(membership) as authenticator:
        for number in range(membership_module.BREAKER_FAILURES * 2):
            with pytest.raises(UnauthorizedError):
                await authenticator.identify(f"made-up-key-{number}", "")
        assert (await authenticator.identify(KEY, "")).caller_type == "user"


async def test_a_flood_of_made_up_keys_pushes_no_valid_key_out(
    membership: FakeMembership, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "MAX_INVALID_ENTRIES", 3)
    membership.add(KEY)
    async with authenticator_for(membership) as authenticator:
        await authenticator.identify(KEY, "")
        for number in range(10):
            with pytest.raises(UnauthorizedError):
                await authenticator.identify(f"made-up-key-{number}", "")
        assert len(authenticator._cache._invalid) == 3
        calls = len(membership.calls)
        await authenticator.identify(KEY, "")
        assert len(membership.calls) == calls


async def until(condition: object, seconds: float = 5.0) -> None:
    """Let the loop run until a condition holds."""
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
