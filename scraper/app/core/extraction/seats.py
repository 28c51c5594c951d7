"""How many pages one process reads at once for callers who wait, and how many of them for the same one.

A page may take ten megabytes and half a minute. Without a bound, one caller with slow pages of their own making fills
the process's memory, its name look-ups and its extraction, and everybody else's requests time out behind them.
"""

from typing import Final

from ml_shared.errors import RateLimitedError
from ml_shared.shares import Places

RETRY_AFTER_SECONDS: Final = 5.0
PLACES: Final = "pages being read"


class SeatsTakenError(RateLimitedError):
    """As many pages as may be are being read already."""

    code = "too_many_scrapes"


class Seats(Places):
    """The pages that are being read at the moment. Nobody waits for a seat: there is none, or there is.

    Hand-outs of the orchestrator's need none: they come through the queue, to processes of their own.

    Parameters
    ----------
    total
        Most at once.
    per_caller
        Most of them for one caller.
    """

    def __init__(self, total: int, *, per_caller: int) -> None:
        super().__init__(
            PLACES,
            total,
            share=per_caller,
            waiting=0,
            refusal=SeatsTakenError,
            retry_after_seconds=RETRY_AFTER_SECONDS,
            instead="read fewer at once, or use POST /enqueue",
        )
