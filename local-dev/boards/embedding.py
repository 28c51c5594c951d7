"""Embedding and GPU endpoint: the window in flight, batches, reuse, writing and searching."""

from boards.model import Board, Panel, Query, Row
from boards.queries import latest, quantiles, rate, total

BOARD = Board(
    "ml-embedding",
    "Embedding and GPU endpoint",
    [
        Row(
            "The endpoint",
            [
                Panel(
                    "Batch latency, retries included",
                    quantiles("ml_embedding_endpoint_seconds", "operation"),
                    "s",
                    width=6,
                ),
                Panel(
                    "Batches, by outcome", [rate("ml_embedding_batches_total", "operation", "outcome")], "ops", width=6
                ),
                Panel("Texts in a batch", quantiles("ml_embedding_batch_texts", "operation"), width=6),
                Panel(
                    "In flight, and the limit",
                    [total("ml_embedding_in_flight"), total("ml_embedding_in_flight_limit")],
                    about="At the limit batches wait for their turn.",
                    width=6,
                ),
                Panel("Texts", [rate("ml_embedding_texts_total", "operation")], "ops", width=6),
                Panel("Tokens", [rate("ml_embedding_tokens_total", "operation")], "ops", width=6),
                Panel(
                    "Reused vectors",
                    [rate("ml_embedding_reused_total")],
                    "ops",
                    "Chunks that the corpus had a vector of: they cost the GPU nothing.",
                    width=6,
                ),
                Panel(
                    "Touches and removals, by what was found",
                    [
                        rate("ml_embedding_touches_total", "outcome"),
                        rate("ml_embedding_removals_total", "outcome"),
                    ],
                    "ops",
                    "`absent` and `differs` of a touch: the page has to be fetched again.",
                    width=6,
                ),
                Panel(
                    "Truncated texts",
                    [total("ml_embedding_truncations_total")],
                    about="Texts that the model cut. Always 0, or the corpus has vectors of half passages.",
                    kind="stat",
                    width=6,
                    red_above=0.5,
                ),
            ],
        ),
        Row(
            "Corpora",
            [
                Panel("Search", quantiles("ml_search_query_seconds", "mode"), "s", width=6),
                Panel("Searches", [rate("ml_search_query_seconds_count", "mode")], "ops", width=6),
                Panel("Waiting for the reranker", quantiles("ml_search_rerank_seconds", "operation"), "s", width=6),
                Panel("Reranks, by outcome", [rate("ml_search_reranks_total", "operation", "outcome")], "ops", width=6),
                Panel("Writing a document", quantiles("ml_vectors_write_seconds", "operation"), "s", width=6),
                Panel("Vectors", [latest("ml_vectors_stored", "model")], width=6),
                Panel("Size of the vectors", [latest("ml_vectors_bytes", "model")], "bytes", width=6),
                Panel(
                    "Vectors without an index",
                    [latest("ml_vectors_tail", "model")],
                    about="Of the large owner that has most: its searches compare them one by one.",
                    width=6,
                ),
                Panel("Vector indexes", [latest("ml_vectors_segments", "model")], width=6),
                Panel("Vectors built into an index", [rate("ml_vectors_settled_total")], "ops", width=6),
                Panel("Building one", quantiles("ml_vectors_settle_seconds"), "s", width=6),
                Panel("Tables and their indexes", [latest("ml_store_bytes", "relation", "part")], "bytes", width=6),
            ],
        ),
        Row(
            "Logs",
            [
                Panel(
                    "The endpoint's failures",
                    [Query('{service="embedding", level=~"WARNING|ERROR"} | json')],
                    kind="logs",
                    width=24,
                    height=10,
                )
            ],
        ),
    ],
)
