"""Membership that fails, lies or dawdles: nobody gets in, everybody hears when to try again, and it is left in peace."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from guarded_app import SteppedClock, authenticator_for, build_app, serving, settings_for, until
from httpx import Response
from prometheus_client import REGISTRY

from ml_shared.auth import membership as membership_module
from ml_shared.auth.membership import Authenticator
from ml_shared.auth.verdict import Outage, Verdict, parse_verdict
from ml_shared.errors import UnauthorizedError, UnavailableError
from ml_shared.testing.membership import FakeMembership, MembershipMode

KEY = "user-key-0123456789"
SLOW = (MembershipMode.SLOW, MembershipMode.DRIP)
CLOSED, HALF_OPEN, OPEN = 0, 1, 2
SECONDS = membership_module.MEMBERSHIP_TIMEOUT_SECONDS
# as it is, before tests get more patience


@pytest.fixture
def quick_timeout(monkeypatch: pytest.MonkeyPatch) -> float:
    seconds = 0.2
    monkeypatch.setattr(membership_module, "MEMBERSHIP_TIMEOUT_SECONDS", seconds)
    return seconds


@pytest.fixture
async def resetting_url() -> AsyncIterator[str]:
    """A server that reads what comes and then resets the connection."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.transport.abort()

    async with await asyncio.start_server(reset, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def answer_to_a_key(membership_url: str) -> Response:
    async with serving(build_app(), settings_for(membership_url)) as client:
        return await client.get("/whoami", headers={"X-API-Key": KEY})


def assert_outage(answer: Response) -> None:
    assert (answer.status_code, answer.json()["code"]) == (503, "membership_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


def breaker_state() -> float | None:
    return REGISTRY.get_sample_value("ml_auth_breaker_state")


async def refused(authenticator: Authenticator, key: str = KEY) -> UnavailableError:
    with pytest.raises(UnavailableError) as raised:
        await authenticator.identify(key, "")
    assert raised.value.code == "membership_unavailable"
    return raised.value


@pytest.mark.parametrize("mode", [mode for mode in MembershipMode if mode not in (MembershipMode.OK, *SLOW)])
async def test_whatever_is_not_a_verdict_is_an_outage_and_lets_nobody_in(
    membership: FakeMembership, mode: MembershipMode
) -> None:
    membership.add(KEY)
    membership.mode = mode
    assert_outage(await answer_to_a_key(membership.url))
    assert [call.path for call in membership.calls] == ["/auth"]


@pytest.mark.parametrize("mode", SLOW)
async def test_a_slow_membership_is_given_up_on(
    membership: FakeMembership, mode: MembershipMode, quick_timeout: float
) -> None:
    membership.add(KEY)
    membership.mode = mode
    membership.state.delay_seconds = 60.0
    began = asyncio.get_running_loop().time()
    assert_outage(await answer_to_a_key(membership.url))
    assert asyncio.get_running_loop().time() - began < 20


def test_slow_begins_at_two_seconds() -> None:
    assert SECONDS == 2.0


async def test_a_membership_that_is_not_there_is_an_outage(free_port: int) -> None:
    assert_outage(await answer_to_a_key(f"http://127.0.0.1:{free_port}"))


async def test_a_connection_that_is_reset_is_an_outage(resetting_url: str) -> None:
    assert_outage(await answer_to_a_key(resetting_url))


async def test_an_answer_without_end_is_not_read_for_long(membership: FakeMembership) -> None:
    membership.mode = MembershipMode.ENDLESS
    async with authenticator_for(membership) as authenticator:
        await refused(authenticator)
        sent = -1
        while sent != membership.state.sent_bytes:  # it stops once it sees that nobody reads
            sent = membership.state.sent_bytes
            await asyncio.sleep(0.05)
    assert sent < 50_000_000


async def test_where_a_redirect_points_no_key_arrives(membership: FakeMembership) -> None:
    with FakeMembership() as elsewhere:
        elsewhere.add(KEY)
        membership.mode = MembershipMode.REDIRECT
        membership.state.redirect_to = f"{elsewhere.url}/auth"
        assert_outage(await answer_to_a_key(membership.url))
    assert (len(membership.calls), elsewhere.calls) == (1, [])


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"true",
        b"[true]",
        b"{}",
        b'{"valid": null}',
        b'{"valid": 1}',
        b'{"valid": "true"}',
        b'{"Valid": true}',
        b'{"valid": true',
        b'{"valid": true}{"valid": true}',
        b'\xff{"valid": true}',
    ],
)
def test_only_the_json_value_true_is_an_acceptance(answer: bytes) -> None:
    assert parse_verdict(answer) == Outage("garbage")


@pytest.mark.parametrize(
    "member",
    [
        {"account_id": ""},
        {"account_id": 4.2},
        {"account_id": True},
        {"account_id": "a\nb"},
        {"account_id": "a" * 129},
        {"tier": {}},
        {"scopes": ""},
        {"scopes": False},
        {"scopes": {}},
        {"scopes": "search"},
        {"scopes": [None]},
        {"scopes": ["s"] * 65},
    ],
    ids=str,
)
def test_odd_data_of_one_account_widens_nothing_and_opens_no_breaker(member: dict[str, object]) -> None:
    assert parse_verdict(orjson.dumps({"valid": True, **member})) == Outage("garbage_account", counts=False)


def test_what_membership_leaves_out_or_adds_does_no_harm() -> None:
    told = orjson.dumps({"valid": True, "account_id": 42, "tier": None, "scopes": None, "caller_id": "x"})
    assert parse_verdict(told) == Verdict(True, "42", "default", ())


async def test_the_breaker_stops_asking_and_closes_after_one_good_answer(membership: FakeMembership) -> None:
    membership.add(KEY)
    membership.mode = MembershipMode.DOWN
    clock = SteppedClock()
    async with authenticator_for(membership, clock=clock) as authenticator:
        for _ in range(5):
            await refused(authenticator)
        error = await refused(authenticator)
        assert len(membership.calls) == 5
        assert error.retry_after_seconds == pytest.approx(5.0)
        clock.now += 2.0
        assert (await refused(authenticator)).retry_after_seconds == pytest.approx(3.0)
        clock.now += 3.0
        membership.mode = MembershipMode.OK
        assert (await authenticator.identify(KEY, "")).caller_type == "user"
        assert len(membership.calls) == 6


async def test_half_open_one_call_probes_and_the_others_are_told_at_once(membership: FakeMembership) -> None:
    membership.add(KEY)
    membership.mode = MembershipMode.DOWN
    clock = SteppedClock()
    async with authenticator_for(membership, clock=clock) as authenticator:
        assert breaker_state() == CLOSED
        for _ in range(5):
            await refused(authenticator)
        assert breaker_state() == OPEN
        clock.now += 5.0
        membership.mode = MembershipMode.OK
        membership.hold()
        probe = asyncio.create_task(authenticator.identify(KEY, ""))
        await until(lambda: len(membership.calls) == 6)
        assert breaker_state() == HALF_OPEN
        for number in range(20):
            error = await refused(authenticator, f"another-key-{number}")
            assert error.retry_after_seconds == 1.0
        assert len(membership.calls) == 6
        membership.release()
        await probe
        assert breaker_state() == CLOSED


async def test_a_probe_that_fails_opens_it_for_another_while(membership: FakeMembership) -> None:
    membership.mode = MembershipMode.DOWN
    clock = SteppedClock()
    async with authenticator_for(membership, clock=clock) as authenticator:
        for _ in range(5):
            await refused(authenticator)
        clock.now += 5.0
        await refused(authenticator)
        assert (await refused(authenticator)).retry_after_seconds == pytest.approx(5.0)
        assert (len(membership.calls), breaker_state()) == (6, OPEN)


async def test_while_it_is_open_known_keys_and_services_still_pass(membership: FakeMembership) -> None:
    membership.add(KEY)
    async with authenticator_for(membership, clock=SteppedClock()) as authenticator:
        await authenticator.identify(KEY, "")
        membership.mode = MembershipMode.DOWN
        for number in range(6):
            await refused(authenticator, f"another-key-{number}")
        assert (await authenticator.identify(KEY, "")).caller_type == "user"


async def test_a_flood_of_made_up_keys_waits_here_and_not_in_membership(
    membership: FakeMembership, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership_module, "MAX_CALLS_IN_FLIGHT", 2)
    membership.hold()
    async with authenticator_for(membership) as authenticator:
        keys = [f"made-up-key-{number}" for number in range(20)]
        first = [asyncio.create_task(authenticator.identify(key, "")) for key in keys[:2]]
        await until(lambda: len(membership.calls) == 2)
        monkeypatch.setattr(membership_module, "MEMBERSHIP_TIMEOUT_SECONDS", 0.2)
        outcomes = await asyncio.gather(*(authenticator.identify(key, "") for key in keys[2:]), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {UnavailableError}
        assert len(membership.calls) == 2
        membership.release()
        outcomes = await asyncio.gather(*first, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {UnauthorizedError}


async def test_invalid_keys_do_not_open_the_breaker(membership: FakeMembership) -> None:
    membership.add(KEY)
    async with authenticator_for(membership) as authenticator:
        for number in range(membership_module.BREAKER_FAILURES * 2):
            with pytest.raises(UnauthorizedError):
                await authenticator.identify(f"made-up-key-{number}", "")
        assert (await authenticator.identify(KEY, "")).caller_type == "user"
