"""Who a key belongs to. The raw key is seen here, on its way to Membership, and nowhere else."""

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, Self

import httpx
import orjson
from fastapi import Request
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_http_instrumentation
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import Counter, Gauge, Histogram
from pydantic import SecretStr
from redis.asyncio import Redis

from ml_shared.auth.breaker import BreakerState, CircuitBreaker
from ml_shared.auth.cache import Clock, VerdictCache
from ml_shared.auth.context import CallerContext, hash_key
from ml_shared.auth.request import current_request
from ml_shared.auth.schemes import presented_key
from ml_shared.auth.verdict import Outage, Verdict, parse_verdict
from ml_shared.clients.tls import shared_tls
from ml_shared.errors import UnauthorizedError, UnavailableError
from ml_shared.names import SERVICE_KEY_PREFIX, Header
from ml_shared.settings import ServiceSettings
from ml_shared.telemetry import attributes
from ml_shared.telemetry.metrics import start_at_zero

VALIDATE_SPAN: Final = "membership.validate"
MEMBERSHIP_TIMEOUT_SECONDS: Final = 2.0
MAX_ANSWER_BYTES: Final = 65_536
MAX_CALLS_IN_FLIGHT: Final = 32
# of one process; a flood of made-up keys waits here and not in Membership
MAX_KEY_CHARACTERS: Final = 512

BREAKER_FAILURES: Final = 5
BREAKER_OPEN_SECONDS: Final = 5.0

_logger = logging.getLogger(__name__)
_tracer = trace.get_tracer(__name__)
_CHECKS = Counter("ml_auth_checks_total", "Requests whose key was looked at, by what came of it.", ["outcome"])
_OUTCOMES: Final = ("internal", "cached", "valid", "invalid", "unavailable", "missing")
_BREAKER_STATE = Gauge(
    "ml_auth_breaker_state",
    "The breaker before Membership, where it changed last: 0 closed, 1 half open, 2 open.",
    multiprocess_mode="mostrecent",  # of a process that was killed no state stays behind
)
_CALL_SECONDS = Histogram(
    "ml_auth_membership_duration_seconds",
    "Calls to Membership, by how they ended.",
    ["outcome"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0),
)


class Authenticator:
    """Tells who calls: internal keys first, then the caches, then Membership, one call at a time a key."""

    def __init__(self, settings: ServiceSettings, redis: Redis | None, client: httpx.AsyncClient, clock: Clock) -> None:
        self._internal_callers = settings.internal_callers
        self._owner_source = settings.OWNER_SOURCE
        self._client = client
        self._clock = clock
        self._cache = VerdictCache(redis, clock)
        self._breaker = CircuitBreaker(
            failures=BREAKER_FAILURES,
            open_seconds=BREAKER_OPEN_SECONDS,
            clock=clock.monotonic,
            on_change=_BREAKER_STATE.set,
        )
        _BREAKER_STATE.set(BreakerState.CLOSED)
        start_at_zero(_CALL_SECONDS, ("valid", "invalid", "outage"))
        self._checks = {outcome: _CHECKS.labels(outcome) for outcome in _OUTCOMES}
        self._slots = asyncio.Semaphore(MAX_CALLS_IN_FLIGHT)
        self._flights: dict[str, asyncio.Task[Verdict | Outage]] = {}

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: ServiceSettings, redis: Redis | None, *, clock: Clock | None = None
    ) -> AsyncIterator[Self]:
        """Open it for the life of an application; `redis` is the second cache, where there is one."""
        async with httpx.AsyncClient(
            base_url=settings.MEMBERSHIP_URL,
            timeout=MEMBERSHIP_TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=MAX_CALLS_IN_FLIGHT),
            follow_redirects=False,  # a redirect would carry the key to wherever it points
            trust_env=False,  # nor through a proxy that the environment happens to name
            verify=shared_tls(),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # one caller's call leaves nothing for the next
        ) as client:
            authenticator = cls(settings, redis, client, clock or Clock())
            try:
                yield authenticator
            finally:
                await authenticator._settle()

    async def identify(self, raw_key: str, request_id: str) -> CallerContext:
        """Return who a key belongs to.

        Raises
        ------
        UnauthorizedError
            `401 invalid_api_key`.
        UnavailableError
            `503 membership_unavailable`: nobody is let in on a guess.
        """
        key_hash, secret = hash_key(raw_key), SecretStr(raw_key)
        del raw_key  # so that no traceback of what follows shows it
        name = _is_internal(key_hash, self._internal_callers)
        if name is not None:
            self._checks["internal"].inc()
            return CallerContext(
                caller_id=key_hash,
                caller_type="service",
                owner=f"service:{name}",
                service=name,
                is_internal=True,
                request_id=request_id,
            )
        verdict: Verdict | Outage | None = self._cache.local(key_hash)
        outcome = "cached"
        if verdict is None and not _well_formed(secret):
            verdict = Verdict(valid=False)
        if verdict is None:
            verdict, outcome = await self._joined(key_hash, secret), "valid"
        if isinstance(verdict, Outage):
            self._checks["unavailable"].inc()
            raise UnavailableError(
                "API keys can't be checked at the moment; try again",
                code="membership_unavailable",
                retry_after_seconds=verdict.retry_after_seconds,
            )
        if not verdict.valid:
            self._checks["invalid"].inc()
            raise UnauthorizedError("this API key is not valid")
        self._checks[outcome].inc()
        return CallerContext(
            caller_id=key_hash,
            caller_type="user",
            owner=self._owner(key_hash, verdict),
            tier=verdict.tier,
            scopes=frozenset(verdict.scopes),
            request_id=request_id,
        )

    def _owner(self, key_hash: str, verdict: Verdict) -> str:
        return f"acct:{verdict.account_id}" if self._owner_source == "account" else f"key:{key_hash}"

    async def _joined(self, key_hash: str, secret: SecretStr) -> Verdict | Outage:
        """Look a key up; whoever asks for the same key meanwhile gets the same answer."""
        flight = self._flights.get(key_hash)
        if flight is None:
            flight = asyncio.create_task(self._look_up(key_hash, secret))
            self._flights[key_hash] = flight
            flight.add_done_callback(lambda _: self._flights.pop(key_hash, None))
        # shielded: a caller who hangs up must not fail those who wait for the same key
        return await asyncio.shield(flight)

    async def _look_up(self, key_hash: str, secret: SecretStr) -> Verdict | Outage:
        cached = await self._cache.shared(key_hash)
        if cached is not None and not self._ownerless(cached):
            return cached
        try:
            async with asyncio.timeout(MEMBERSHIP_TIMEOUT_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            return Outage("saturated")
        try:
            asked_at = self._clock.monotonic()
            verdict = await self._guarded_call(secret)
        finally:
            self._slots.release()
        if isinstance(verdict, Outage):
            return verdict
        if self._ownerless(verdict):
            _logger.error("membership_account_id_missing", extra={"owner_source": self._owner_source})
            return Outage("no_account_id")
        await self._cache.put(key_hash, verdict, asked_at)
        return verdict

    def _ownerless(self, verdict: Verdict) -> bool:
        return verdict.valid and self._owner_source == "account" and verdict.account_id is None

    async def _guarded_call(self, secret: SecretStr) -> Verdict | Outage:
        attempt = self._breaker.begin()
        if attempt is None:
            return Outage("breaker_open", max(1.0, self._breaker.retry_after_seconds))
        succeeded: bool | None = None
        try:
            verdict = await _call_membership(self._client, secret)
            succeeded = not (isinstance(verdict, Outage) and verdict.counts)
            return verdict
        finally:
            attempt.end(succeeded)

    async def _settle(self) -> None:
        for flight in list(self._flights.values()):
            flight.cancel()
        await asyncio.gather(*self._flights.values(), return_exceptions=True)


def _well_formed(secret: SecretStr) -> bool:
    """Say whether Membership need be asked at all: a key is printable ASCII of a bounded length, and no service's.

    A service's key that is not known here is one of a peer that has no business here, or that has just been changed:
    what opens the fleet's internal routes leaves the fleet for nobody.
    """
    key = secret.get_secret_value()
    if key.startswith(SERVICE_KEY_PREFIX):
        return False
    return len(key) <= MAX_KEY_CHARACTERS and key.isascii() and key.isprintable()


def _is_internal(key_hash: str, callers: Mapping[str, str]) -> str | None:
    """Return the name of the service whose key this is. Every hash is compared, whichever it is, in constant time."""
    found = None
    for known_hash, name in callers.items():
        if hmac.compare_digest(key_hash, known_hash):
            found = name
    return found


async def _call_membership(client: httpx.AsyncClient, secret: SecretStr) -> Verdict | Outage:
    """Ask Membership about a key: the one place that knows its wire format.

    `POST {MEMBERSHIP_URL}/auth {"api_key": …}` answers `200 {"valid": true, "account_id"?, "tier"?, "scopes"?}`; 401,
    403 and `"valid": false` mean an invalid key.
    """
    with _tracer.start_as_current_span(VALIDATE_SPAN, kind=SpanKind.CLIENT, record_exception=False) as span:
        began = asyncio.get_running_loop().time()
        try:
            # suppressed: Membership is outside, so it gets no trace context of ours
            with suppress_http_instrumentation():
                async with asyncio.timeout(MEMBERSHIP_TIMEOUT_SECONDS):
                    verdict = await _exchange(client, secret)
        except (TimeoutError, httpx.TimeoutException):
            verdict = Outage("timeout")
        except Exception as error:  # noqa: BLE001 - a transport's edge; what passes here would carry the key
            verdict = Outage(f"transport_{type(error).__name__}")
        outcome = verdict.reason if isinstance(verdict, Outage) else "valid" if verdict.valid else "invalid"
        if isinstance(verdict, Outage):
            span.set_status(StatusCode.ERROR, outcome)
            _logger.warning("membership_unavailable", extra={"reason": outcome})
        label = "outage" if isinstance(verdict, Outage) else outcome
        _CALL_SECONDS.labels(label).observe(asyncio.get_running_loop().time() - began)
        return verdict


async def _exchange(client: httpx.AsyncClient, secret: SecretStr) -> Verdict | Outage:
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
    body = orjson.dumps({"api_key": secret.get_secret_value()})
    async with client.stream("POST", "/auth", content=body, headers=headers) as response:
        if response.status_code in (401, 403):
            return Verdict(valid=False)
        if response.status_code != 200:
            overloaded = response.status_code >= 500 or response.status_code == 429
            return Outage(f"status_{response.status_code}", counts=overloaded)
        if "content-encoding" in response.headers:
            return Outage("garbage")  # not asked for, and a few bytes of it may unpack to gigabytes
        answer = bytearray()
        async for part in response.aiter_raw():
            answer += part
            if len(answer) > MAX_ANSWER_BYTES:
                return Outage("garbage")
    return parse_verdict(bytes(answer))


def _presented_key(request: Request) -> str:
    key = presented_key(request)
    if key is None:
        _CHECKS.labels("missing").inc()
        raise UnauthorizedError(
            f"no API key; send it as {Header.API_KEY}, or as Authorization: Bearer", code="missing_api_key"
        )
    return key


async def validate_api_key(request: Request) -> CallerContext:
    """Identify the caller of a request: the dependency of every route that needs a key.

    Raises
    ------
    UnauthorizedError
        `401`, without a key or with one that is not valid.
    UnavailableError
        `503 membership_unavailable`.
    """
    state = current_request()
    if state is not None and state.ctx is not None:  # asked again: a route admits its caller before it reads a body
        return state.ctx
    span = trace.get_current_span()
    span.set_attribute(attributes.CALLER_TYPE, "unknown")
    authenticator: Authenticator = request.app.state.authenticator
    # passed on unnamed: a local variable would show in a traceback that prints them
    ctx = await authenticator.identify(_presented_key(request), state.request_id if state else "")
    span.set_attribute(attributes.CALLER_TYPE, ctx.caller_type)
    if state is not None:
        state.ctx = ctx
    return ctx
