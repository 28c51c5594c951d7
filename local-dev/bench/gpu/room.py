"""Texts that wait for the encoder: how many may, how long one does, and which are computed together."""

import bisect
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bench.gpu.encoder import Vectors

MOST_WAITING: Final = 16_384
# texts: sixteen documents' calls four times over; whoever comes beyond is told to come again
LONGEST_WAIT_SECONDS: Final = 0.005
# for texts that would fill a batch, and only while the encoder has nothing else to do
BATCH_TOKENS: Final = 16_384
# padded: where a large model's speed no longer rises on a card of this kind is what `capacity` shows
BATCH_TEXTS: Final = 512


class RoomFullError(Exception):
    """As many texts wait as may."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A text, and who takes its vector."""

    tokens: Sequence[int]
    take: Callable[[Vectors | Exception], None]
    since: float = field(default_factory=time.perf_counter)
    gone: bool = False


class Room:
    """A bounded queue. `put` is called by any thread and never waits; `next_batch` by one.

    A batch has the text that waits longest, so none waits for ever, and those of nearest length around it.
    """

    def __init__(
        self,
        *,
        batch_tokens: int = BATCH_TOKENS,
        batch_texts: int = BATCH_TEXTS,
        most_waiting: int = MOST_WAITING,
        longest_wait_seconds: float = LONGEST_WAIT_SECONDS,
    ) -> None:
        self.batch_tokens, self.batch_texts = batch_tokens, batch_texts
        self._most, self._longest_wait = most_waiting, longest_wait_seconds
        self._by_length: list[Waiting] = []
        self._by_age: deque[Waiting] = deque()
        self._tokens = 0
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._by_length)

    def put(self, texts: Sequence[Waiting]) -> None:
        """Have texts wait, all of them or none.

        Raises
        ------
        RoomFullError
            If there would be too many, or the room is closed.
        """
        with self._changed:
            if self._closed or len(self._by_length) + len(texts) > self._most:
                raise RoomFullError
            self._by_length += texts
            self._by_length.sort(key=_length)  # of two sorted runs, which is what this sort is good at
            self._by_age += texts
            self._tokens += sum(map(_length, texts))
            self._changed.notify()

    def next_batch(self) -> list[Waiting]:
        """Return texts of like length as soon as they fill a batch or one has waited long enough; none once closed."""
        with self._changed:
            while not self._closed and not self._is_time():
                self._changed.wait(self._patience())
            return [] if self._closed else self._taken()

    def close(self) -> list[Waiting]:
        """Take no more texts and hand out none; return those that were waiting."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            left, self._by_length = self._by_length, []
            self._by_age.clear()
            return left

    def _is_time(self) -> bool:
        if not self._by_age:
            return False
        fills = self._tokens >= self.batch_tokens or len(self._by_length) >= self.batch_texts
        return fills or self._patience() == 0

    def _patience(self) -> float | None:
        if not self._by_age:
            return None
        return max(0.0, self._by_age[0].since + self._longest_wait - time.perf_counter())

    def _taken(self) -> list[Waiting]:
        oldest = self._by_age[0]
        low = bisect.bisect_left(self._by_length, len(oldest.tokens), key=_length)
        while self._by_length[low] is not oldest:
            low += 1
        low, high = self._widened(low)
        batch = self._by_length[low:high]
        del self._by_length[low:high]
        for text in batch:
            text.gone = True
            self._tokens -= len(text.tokens)
        while self._by_age and self._by_age[0].gone:
            self._by_age.popleft()
        return batch

    def _widened(self, start: int) -> tuple[int, int]:
        """Return the stretch around a text that one batch holds, always the neighbour of nearer length first."""
        texts, low, high, own = self._by_length, start, start + 1, len(self._by_length[start].tokens)
        while high - low < self.batch_texts:
            shorter = own - len(texts[low - 1].tokens) if low else None
            longer = len(texts[high].tokens) - own if high < len(texts) else None
            if shorter is not None and (longer is None or shorter <= longer):
                if len(texts[high - 1].tokens) * (high - low + 1) > self.batch_tokens:
                    break
                low -= 1
            elif longer is not None:
                if len(texts[high].tokens) * (high - low + 1) > self.batch_tokens:
                    break
                high += 1
            else:
                break
        return low, high


def _length(text: Waiting) -> int:
    return len(text.tokens)
