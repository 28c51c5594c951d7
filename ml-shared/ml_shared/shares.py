"""Places that several callers share in one process: connections, calls in flight, processes to extract in.

A caller has at most a share of them, and while it waits for more nobody waits behind it: the next place goes to whoever
has the fewest. What no caller asked for (a worker's task, a service of the fleet, a scrape of `/metrics`) has no share, comes
first, and finds some places that callers never get. Bounds that hold over processes are kept in Redis, see
`ml_shared.queues.room`.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from prometheus_client import Counter as CounterMetric
from prometheus_client import Gauge

from ml_shared.auth.request import current_request
from ml_shared.errors import RateLimitedError, ServiceError, UnavailableError
from ml_shared.telemetry.metrics import multiprocess_folder, start_at_zero

WAIT_SECONDS: Final = 10.0
# longer than anybody's own share is busy with ordinary work; below every service's SYNC_TIMEOUT_SECONDS
RETRY_AFTER_SECONDS: Final = 2.0
NOBODY: Final = ""

multiprocess_folder()  # made before the first gauge wants a file in it
_HELD: Final = Gauge(
    "ml_places_held", "Places that are held, by what they are.", ["place"], multiprocess_mode="livesum"
)
_LIMIT: Final = Gauge(
    "ml_places_limit", "Places that there are, by what they are.", ["place"], multiprocess_mode="livesum"
)
_WAITING: Final = Gauge(
    "ml_places_waiting", "Who waits for a place, by what they are.", ["place"], multiprocess_mode="livesum"
)
_REFUSED: Final = CounterMetric(
    "ml_places_refused",
    "Requests that got no place: `share`, the caller has its own; `busy`, none came free in time.",
    ["place", "reason"],
)


class ShareTakenError(RateLimitedError):
    """The caller has as many places as one may, and as many more requests that wait for one."""

    code = "too_many_at_once"


class PlacesTakenError(UnavailableError):
    """No place came free in time."""

    code = "busy"


class Places:
    """Some places, and who holds them.

    Parameters
    ----------
    name
        What they are, for metrics and texts: a few words' worth, `search connections`.
    total
        How many.
    share
        How many of them one caller may hold.
    reserve
        How many of them callers never get.
    waiting
        How many requests of one caller may wait; 0 refuses what finds no place.
    refusal
        The error of a caller who has its share.
    instead
        What that caller is told to do.
    """

    def __init__(
        self,
        name: str,
        total: int,
        *,
        share: int,
        reserve: int = 0,
        waiting: int = 32,
        wait_seconds: float = WAIT_SECONDS,
        refusal: type[ServiceError] = ShareTakenError,
        retry_after_seconds: float = RETRY_AFTER_SECONDS,
        instead: str = "send fewer requests at once",
    ) -> None:
        self.name = name
        self._total = total
        self._callers_total = max(1, total - reserve)
        self._share = max(1, min(share, self._callers_total))
        self._most_waiting = waiting
        self._wait_seconds = wait_seconds
        self._refusal = refusal
        self._retry_after = retry_after_seconds
        self._instead = instead
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._gauge = _HELD.labels(name)
        start_at_zero(_REFUSED, [name], ["share", "busy"])

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Places"]:
        """Count the places as long as they are there."""
        _LIMIT.labels(self.name).inc(self._total)
        for gauge in (_HELD, _WAITING):
            gauge.labels(self.name)  # there before anybody holds, or waits
        try:
            yield self
        finally:
            _LIMIT.labels(self.name).dec(self._total)

    @property
    def held(self) -> int:
        """How many are held."""
        return self._held.total()

    @asynccontextmanager
    async def taken(self, caller: str | None = None) -> AsyncIterator[None]:
        """Hold a place within the block.

        Parameters
        ----------
        caller
            For whom; whose request this is unless given, and "" for nobody's.

        Raises
        ------
        ServiceError
            `refusal`, if the caller has its share and as many as may wait; by default `429 too_many_at_once`.
        PlacesTakenError
            If no place came free in time.
        """
        caller = await self.take(caller)
        try:
            yield
        finally:
            self.leave(caller)

    async def take(self, caller: str | None = None) -> str:
        """Take a place, as `taken` does, and return for whom: it is theirs until `leave`."""
        caller = _present() if caller is None else caller
        await self._take(caller)
        self._gauge.inc()
        return caller

    def leave(self, caller: str) -> None:
        """Give a place back that was taken for this caller."""
        self._gauge.dec()
        self._held[caller] -= 1
        if not self._held[caller]:
            del self._held[caller]
        if self._waiting:
            self._hand_on()

    async def _take(self, caller: str) -> None:
        if caller not in self._waiting and self._may_have(caller):
            self._held[caller] += 1
            return
        queue = self._waiting.get(caller, deque())
        if caller != NOBODY and len(queue) >= self._most_waiting:
            _REFUSED.labels(self.name, "share").inc()
            raise self._refusal(
                f"{self._held[caller]} of your requests hold {self.name}, and {len(queue)} wait for one; {self._instead}",
                retry_after_seconds=self._retry_after,
            )
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(place)
        self._waiting[caller] = queue
        try:
            with _WAITING.labels(self.name).track_inprogress():
                async with asyncio.timeout(self._wait_seconds if caller != NOBODY else None) as limit:
                    await place
        except BaseException as error:
            self._forget(caller, place)
            if isinstance(error, TimeoutError) and limit.expired():
                _REFUSED.labels(self.name, "busy").inc()
                raise PlacesTakenError(
                    f"the {self.name} are all in use; try again in a moment", retry_after_seconds=self._retry_after
                ) from error
            raise

    def _forget(self, caller: str, place: "asyncio.Future[None]") -> None:
        if place.done() and not place.cancelled():  # it came just as nobody wanted it any more
            self._held[caller] -= 1
            if not self._held[caller]:
                del self._held[caller]
            self._hand_on()
            return
        queue = self._waiting.get(caller)
        if queue is not None and place in queue:
            queue.remove(place)
            if not queue:
                del self._waiting[caller]

    def _may_have(self, caller: str) -> bool:
        if self._held.total() >= self._total:
            return False
        if caller == NOBODY:
            return True
        return self._held[caller] < self._share and self._held.total() - self._held[NOBODY] < self._callers_total

    def _hand_on(self) -> None:
        while entitled := [caller for caller in self._waiting if self._may_have(caller)]:
            # the dictionary's order is that in which they began to wait, and whoever got a place goes to its end
            caller = min(entitled, key=lambda caller: (caller != NOBODY, self._held[caller]))
            queue = self._waiting.pop(caller)
            place = queue.popleft()
            if queue:
                self._waiting[caller] = queue
            if not place.done():
                self._held[caller] += 1
                place.set_result(None)


def _present() -> str:
    """Return whose request this is, `NOBODY` outside of one and within one of the fleet's own."""
    state = current_request()
    return NOBODY if state is None or state.ctx is None or state.ctx.is_internal else state.ctx.owner


__all__ = ["Places", "PlacesTakenError", "ShareTakenError"]
