"""A bound on how long something is waited for, which also holds for what does not end when it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")

_given_up: set[asyncio.Task[Any]] = set()
# the loop itself holds tasks weakly


async def within(seconds: float, work: Coroutine[Any, Any, _T]) -> _T:
    """Return what some work returns, or give it up: after so many seconds it is cancelled, and not waited for.

    `asyncio.timeout` waits until what it cancelled has ended. With asyncpg that is as long as its server hangs: it asks
    the server, over a connection of its own, to give up too, and waits for that.

    Raises
    ------
    TimeoutError
        If it took longer.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if done:
        return task.result()
    task.cancel()
    _given_up.add(task)
    task.add_done_callback(_forget)
    raise TimeoutError


def _forget(task: asyncio.Task[Any]) -> None:
    _given_up.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, or asyncio would complain of it
