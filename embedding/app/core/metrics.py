"""Metrics of our own domain; the request's and the task's come from ml_shared."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from app.core.errors import (
    DimensionMismatchError,
    EndpointAnswerError,
    EndpointRateLimitedError,
    EndpointUnavailableError,
    InputTooLongError,
    InvalidVectorError,
)
from app.core.found import Found
from ml_shared.contracts.embedding import SearchMode
from ml_shared.errors import InternalError
from ml_shared.names import Operation
from ml_shared.telemetry.metrics import multiprocess_folder
from ml_shared.telemetry.readings import Reading
from ml_shared.telemetry.spans import CANCELLED, failure_code

SUCCESS: Final = "success"
OTHER: Final = "other"
FAILED: Final = "failed"
OUTCOMES: Final = (
    SUCCESS,
    CANCELLED,
    OTHER,
    *(
        error.code
        for error in (
            *(EndpointRateLimitedError, EndpointUnavailableError, EndpointAnswerError),
            *(InputTooLongError, DimensionMismatchError, InvalidVectorError, InternalError),
        )
    ),
)
"""What can become of a batch."""

multiprocess_folder()  # a metric opens a file there as it is defined: also in a worker's main process
_SECONDS_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_endpoint_seconds = Histogram(
    "ml_embedding_endpoint_seconds",
    "Time of one batch at the embedding endpoint, retries included.",
    ["operation"],
    buckets=_SECONDS_BUCKETS,
)
_texts = Counter("ml_embedding_texts", "Texts that the embedding endpoint turned into vectors.", ["operation"])
_tokens = Counter("ml_embedding_tokens", "Tokens that the embedding endpoint counted.", ["operation"])
_batches = Counter(
    "ml_embedding_batches", "Batches for the embedding endpoint, by what became of them.", ["operation", "outcome"]
)
_batch_texts = Histogram(
    "ml_embedding_batch_texts",
    "Texts in one batch for the embedding endpoint.",
    ["operation"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
_write_seconds = Histogram(
    "ml_vectors_write_seconds", "Time of one document's replace transaction.", ["operation"], buckets=_SECONDS_BUCKETS
)
_search_seconds = Histogram(
    "ml_search_query_seconds", "Time of one search in the database.", ["operation", "mode"], buckets=_SECONDS_BUCKETS
)

_reranks = Counter(
    "ml_search_reranks", "Searches that asked the reranker, by what became of that.", ["operation", "outcome"]
)
_rerank_seconds = Histogram(
    "ml_search_rerank_seconds", "Time of one search's wait for the reranker.", ["operation"], buckets=_SECONDS_BUCKETS
)

_touches = Counter(
    "ml_embedding_touches", "Unchanged pages, by what their document was found to be.", ["operation", "outcome"]
)
_removals = Counter(
    "ml_embedding_removals", "Documents to be removed, by what they were found to be.", ["operation", "outcome"]
)

# what has not happened yet is 0, and no gap
ENDPOINT_SECONDS: Final = {operation: _endpoint_seconds.labels(operation) for operation in Operation}
ENDPOINT_TEXTS: Final = {operation: _texts.labels(operation) for operation in Operation}
ENDPOINT_TOKENS: Final = {operation: _tokens.labels(operation) for operation in Operation}
BATCH_TEXTS: Final = {operation: _batch_texts.labels(operation) for operation in Operation}
BATCHES: Final = {
    (operation, outcome): _batches.labels(operation, outcome) for operation in Operation for outcome in OUTCOMES
}
WRITE_SECONDS: Final = _write_seconds.labels(Operation.WRITE)
SEARCH_SECONDS: Final = {mode: _search_seconds.labels(Operation.READ, mode) for mode in SearchMode}
RERANK_SECONDS: Final = _rerank_seconds.labels(Operation.READ)
RERANKS: Final = {outcome: _reranks.labels(Operation.READ, outcome) for outcome in (SUCCESS, FAILED)}
TOUCHES: Final = {found: _touches.labels(Operation.WRITE, found) for found in Found}
REMOVALS: Final[dict[Found, Counter]] = {
    found: _removals.labels(Operation.WRITE, found) for found in Found if found is not Found.DIFFERS
}
REUSED: Final = Counter(
    "ml_embedding_reused", "Chunks that were not sent to the endpoint, since their vector was there."
)
TRUNCATIONS: Final = Counter(
    "ml_embedding_truncations",
    "Texts that the endpoint said it cut, or of which it counted fewer tokens than they have.",
)
IN_FLIGHT: Final = Gauge(
    "ml_embedding_in_flight",
    "Batches that are at the endpoint.",
    multiprocess_mode="livesum",
)
IN_FLIGHT_LIMIT: Final = Gauge(
    "ml_embedding_in_flight_limit", "Batches that may be at the endpoint at once.", multiprocess_mode="livesum"
)

SETTLED_ROWS: Final = Counter("ml_vectors_settled", "Vectors that a vector index was built with, by this process.")
SETTLE_SECONDS: Final = Histogram(
    "ml_vectors_settle_seconds",
    "Time of building one vector index.",
    buckets=(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0),
)

VECTORS_STORED: Final = Reading("ml_vectors_stored", "Vectors stored, by the model that made them.", ("model",))
VECTORS_BYTES: Final = Reading("ml_vectors_bytes", "Bytes of the vectors stored, without their index.", ("model",))
VECTORS_TAIL: Final = Reading(
    "ml_vectors_tail", "Vectors of a large owner that no index has yet: of the owner with most.", ("model",)
)
VECTORS_SEGMENTS: Final = Reading("ml_vectors_segments", "Vector indexes of large owners.", ("model",))
ROWS: Final = "rows"
INDEXES: Final = "indexes"
STORE_BYTES: Final = Reading("ml_store_bytes", "Bytes of the large tables and their indexes.", ("relation", "part"))
VECTORS_KEPT_SECONDS: Final = 60.0
# a row a corpus is read for them


@contextmanager
def batch_counted(operation: Operation, texts: int) -> Iterator[None]:
    """Count one batch by how it ended, how large it was, and how long it took."""
    BATCH_TEXTS[operation].observe(texts)
    outcome = SUCCESS
    try:
        with ENDPOINT_SECONDS[operation].time():
            yield
    except BaseException as error:
        outcome = failure_code(error)
        raise
    finally:
        BATCHES[operation, outcome if outcome in OUTCOMES else OTHER].inc()
