"""The raw key goes to Membership and nowhere else: not to logs, spans, caches, errors, tracebacks or answers."""

import asyncio
import contextlib
import gc
import logging
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType

import pytest
from guarded_app import build_app, instrumented, serving, settings_for
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.asyncio import Redis

from ml_shared.auth import membership as membership_module
from ml_shared.auth.membership import Authenticator
from ml_shared.errors import ServiceError
from ml_shared.storage.redis_client import open_redis
from ml_shared.testing.membership import FakeMembership, MembershipMode

KEY = "raw-key-that-must-not-show-0123456789"
HEADERS = {"X-API-Key": KEY}
NOT_FOLLOWED = (asyncio.AbstractEventLoop, CodeType, FrameType, FunctionType, ModuleType, type)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(redis_url) as client:
        yield client


@pytest.mark.parametrize("mode", list(MembershipMode))
@pytest.mark.parametrize("known", [True, False])
async def test_no_answer_of_membership_makes_the_key_show(
    membership: FakeMembership,
    redis: Redis,
    spans: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    mode: MembershipMode,
    known: bool,
) -> None:
    if mode in (MembershipMode.SLOW, MembershipMode.DRIP):
        monkeypatch.setattr(membership_module, "MEMBERSHIP_TIMEOUT_SECONDS", 1.5)
    for name in ("httpx", "httpcore"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    membership.mode = mode
    membership.state.delay_seconds = 60.0
    if known:
        membership.add(KEY)
    with caplog.at_level(logging.DEBUG):
        async with serving(instrumented(build_app()), settings_for(membership.url), redis) as client:
            answer = await client.get("/whoami", headers=HEADERS)
            state = repr(vars(client))
    shown = [answer.text, str(answer.headers), state]
    shown += [f"{record.getMessage()} {record.__dict__} {record.exc_text}" for record in caplog.records]
    shown += [span.to_json() for span in spans.get_finished_spans()]
    for name in await redis.keys("*"):
        shown += [repr(name), repr(await redis.get(name)) if await redis.type(name) == b"string" else ""]
    assert [text for text in shown if KEY in text] == []
    assert len(caplog.records) > 0
    assert len(membership.calls) == 1


@pytest.mark.parametrize("mode", [MembershipMode.OK, MembershipMode.DOWN, MembershipMode.SLOW, MembershipMode.GARBAGE])
async def test_an_error_carries_no_key_in_its_chain_nor_in_its_frames(
    membership: FakeMembership, monkeypatch: pytest.MonkeyPatch, mode: MembershipMode
) -> None:
    monkeypatch.setattr(membership_module, "MEMBERSHIP_TIMEOUT_SECONDS", 1.5)
    membership.mode = mode
    membership.state.delay_seconds = 60.0
    async with Authenticator.open(settings_for(membership.url), None) as authenticator:
        with pytest.raises(ServiceError) as raised:
            await authenticator.identify(KEY, "")
    error = raised.value
    assert (error.__cause__, error.__context__) == (None, None)
    assert KEY not in "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


async def test_a_fault_of_our_own_while_a_key_is_checked_does_not_show_it(
    membership: FakeMembership, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def broken(self: object, key_hash: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ml_shared.auth.cache.VerdictCache.local", broken)
    app = build_app()

    def keep(error: Exception, instance: str | None = None) -> object:
        shown.append("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
        return genuine(error, instance)

    from ml_shared.auth import middleware

    genuine = middleware.unexpected_problem
    monkeypatch.setattr(middleware, "unexpected_problem", keep)
    async with serving(app, settings_for(membership.url)) as client:
        answer = await client.get("/whoami", headers=HEADERS)
    assert answer.status_code == 500
    ours = [part for text in shown for part in text.split('  File "') if "/ml_shared/auth/membership.py" in part]
    assert ours
    assert [part for part in ours if KEY in part] == []
    assert KEY not in caplog.text


async def test_a_context_and_its_representation_hold_the_hash_alone(membership: FakeMembership) -> None:
    membership.add(KEY)
    async with Authenticator.open(settings_for(membership.url), None) as authenticator:
        ctx = await authenticator.identify(KEY, "")
        held = repr(ctx) + repr(vars(authenticator)) + repr(vars(authenticator._cache))
    assert KEY not in held


@pytest.mark.parametrize(
    "mode", [mode for mode in MembershipMode if mode not in (MembershipMode.SLOW, MembershipMode.DRIP)]
)
async def test_once_a_request_is_over_nothing_that_checks_keys_holds_the_key(
    membership: FakeMembership, redis: Redis, mode: MembershipMode
) -> None:
    membership.mode = mode
    async with Authenticator.open(settings_for(membership.url), redis) as authenticator:
        for known in (False, True):
            if known:
                membership.add(KEY)
            with contextlib.suppress(ServiceError):
                await authenticator.identify(KEY, "")
        holders, looked_at = held_by(authenticator)
    assert holders == []
    assert looked_at > 100


def held_by(root: object) -> tuple[list[str], int]:
    """Say which objects within reach of one hold the key, and how many were looked at.

    Code, modules and the loop are left out: through them a test would find itself.
    """
    found: list[str] = []
    seen: set[int] = set()
    waiting: list[object] = [root]
    while waiting:
        holder = waiting.pop()
        for held in gc.get_referents(holder):
            if id(held) in seen or isinstance(held, NOT_FOLLOWED):
                continue
            seen.add(id(held))
            waiting.append(held)
            if (isinstance(held, str) and KEY in held) or (
                isinstance(held, bytes | bytearray) and KEY.encode() in held
            ):
                found.append(type(holder).__name__)
    return found, len(seen)


def test_one_module_calls_membership_and_no_other_knows_how() -> None:
    package = Path(membership_module.__file__).parents[1]
    knowing = {
        "MEMBERSHIP_URL": {"settings.py", "auth/membership.py"},
        "parse_verdict": {"auth/membership.py", "auth/verdict.py"},
    }
    modules = [path for path in package.rglob("*.py") if "testing" not in path.parts]
    for name, expected in knowing.items():
        assert {str(path.relative_to(package)) for path in modules if name in path.read_text()} == expected


async def test_membership_leaves_no_cookie_for_the_next_callers_key(membership: FakeMembership) -> None:
    async with Authenticator.open(settings_for(membership.url), None) as authenticator:
        membership.add(KEY)
        membership.state.headers.append((b"set-cookie", b"session=of-the-first-caller"))
        await authenticator.identify(KEY, "")
        membership.add("second-key-0123456789")
        await authenticator.identify("second-key-0123456789", "")
    assert "cookie" not in membership.calls[1].headers
