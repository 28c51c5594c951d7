"""`await enforcer.check(ctx)`: the first statement of every endpoint."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakKeyDictionary

from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ml_shared.auth.breaker import CircuitBreaker
from ml_shared.auth.context import CallerContext
from ml_shared.auth.request import current_request
from ml_shared.errors import RateLimitedError
from ml_shared.lua import LuaScript
from ml_shared.ratelimit.local_window import Hit, LocalWindow
from ml_shared.ratelimit.strategies import (
    CompositeStrategy,
    FairShareStrategy,
    Limit,
    MembershipTierStrategy,
    RateLimitDecision,
)
from ml_shared.settings import ServiceSettings

REDIS_TIMEOUT_SECONDS: Final = 0.1
# a limit is not worth a slow answer; what is kept in memory stands in
REDIS_PAUSE_SECONDS: Final = 1.0
# after a failure; or every request would wait for the timeout

_SCRIPT: Final = LuaScript("ml_shared.ratelimit", "sliding_window.lua")
_logger = logging.getLogger(__name__)

_DECISIONS = Counter(
    "ml_ratelimit_decisions_total",
    "Requests that were counted against a limit, by what decided and where the window was kept",
    ["policy", "outcome", "store"],
)


class _SharedWindow:
    """The window in Redis, shared by every process and VM of the service."""

    def __init__(self, redis: Redis, service: str, window_seconds: float) -> None:
        self._redis = redis
        # the braces keep a service's keys in one slot of a Redis Cluster
        self._prefix = f"ratelimit:{{{service}}}"
        self._window_us = int(window_seconds * 1_000_000)
        self._breaker = CircuitBreaker(failures=1, open_seconds=REDIS_PAUSE_SECONDS)

    async def hit(self, caller: str, limits: Sequence[Limit]) -> Hit | None:
        """Count one request; `None` when Redis does not answer in time, or did not a moment ago."""
        attempt = self._breaker.begin()
        if attempt is None:
            return None
        keys = [f"{self._prefix}:log:{caller}", f"{self._prefix}:callers"]
        values = [value for limit in limits for value in (limit.requests, int(limit.shared), limit.floor)]
        succeeded: bool | None = None
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                answer = await _SCRIPT(self._redis, keys, self._window_us, caller, *values)
            succeeded = True
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            succeeded = False
            _logger.warning("ratelimit_redis_failed", extra={"error": type(error).__name__})
            return None
        finally:
            attempt.end(succeeded)
        allowed, index, limit, remaining, reset_us = (int(value) for value in answer)
        return Hit(bool(allowed), index, limit, remaining, reset_us / 1_000_000)


class _Limiter:
    """What one application limits by."""

    def __init__(self, settings: ServiceSettings, redis: Redis | None) -> None:
        self._window_seconds = settings.RATE_LIMIT_WINDOW_SECONDS
        self._strategy = CompositeStrategy(
            FairShareStrategy(settings.RATE_LIMIT_CAPACITY, settings.RATE_LIMIT_FLOOR),
            MembershipTierStrategy(settings.RATE_LIMIT_TIERS),
        )
        self._local = LocalWindow(self._window_seconds, parts=settings.API_PROCESSES * settings.SERVICE_REPLICAS)
        self._shared = None if redis is None else _SharedWindow(redis, settings.SERVICE_NAME, self._window_seconds)

    async def decide(self, ctx: CallerContext) -> RateLimitDecision:
        # by owner, which is the key unless OWNER_SOURCE=account: an account's many keys have one share
        limits = self._strategy.limits(ctx)
        hit = None if self._shared is None else await self._shared.hit(ctx.owner, limits)
        store = "redis"
        if hit is None:
            hit, store = self._local.hit(ctx.owner, limits), "memory"
        elif hit.allowed:
            self._local.record(ctx.owner)
        policy = limits[hit.tightest].name
        _DECISIONS.labels(policy, "allowed" if hit.allowed else "refused", store).inc()
        return RateLimitDecision(policy, hit.limit, hit.remaining, self._window_seconds, hit.reset_seconds, hit.allowed)


class SlidingWindowEnforcer:
    """Holds each caller to its limit, in a window that slides with the time of each request.

    What it limits by belongs to the application's life, and so to its event loop: several applications may run in
    one process, each in a loop of its own.
    """

    def __init__(self) -> None:
        self._limiters: WeakKeyDictionary[asyncio.AbstractEventLoop, list[_Limiter]] = WeakKeyDictionary()

    @asynccontextmanager
    async def opened(self, settings: ServiceSettings, redis: Redis | None) -> AsyncIterator[None]:
        """Configure the enforcer for the life of an application; without a Redis it counts in memory."""
        limiters = self._limiters.setdefault(asyncio.get_running_loop(), [])
        limiter = _Limiter(settings, redis)
        limiters.append(limiter)
        try:
            yield
        finally:
            limiters.remove(limiter)

    async def check(self, ctx: CallerContext) -> None:
        """Count one request of a caller. Internal callers pass uncounted; a refused request consumes nothing.

        Raises
        ------
        RateLimitedError
            When the caller has no request left; says when it will have one.
        """
        if ctx.is_internal:
            return
        limiters = self._limiters.get(asyncio.get_running_loop())
        if not limiters:
            raise RuntimeError("the rate limiter is not open; enter enforcer.opened() in the lifespan")
        decision = await limiters[-1].decide(ctx)
        state = current_request()
        if state is not None:
            state.rate_limit = decision
        if not decision.allowed:
            raise RateLimitedError(
                f"{decision.limit} requests in {decision.window_seconds:g} s are allowed now"
                f" (policy {decision.policy}); try again in {decision.retry_after_seconds} s",
                retry_after_seconds=decision.retry_after_seconds,
            )


enforcer: Final = SlidingWindowEnforcer()
