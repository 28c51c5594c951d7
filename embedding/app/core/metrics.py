"""Metrics of our own domain; the request's and the task's come from ml_shared."""

from prometheus_client import Counter, Histogram

_SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

ENDPOINT_SECONDS = Histogram(
    "ml_embedding_endpoint_seconds",
    "Time of one batch at the embedding endpoint, retries included",
    ["operation"],
    buckets=_SECONDS_BUCKETS,
)
ENDPOINT_TEXTS = Counter("ml_embedding_texts", "Texts that the embedding endpoint turned into vectors", ["operation"])
WRITE_SECONDS = Histogram(
    "ml_vectors_write_seconds", "Time of one document's replace transaction", ["operation"], buckets=_SECONDS_BUCKETS
)
SEARCH_SECONDS = Histogram(
    "ml_search_query_seconds", "Time of one search in the database", ["operation", "mode"], buckets=_SECONDS_BUCKETS
)
