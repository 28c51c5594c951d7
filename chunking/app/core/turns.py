"""Whose text is cut next: turns of a few milliseconds, shared out among the orchestrator and callers, then among texts.

A thread that has its turn gives it up at a check (`Cancellation.check`) when somebody waits who had less. So a text of five
megabytes needs no thread to itself until it is done, and a short one waits for a step of it and not for all of it.
"""

import threading
import time
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from app.core.cancellation import AbandonedError, Cancellation

TURN_SECONDS: Final = 0.005
# what a turn is at least, when it goes on from one caller to another; a step of the tokenizer takes about as long
AGEING_CHARACTERS_PER_SECOND: Final = 1_000_000
# Among one caller's texts the shortest comes first, but each second that one waits makes it so much shorter: a text of
# five megabytes is as good as one of no length after five seconds


@dataclass(eq=False)
class Work(Cancellation):
    """One text that is cut, or waits for its turn."""

    turns: "Turns"
    caller: str
    internal: bool
    characters: int
    arrived: float = field(default_factory=time.monotonic)
    granted: threading.Event = field(default_factory=threading.Event)
    since: float = 0.0

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def cores(self) -> int:
        """Those that nobody else uses, and its own."""
        return self.turns.free + 1

    def cancel(self) -> None:
        """Ask it to stop, also while it waits for its turn."""
        super().cancel()
        self.granted.set()

    def check(self) -> None:
        """Raise `AbandonedError` if it is to stop; wait if it is another's turn."""
        super().check()
        self.turns.pass_on(self)


class Turns:
    """At most so many threads compute at once; the others wait for their turn.

    Half of the turns are the orchestrator's if it wants them, and half the callers'; in each half those who have the
    fewest turns come first, and among equals who had none for the longest time.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._lock = threading.Lock()
        self._running: set[Work] = set()
        self._waiting: set[Work] = set()
        self._numbers = count()
        self._served: dict[bool | str, int] = {}
        # when each half, and each caller, last got a turn

    @property
    def free(self) -> int:
        """Turns that nobody has."""
        return self._at_once - len(self._running)

    def take(self, work: Work) -> None:
        """Wait for a turn.

        Raises
        ------
        AbandonedError
            If the work was cancelled meanwhile.
        """
        with self._lock:
            self._waiting.add(work)
            self._grant()
        self._wait(work)

    def pass_on(self, work: Work) -> None:
        """Let others go on who had less, and wait for the next turn."""
        if not self._waiting or time.monotonic() - work.since < TURN_SECONDS:
            return
        with self._lock:
            self._running.discard(work)
            best = min(self._waiting, key=self._rank, default=work)
            if self._rank(work) <= self._rank(best):
                self._running.add(work)
                return
            work.granted.clear()
            if work.cancelled:
                work.granted.set()
            self._waiting.add(work)
            self._grant()
        self._wait(work)

    def leave(self, work: Work) -> None:
        """Give the turn up for good, or the wait for one."""
        with self._lock:
            self._running.discard(work)
            self._waiting.discard(work)
            if not any(other.caller == work.caller for other in (*self._running, *self._waiting)):
                self._served.pop(work.caller, None)
            self._grant()

    def _wait(self, work: Work) -> None:
        work.granted.wait()
        if work.cancelled:
            raise AbandonedError

    def _grant(self) -> None:
        while self._waiting and len(self._running) < self._at_once:
            work = min(self._waiting, key=self._rank)
            self._waiting.discard(work)
            self._running.add(work)
            self._served[work.internal] = self._served[work.caller] = next(self._numbers)
            work.since = time.monotonic()
            work.granted.set()

    def _rank(self, work: Work) -> tuple[float, ...]:
        of_half = sum(other.internal is work.internal for other in self._running)
        of_caller = sum(other.caller == work.caller for other in self._running)
        aged = work.characters + work.arrived * AGEING_CHARACTERS_PER_SECOND
        return (
            of_half,
            self._served.get(work.internal, -1),
            of_caller,
            self._served.get(work.caller, -1),
            aged,
            work.arrived,
        )
