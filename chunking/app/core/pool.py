"""Threads for computations that would hold up the event loop, and no more of them than the machine can bear."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

from app.core.cancellation import Cancellation
from app.core.errors import BusyError

Result = TypeVar("Result")

RETRY_AFTER_SECONDS: Final = 2.0
# a text of a usual size takes milliseconds; a queue full of the largest ones clears in some seconds


class WorkPool:
    """Runs computations in threads; at most `waiting` of them, of at most `waiting_characters` in all, wait for one.

    The tokenizer lets go of Python's lock while it works, so threads do run side by side.
    """

    def __init__(self, workers: int, waiting: int, waiting_characters: int) -> None:
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="chunking")
        self._places = workers + waiting
        self._most_characters = waiting_characters
        self._lock = threading.Lock()
        self._taken = 0
        self._characters = 0

    async def run(self, work: Callable[[Cancellation], Result], characters: int) -> Result:
        """Run `work` in a thread and wait for it. When the waiting task is cancelled, so is the work.

        Raises
        ------
        BusyError
            If there is no room to wait.
        """
        self._enter(characters)
        cancellation = Cancellation()
        context = copy_context()
        try:
            future = self._executor.submit(context.run, work, cancellation)
        except BaseException:
            self._leave(characters)
            raise
        future.add_done_callback(lambda _: self._leave(characters))
        return await _result(future, cancellation)

    def close(self) -> None:
        """Take no more work; what waits is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _enter(self, characters: int) -> None:
        with self._lock:
            too_long = self._taken > 0 and self._characters + characters > self._most_characters
            if self._taken >= self._places or too_long:
                raise BusyError(
                    "as many texts as this service holds at once are waiting; try again in a moment",
                    retry_after_seconds=RETRY_AFTER_SECONDS,
                )
            self._taken += 1
            self._characters += characters

    def _leave(self, characters: int) -> None:
        with self._lock:
            self._taken -= 1
            self._characters -= characters


async def _result(future: Future[Result], cancellation: Cancellation) -> Result:
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        cancellation.cancel()
        raise
