"""How a thread learns that nobody waits for its result any more."""

import threading


class AbandonedError(Exception):
    """The computation was stopped, since nobody waits for it."""


class Cancellation:
    """A flag that long loops look at between their steps. A thread can't be stopped from outside."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the computation to stop at its next step."""
        self._event.set()

    def check(self) -> None:
        """Raise `AbandonedError` if the computation is to stop."""
        if self._event.is_set():
            raise AbandonedError
