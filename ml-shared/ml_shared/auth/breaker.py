"""A circuit breaker: it stops asking who does not answer, and then tries with one call at a time."""

import time
from collections.abc import Callable
from enum import IntEnum


class BreakerState(IntEnum):
    """What a breaker does with calls; the numbers are those of the metric."""

    CLOSED = 0  # lets all through
    HALF_OPEN = 1  # a trial is under way
    OPEN = 2  # lets none through, or, once its time is up, a trial


class CircuitBreaker:
    """Closed until `failures` calls in a row have failed; then open; then half open, for one trial at a time.

    Parameters
    ----------
    failures
        Failures in a row that open it.
    open_seconds
        How long it stays open before a trial.
    clock
        Seconds that only ever grow.
    on_change
        Told of each new state.
    """

    def __init__(
        self,
        *,
        failures: int,
        open_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[BreakerState], None] | None = None,
    ) -> None:
        self._threshold = failures
        self._open_seconds = open_seconds
        self._clock = clock
        self._on_change = on_change
        self._failed_in_a_row = 0
        self._opened_until: float | None = None
        self._trial: Attempt | None = None

    @property
    def state(self) -> BreakerState:
        """What it does with calls at the moment."""
        if self._opened_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self._trial is None else BreakerState.HALF_OPEN

    @property
    def retry_after_seconds(self) -> float:
        """How long it will stay open; 0 when a call may be tried."""
        return 0.0 if self._opened_until is None else max(0.0, self._opened_until - self._clock())

    def begin(self) -> "Attempt | None":
        """Return the attempt that may be made now, whose `end` has to be called; `None` when none may."""
        attempt = Attempt(self)
        if self._opened_until is None:
            return attempt
        if self._trial is not None or self._clock() < self._opened_until:
            return None
        self._trial = attempt
        self._tell(BreakerState.OPEN)
        return attempt

    def _ended(self, attempt: "Attempt", succeeded: bool | None) -> None:
        former, trial = self.state, attempt is self._trial
        if trial:
            self._trial = None
        if succeeded:
            self._failed_in_a_row, self._opened_until = 0, None
        elif succeeded is False and (trial or self._opened_until is None):
            # failures of calls that were under way when it opened are the same outage, and prolong nothing
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= self._threshold:
                self._opened_until = self._clock() + self._open_seconds
        self._tell(former)

    def _tell(self, former: BreakerState) -> None:
        if self._on_change is not None and self.state is not former:
            self._on_change(self.state)


class Attempt:
    """A call that a breaker let through."""

    __slots__ = ("_breaker",)

    def __init__(self, breaker: CircuitBreaker) -> None:
        self._breaker = breaker

    def end(self, succeeded: bool | None) -> None:
        """Report how the call went; `None` when it ended without saying anything of the other side."""
        self._breaker._ended(self, succeeded)
