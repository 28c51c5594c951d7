"""Threads for computations that would hold up the event loop, and no more in them than the machine can bear."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

from app.core.cancellation import Cancellation
from app.core.errors import BusyError, TooManyTextsError
from app.core.turns import Turns, Work

Result = TypeVar("Result")

RETRY_AFTER_SECONDS: Final = 2.0
# a text of a usual size takes milliseconds; a queue full of the largest ones clears in some seconds
PARTS: Final = 4
# a caller may have one of so many of the texts and of their characters; all callers together the whole less one, which
# is left to the orchestrator


class WorkPool:
    """Runs computations in threads, `workers` of them at a time; at most `waiting` more have begun or wait.

    Each has a thread of its own, most of which wait for their turn (`Turns`), so that a short text is not held up by long
    ones. The tokenizer lets go of Python's lock while it works, so threads do run side by side.
    """

    def __init__(self, workers: int, waiting: int, waiting_characters: int) -> None:
        self._most_texts = workers + waiting
        self._most_characters = waiting_characters
        self._executor = ThreadPoolExecutor(self._most_texts, thread_name_prefix="chunking")
        self._turns = Turns(workers)
        self._lock = threading.Lock()
        self._texts: Counter[str] = Counter()
        self._characters: Counter[str] = Counter()
        # by caller

    async def run(
        self, work: Callable[[Cancellation], Result], characters: int, *, caller: str = "", internal: bool = False
    ) -> Result:
        """Run `work` in a thread and wait for it. When the waiting task is cancelled, so is the work.

        Parameters
        ----------
        characters
            Of its text.
        internal
            Whether it is the orchestrator's.

        Raises
        ------
        TooManyTextsError
            If the caller has its share of texts, or of their characters.
        BusyError
            If there is no room for anybody.
        """
        self._enter(characters, caller, internal)
        turn = Work(self._turns, caller, internal, characters)
        context = copy_context()
        try:
            future = self._executor.submit(context.run, self._take_turns, work, turn)
        except BaseException:
            self._leave(characters, caller)
            raise
        future.add_done_callback(lambda _: self._leave(characters, caller))
        return await _result(future, turn)

    def close(self) -> None:
        """Take no more work; what waits is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _take_turns(self, work: Callable[[Cancellation], Result], turn: Work) -> Result:
        try:
            self._turns.take(turn)
            return work(turn)
        finally:
            self._turns.leave(turn)

    def _enter(self, characters: int, caller: str, internal: bool) -> None:
        share_of_texts, share_of_characters = self._most_texts / PARTS, self._most_characters / PARTS
        with self._lock:
            own, all_texts = self._texts[caller], self._texts.total()
            own_characters, all_characters = (
                self._characters[caller] + characters,
                self._characters.total() + characters,
            )
            # one text always gets in, however long
            if own and not internal and (own + 1 > share_of_texts or own_characters > share_of_characters):
                raise TooManyTextsError(
                    f"{own} of your texts are being cut or wait, of {own_characters} characters with this one; send fewer "
                    "at once",
                    retry_after_seconds=RETRY_AFTER_SECONDS,
                )
            kept = 0 if internal else 1
            full = (
                all_texts + 1 > self._most_texts - kept * share_of_texts
                or all_characters > self._most_characters - kept * share_of_characters
            )
            if all_texts and full:
                raise BusyError(
                    "as many texts as this service holds at once are being cut or wait; try again in a moment",
                    retry_after_seconds=RETRY_AFTER_SECONDS,
                )
            self._texts[caller] += 1
            self._characters[caller] += characters

    def _leave(self, characters: int, caller: str) -> None:
        with self._lock:
            self._texts[caller] -= 1
            self._characters[caller] -= characters
            if not self._texts[caller]:
                del self._texts[caller], self._characters[caller]


async def _result(future: Future[Result], cancellation: Cancellation) -> Result:
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        cancellation.cancel()
        raise
