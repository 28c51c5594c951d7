"""How many requests a caller may make in a window: what decides it, and what was decided."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from ml_shared.auth.context import CallerContext
from ml_shared.names import Header

_POLICY_HEADER: Final = Header.RATE_LIMIT_POLICY.lower().encode()
_STATE_HEADER: Final = Header.RATE_LIMIT.lower().encode()


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of requests a window, under the name that answers give it.

    Attributes
    ----------
    name
        The policy's name in `RateLimit` and `RateLimit-Policy`.
    requests
        The number, or what is divided among the active callers if `shared`.
    shared
        Whether it is divided. How many are active is known only where the window is kept, so the division happens
        there, in the same atomic step as the counting.
    floor
        What is left to each however many share.
    """

    name: str
    requests: int
    shared: bool = False
    floor: int = 0

    def among(self, active_callers: int) -> int:
        """Return the requests of one caller when so many are active, itself included."""
        if not self.shared:
            return self.requests
        return max(self.floor, self.requests // max(active_callers, 1))


class Strategy(Protocol):
    """Says which limits hold for a caller. The tightest of them decides, and of equal ones the first."""

    def limits(self, ctx: CallerContext) -> tuple[Limit, ...]:
        """Return the limits that hold for this caller."""
        ...


class FairShareStrategy:
    """Divide what the service can serve among the callers active in the window, with a floor for each."""

    name = "fair-share"

    def __init__(self, capacity: int, floor: int) -> None:
        self._limits = (Limit(self.name, capacity, shared=True, floor=floor),)

    def limits(self, ctx: CallerContext) -> tuple[Limit, ...]:
        """Return the share, the same rule for everyone."""
        return self._limits


class MembershipTierStrategy:
    """Limit by the tier that Membership names. A tier that is not configured is held to `default`, else to the least."""

    name = "membership-tier"

    def __init__(self, tiers: Mapping[str, int]) -> None:
        self._by_tier = {tier: (Limit(self.name, requests),) for tier, requests in tiers.items()}
        fallback = tiers.get("default", min(tiers.values(), default=None))
        self._fallback = () if fallback is None else (Limit(self.name, fallback),)

    def limits(self, ctx: CallerContext) -> tuple[Limit, ...]:
        """Return the limit of the caller's tier."""
        return self._by_tier.get(ctx.tier, self._fallback)


class CompositeStrategy:
    """Several strategies at once: the tightest wins and names itself in the answer."""

    def __init__(self, *strategies: Strategy) -> None:
        self._strategies = strategies

    def limits(self, ctx: CallerContext) -> tuple[Limit, ...]:
        """Return every strategy's limits, in the order in which the strategies were given."""
        return tuple(limit for strategy in self._strategies for limit in strategy.limits(ctx))


@dataclass(frozen=True, slots=True)
class RateLimitDecision:
    """What was decided for one request.

    Attributes
    ----------
    policy
        Name of the limit that was the tightest.
    limit
        Requests a window that it allows this caller now.
    remaining
        Of these, how many are left.
    window_seconds
        Length of the window.
    reset_seconds
        When refused: until a request will pass. Else: until the oldest counted request leaves the window.
    allowed
        Whether the request may go on.
    """

    policy: str
    limit: int
    remaining: int
    window_seconds: float
    reset_seconds: float
    allowed: bool

    @property
    def retry_after_seconds(self) -> int:
        """Whole seconds, at least one: what `Retry-After` and the header's `t` say."""
        return max(1, math.ceil(self.reset_seconds))

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return `RateLimit-Policy` and `RateLimit` as ASGI wants them (draft-ietf-httpapi-ratelimit-headers)."""
        policy = f'"{self.policy}";q={self.limit};w={math.ceil(self.window_seconds)}'
        state = f'"{self.policy}";r={self.remaining};t={self.retry_after_seconds}'
        return [
            (_POLICY_HEADER, policy.encode()),
            (_STATE_HEADER, state.encode()),
        ]
