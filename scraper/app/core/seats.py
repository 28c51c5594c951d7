"""How many pages one process reads at once for callers who wait, and how many of them for the same one.

A page may take ten megabytes and half a minute. Without a bound, one caller with slow pages of their own making fills
the process's memory, its name look-ups and its extraction, and everybody else's requests time out behind them.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ml_shared.errors import RateLimitedError

RETRY_AFTER_SECONDS: Final = 5.0


class SeatsTakenError(RateLimitedError):
    """As many pages as may be are being read already."""

    code = "too_many_scrapes"


class Seats:
    """The pages that are being read at the moment.

    Parameters
    ----------
    total
        Most at once.
    per_caller
        Most of them for one caller.
    """

    def __init__(self, total: int, *, per_caller: int) -> None:
        self._total = total
        self._per_caller = per_caller
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, caller: str) -> Iterator[None]:
        """Hold a seat within the block.

        Raises
        ------
        SeatsTakenError
            If none is left for this caller, or for anybody.
        """
        if self._taken[caller] >= self._per_caller or self._taken.total() >= self._total:
            raise SeatsTakenError(
                f"{self._taken[caller]} of your pages are being read now, and {self._taken.total()} in all; read fewer "
                "at once, or use POST /enqueue",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        self._taken[caller] += 1
        try:
            yield
        finally:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]
