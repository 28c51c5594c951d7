"""Where a computation looks up: whether anybody still waits for its result, and whether it is another's turn."""

import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class AbandonedError(Exception):
    """The computation was stopped, since nobody waits for it."""


class Cancellation:
    """What long loops look at between their steps. A thread can't be stopped from outside.

    A step takes some ten milliseconds at most, so that a computation stops, and makes way, within a tenth of a second.
    """

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether the computation is to stop."""
        return self._event.is_set()

    @property
    def cores(self) -> int:
        """How many cores the computation may use now."""
        return 1

    def cancel(self) -> None:
        """Ask the computation to stop at its next step."""
        self._event.set()

    def check(self) -> None:
        """Raise `AbandonedError` if the computation is to stop; wait here if others are to go on first."""
        if self._event.is_set():
            raise AbandonedError

    def through(self, items: Iterable[Item], *, every: int) -> Iterator[Item]:
        """Yield the items, and check between so many of them."""
        left = every
        for item in items:
            left -= 1
            if not left:
                left = every
                self.check()
            yield item
