"""Metrics of cutting texts; the request's own come from ml_shared. Chunking has no queue, so all of them are `sync`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import Counter, Histogram

from app.core.errors import BusyError, CharacterTooLongError, ModelLimitError, TooManyTextsError
from ml_shared.errors import InternalError
from ml_shared.names import Operation, RequestMode
from ml_shared.telemetry.spans import CANCELLED, failure_code

SUCCESS: Final = "success"
OTHER: Final = "other"
OUTCOMES: Final = (
    SUCCESS,
    CANCELLED,
    OTHER,
    *(error.code for error in (ModelLimitError, CharacterTooLongError, TooManyTextsError, BusyError, InternalError)),
)
"""What can become of a text."""

_LABELS: Final = ["request_mode", "operation"]
_MINE: Final = (RequestMode.SYNC, Operation.WRITE)

_texts = Counter(
    "ml_chunk_texts", "Texts that were to be cut, by what became of them.", ["outcome", "request_mode", "operation"]
)
TEXTS: Final = {outcome: _texts.labels(outcome, *_MINE) for outcome in OUTCOMES}
CHUNKS: Final = Counter("ml_chunk_chunks", "Chunks made.", _LABELS).labels(*_MINE)
TOKENS: Final = Counter(
    "ml_chunk_tokens", "Tokens of the chunks made, as the serving model counts them: overlaps count twice.", _LABELS
).labels(*_MINE)
SECONDS: Final = Histogram(
    "ml_chunk_duration_seconds",
    "Time to cut a text or to fail to, the wait for a thread included.",
    _LABELS,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15),
).labels(*_MINE)


@contextmanager
def counted() -> Iterator[None]:
    """Count a text by how it ended, and keep how long it took."""
    outcome = SUCCESS
    try:
        with SECONDS.time():
            yield
    except BaseException as error:
        outcome = failure_code(error)
        raise
    finally:
        TEXTS.get(outcome, TEXTS[OTHER]).inc()


def count_result(chunks: int, tokens: int) -> None:
    """Count what a text was cut into."""
    CHUNKS.inc(chunks)
    TOKENS.inc(tokens)
