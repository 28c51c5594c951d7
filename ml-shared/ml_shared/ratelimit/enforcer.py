"""`await enforcer.check(ctx)`: the first statement of every endpoint."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import lru_cache
from typing import Final
from weakref import WeakKeyDictionary

from prometheus_client import Counter
from redis.asyncio import Redis

from ml_shared.auth.context import CallerContext
from ml_shared.auth.request import current_request
from ml_shared.errors import RateLimitedError
from ml_shared.ratelimit.local_window import LocalWindow
from ml_shared.ratelimit.shared_window import SharedWindow
from ml_shared.ratelimit.strategies import (
    CompositeStrategy,
    FairShareStrategy,
    MembershipTierStrategy,
    RateLimitDecision,
)
from ml_shared.settings import ServiceSettings
from ml_shared.telemetry.metrics import start_at_zero

_DECISIONS = Counter(
    "ml_ratelimit_decisions_total",
    "Requests that were counted against a limit, by what decided and where the window was kept.",
    ["policy", "outcome", "store"],
)
_counted = lru_cache(maxsize=64)(_DECISIONS.labels)
# looking a series up by its labels costs more than counting


class _Limiter:
    """What one application limits by."""

    def __init__(self, settings: ServiceSettings, shared: SharedWindow | None) -> None:
        self._window_seconds = settings.RATE_LIMIT_WINDOW_SECONDS
        self._strategy = CompositeStrategy(
            FairShareStrategy(settings.RATE_LIMIT_CAPACITY, settings.RATE_LIMIT_FLOOR),
            MembershipTierStrategy(settings.RATE_LIMIT_TIERS),
        )
        self._local = LocalWindow(self._window_seconds, parts=settings.API_PROCESSES * settings.SERVICE_REPLICAS)
        self._shared = shared
        policies = (FairShareStrategy.name, MembershipTierStrategy.name)
        start_at_zero(_DECISIONS, policies, ("allowed", "refused"), ("redis", "memory"))

    async def decide(self, ctx: CallerContext) -> RateLimitDecision:
        # by owner, which is the key unless OWNER_SOURCE=account: an account's many keys have one share
        limits = self._strategy.limits(ctx)
        hit = None if self._shared is None else await self._shared.hit(ctx.owner, limits)
        store = "redis"
        if hit is None:
            hit, store = self._local.hit(ctx.owner, limits), "memory"
        elif hit.allowed:
            self._local.record(ctx.owner, limits)
        policy = limits[hit.tightest].name
        _counted(policy, "allowed" if hit.allowed else "refused", store).inc()
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
        async with AsyncExitStack() as stack:
            shared = None
            if redis is not None:
                window = SharedWindow.open(redis, settings.SERVICE_NAME, settings.RATE_LIMIT_WINDOW_SECONDS)
                shared = await stack.enter_async_context(window)
            limiter = _Limiter(settings, shared)
            limiters.append(limiter)
            stack.callback(limiters.remove, limiter)
            yield

    async def check(self, ctx: CallerContext) -> None:
        """Count one request of a caller. Internal callers pass uncounted; a refused request consumes nothing.

        A request is counted once, however often it is asked for: before its body is read, and in the endpoint.

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
        state = current_request()
        if state is not None and state.counted:
            return
        decision = await limiters[-1].decide(ctx)
        if state is not None:
            state.rate_limit = decision
            state.counted = decision.allowed
        if not decision.allowed:
            raise RateLimitedError(
                f"{decision.limit} requests in {decision.window_seconds:g} s are allowed now"
                f" (policy {decision.policy}); try again in {decision.retry_after_seconds} s",
                retry_after_seconds=decision.retry_after_seconds,
            )


enforcer: Final = SlidingWindowEnforcer()
