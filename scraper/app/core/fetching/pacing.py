"""How often a host is asked, by all processes on all VMs together.

Fails closed: while the Redis that keeps the pace is down nothing is fetched, because a pace kept by each process alone
would multiply by their number on somebody else's server. Jobs wait and are handed out again.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.errors import HostBusyError, PacingUnavailableError
from ml_shared.storage.lua import LuaScript

PATIENCE_SECONDS: Final = 2.0
# the longest that a worker sleeps for a slot; a longer wait is the orchestrator's to keep
MAX_HOLD_SECONDS: Final = 3_600.0
# a Retry-After beyond this is not a pace but a farewell
_KEY: Final = "scraper:pace:"
_RETRY_AFTER_SECONDS: Final = 5.0


class Errand(StrEnum):
    """What a slot is for; the script's own words."""

    PAGE = "last"
    ROBOTS = "robots"


@dataclass(frozen=True)
class Turn:
    """A slot that is ours.

    Attributes
    ----------
    wait_seconds
        Until the slot.
    next_seconds
        Until the host may be asked after it.
    """

    wait_seconds: float
    next_seconds: float


class Pacer:
    """Gives out slots, a gap apart, in one round trip and in one step.

    Parameters
    ----------
    host_delay_seconds
        The gap between two requests to a host that asks for none of its own.
    max_delay_seconds
        The longest gap that a host can ask for.
    """

    def __init__(self, redis: Redis, *, host_delay_seconds: float, max_delay_seconds: float) -> None:
        self._redis = redis
        self._reserve = LuaScript("app.core.fetching", "pacing.lua")
        self._hold = LuaScript("app.core.fetching", "hold.lua")
        self._host_delay = host_delay_seconds
        self._max_delay = max(max_delay_seconds, host_delay_seconds)

    async def turn(
        self, host: str, *, delay_seconds: float | None = None, insist: bool = False, errand: Errand = Errand.PAGE
    ) -> Turn:
        """Reserve the host's next slot.

        Parameters
        ----------
        delay_seconds
            What the site asks for; the fleet's own delay is the least.
        insist
            Take a slot within `PATIENCE_SECONDS` whatever the gap: for a redirect within a host, which would otherwise
            never be followed where the gap is longer than that.
        errand
            What the host is asked for. A robots.txt keeps its distance from the page and from the robots.txt before it, and none
            from the page after it, which is what it was read for.

        Raises
        ------
        HostBusyError
            If the slot is more than `PATIENCE_SECONDS` away; it says how far.
        PacingUnavailableError
            If Redis does not answer.
        """
        gap = min(max(self._host_delay, delay_seconds or 0.0), self._max_delay)
        arguments = (_ms(gap), _ms(PATIENCE_SECONDS), int(insist), _ms(self._max_delay), errand.value)
        try:
            granted, wait, following = await self._reserve(self._redis, [_KEY + host], *arguments)
        except (RedisError, OSError) as error:
            raise _unavailable() from error
        if not granted:
            seconds = wait / 1000
            raise HostBusyError(f"{host} may be asked again in {seconds:.1f} s", retry_after_seconds=seconds)
        return Turn(wait / 1000, following / 1000)

    async def hold(self, host: str, seconds: float) -> float:
        """Keep off a host for a while, as it asked; return for how long."""
        held = min(seconds, MAX_HOLD_SECONDS)
        try:
            held_ms: int = await self._hold(self._redis, [_KEY + host], _ms(held), _ms(self._max_delay))
        except (RedisError, OSError) as error:
            raise _unavailable() from error
        return held_ms / 1000


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _unavailable() -> PacingUnavailableError:
    return PacingUnavailableError(
        "the store that keeps every host's pace does not answer", retry_after_seconds=_RETRY_AFTER_SECONDS
    )
