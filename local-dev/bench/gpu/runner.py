"""Runs an encoder on two threads: one puts batches together and starts them, the other waits for their vectors."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

from bench.gpu.encoder import Encoder, Vectors
from bench.gpu.room import Room, Waiting

logger = logging.getLogger(__name__)

BEGUN_AHEAD: Final = 1
# batches that are started while one is computed: a card has its next one, and what comes later can still be put together


@dataclass(frozen=True, slots=True)
class Done:
    """What was computed since the start."""

    batches: int = 0
    texts: int = 0
    tokens: int = 0
    padded_tokens: int = 0
    until: float = 0.0
    """When the last of it was done, in seconds of a clock of its own: between two such times there is no part of a batch."""

    def as_json(self) -> dict[str, float]:
        """Return the counts."""
        return asdict(self)


class Runner:
    """The encoder's two threads, within the block. Texts of a batch that failed get its error; so do those left at the end."""

    def __init__(self, encoder: Encoder, room: Room) -> None:
        self._encoder, self._room = encoder, room
        self._begun: queue.Queue[tuple[list[Waiting], Callable[[], Vectors]] | None] = queue.Queue(BEGUN_AHEAD)
        self._threads = [
            threading.Thread(target=target, name=name)
            for target, name in ((self._start, "batches"), (self._finish, "vectors"))
        ]
        self.done = Done()

    def __enter__(self) -> "Runner":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        _fail(self._room.close(), RuntimeError("the server ends"))
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        while batch := self._room.next_batch():
            try:
                self._begun.put((batch, self._encoder.begin([text.tokens for text in batch])))
            except Exception as error:  # noqa: BLE001  whatever it is, nobody waits for these vectors for ever
                _fail(batch, error)
        self._begun.put(None)

    def _finish(self) -> None:
        while (begun := self._begun.get()) is not None:
            batch, wait = begun
            try:
                vectors = wait()
            except Exception as error:  # noqa: BLE001  whatever it is, nobody waits for these vectors for ever
                _fail(batch, error)
                continue
            self._count(batch)
            for text, vector in zip(batch, vectors, strict=True):
                text.take(vector)

    def _count(self, batch: list[Waiting]) -> None:
        lengths, done = [len(text.tokens) for text in batch], self.done
        # replaced at once: who asks meanwhile, from another thread, gets no part of a batch
        self.done = Done(
            batches=done.batches + 1,
            texts=done.texts + len(lengths),
            tokens=done.tokens + sum(lengths),
            padded_tokens=done.padded_tokens + max(lengths) * len(lengths),
            until=time.perf_counter(),
        )


def _fail(batch: list[Waiting], error: Exception) -> None:
    if batch:
        logger.error("%d texts got no vectors: %s", len(batch), error)
    for text in batch:
        text.take(error)
