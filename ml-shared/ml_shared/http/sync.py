"""The limit on how long a sync route works."""

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from ml_shared.errors import DeadlineError

T = TypeVar("T")
GRACE_SECONDS: Final = 0.1
# what is done just as the deadline comes is as good as in time


async def within_deadline(awaitable: Awaitable[T], seconds: float, alternative: str) -> T:
    """Await something for at most so many seconds.

    Parameters
    ----------
    awaitable
        The work; it is cancelled at the deadline.
    seconds
        `SYNC_TIMEOUT_SECONDS`.
    alternative
        What to call for work that takes longer: `POST /enqueue`, `POST /jobs`, …

    Raises
    ------
    DeadlineError
        At the deadline (`504 sync_timeout`), naming the alternative. A `TimeoutError` of the work's own passes as it is.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    late = DeadlineError(
        f"this did not finish within {seconds:g} s; for work that takes longer use {alternative}", code="sync_timeout"
    )
    try:
        result = await asyncio.wait_for(awaitable, timeout=seconds)
    except TimeoutError as error:
        if loop.time() < deadline:
            raise
        raise late from error
    if loop.time() > deadline + GRACE_SECONDS:  # a cancellation can get lost in what is awaited, in Python 3.11
        raise late
    return result
