"""A sliding window in the memory of one process: where there is no Redis, and while it does not answer."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from ml_shared.ratelimit.strategies import Limit

MAX_CALLERS: Final = 10_000
# active in one window; beyond it the one who has been quiet the longest starts anew


class Hit(NamedTuple):
    """One request against a window; `tightest` is the place of the limit that decided among those given."""

    allowed: bool
    tightest: int
    limit: int
    remaining: int
    reset_seconds: float


class LocalWindow:
    """The rules of `sliding_window.lua`, in one process.

    It keeps 32 bytes a request that was accepted in the window, never more requests of a caller than its limit, and
    never more than `MAX_CALLERS` callers.

    Parameters
    ----------
    window_seconds
        Length of the window.
    parts
        How many processes keep a window like this; each allows that part of a limit, so that together they never
        allow more than the whole.
    clock
        Seconds that only ever grow.
    """

    def __init__(self, window_seconds: float, *, parts: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._window = window_seconds
        self._parts = parts
        self._clock = clock
        self._logs: OrderedDict[str, deque[float]] = OrderedDict()  # by last accepted request, oldest first

    def hit(self, caller: str, limits: Sequence[Limit]) -> Hit:
        """Count one request of a caller, if it is within its limits."""
        now = self._clock()
        self._forget(now)
        log = self._log(caller, now)
        active = len(self._logs) + (0 if caller in self._logs else 1)
        index, limit = min(enumerate(self._part(limit.among(active)) for limit in limits), key=lambda pair: pair[1])
        if len(log) >= limit:
            return Hit(False, index, limit, 0, log[len(log) - limit] + self._window - now)
        self._add(caller, log, now)
        return Hit(True, index, limit, limit - len(log), log[0] + self._window - now)

    def record(self, caller: str, limits: Sequence[Limit]) -> None:
        """Note a request that was accepted elsewhere, so that losing Redis does not hand out a fresh window."""
        now = self._clock()
        self._forget(now)
        log = self._log(caller, now)
        # a Redis that lost its data accepts more than this window has room for
        while log and len(log) >= min(limit.requests for limit in limits):
            log.popleft()
        self._add(caller, log, now)

    def _part(self, requests: int) -> int:
        # at least one: a limit below the number of processes would otherwise shut the caller out for good
        return max(1, requests // self._parts)

    def _log(self, caller: str, now: float) -> deque[float]:
        log = self._logs.get(caller)
        if log is None:
            return deque()
        while log and log[0] <= now - self._window:
            log.popleft()
        return log

    def _add(self, caller: str, log: deque[float], now: float) -> None:
        log.append(now)
        self._logs[caller] = log
        self._logs.move_to_end(caller)
        if len(self._logs) > MAX_CALLERS:
            self._logs.popitem(last=False)

    def _forget(self, now: float) -> None:
        while self._logs:
            caller, log = next(iter(self._logs.items()))
            if log[-1] > now - self._window:
                return
            del self._logs[caller]
