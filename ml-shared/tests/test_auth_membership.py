"""Who a key belongs to, and for how long that is remembered: a Membership over real HTTP and a real Redis."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from guarded_app import ORCHESTRATOR_KEY, SCRAPER_KEY, SteppedClock, authenticator_for, until
from redis.asyncio import Redis

from ml_shared.auth import cache as cache_module
from ml_shared.auth import membership as membership_module
from ml_shared.auth.cache import Clock, VerdictCache
from ml_shared.auth.context import hash_key
from ml_shared.auth.verdict import Verdict
from ml_shared.errors import UnauthorizedError, UnavailableError
from ml_shared.names import SERVICE_KEY_PREFIX
from ml_shared.storage.redis_client import open_redis
from ml_shared.testing.membership import FakeMembership, MembershipMode
from ml_shared.testing.servers import RedisServer

KEY = "user-key-0123456789"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(redis_url) as client:
        yield client


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


@pytest.mark.parametrize("key", [ORCHESTRATOR_KEY, SCRAPER_KEY, KEY])
async def test_every_internal_hash_is_compared_in_constant_time_whosever_key_it_is(
    membership: FakeMembership, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    membership.add(KEY)
    compared: list[tuple[str, str]] = []
    genuine = membership_module.hmac.compare_digest

    def watched(left: str, right: str) -> bool:
        compared.append((left, right))
        return genuine(left, right)

    monkeypatch.setattr(membership_module.hmac, "compare_digest", watched)
    async with authenticator_for(membership) as authenticator:
        await authenticator.identify(key, "")
    assert sorted(compared) == sorted((hash_key(key), hash_key(known)) for known in (ORCHESTRATOR_KEY, SCRAPER_KEY))


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
        clock.now += 9.9
        with pytest.raises(UnauthorizedError):
            await authenticator.identify(KEY, "")
        clock.now += 0.1
        assert (await authenticator.identify(KEY, "")).caller_type == "user"


@pytest.mark.parametrize("key", ["k" * 513, "kéy-0123456789", "key\x7f0123456789", f"{SERVICE_KEY_PREFIX}0123"])
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
        with pytest.raises(UnauthorizedError):
            await authenticator.identify("made-up-key-0123456789", "")
        await authenticator.identify(KEY, "")
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


async def test_five_hundred_requests_with_one_key_are_one_call(membership: FakeMembership, redis: Redis) -> None:
    membership.add(KEY)
    membership.hold()
    async with authenticator_for(membership, redis) as authenticator:
        callers = [asyncio.create_task(authenticator.identify(KEY, str(number))) for number in range(500)]
        await until(lambda: len(membership.calls) == 1)
        membership.release()
        contexts = await asyncio.gather(*callers)
    assert len(membership.calls) == 1
    assert {ctx.request_id for ctx in contexts} == {str(number) for number in range(500)}


async def test_those_who_wait_share_an_outage_too_and_the_next_one_asks_again(membership: FakeMembership) -> None:
    membership.add(KEY)
    membership.mode = MembershipMode.DOWN
    membership.hold()
    async with authenticator_for(membership) as authenticator:
        callers = [asyncio.create_task(authenticator.identify(KEY, "")) for _ in range(20)]
        await until(lambda: len(membership.calls) == 1)
        membership.release()
        outcomes = await asyncio.gather(*callers, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [UnavailableError] * 20
        assert len(membership.calls) == 1
        membership.mode = MembershipMode.OK
        assert (await authenticator.identify(KEY, "")).caller_type == "user"


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


async def test_a_stream_of_random_keys_fills_neither_memory_nor_redis(redis: Redis) -> None:
    clock = SteppedClock()  # or the first of them are forgotten by the time that the last one comes
    cache = VerdictCache(redis, Clock(clock, clock))
    await cache.put("a valid one", Verdict(valid=True), clock())
    for number in range(30_000):
        await cache.put(f"made-up {number}", Verdict(valid=False), clock())
    assert (len(cache._valid), len(cache._invalid)) == (1, 10_000)
    assert cache.local("made-up 29999") == Verdict(valid=False)
    assert cache.local("a valid one") == Verdict(valid=True)
    assert await redis.keys("*") == [b"auth:verdict:a valid one"]


async def test_valid_keys_are_bounded_in_number_too_and_the_idle_ones_go_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache_module, "MAX_VALID_ENTRIES", 3)
    cache = VerdictCache(None, Clock())
    for name in ("first", "second", "third"):
        await cache.put(name, Verdict(valid=True), Clock().monotonic())
    cache.local("first")
    await cache.put("fourth", Verdict(valid=True), Clock().monotonic())
    assert [name for name in ("first", "second", "third", "fourth") if cache.local(name) is None] == ["second"]
