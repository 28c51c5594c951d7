"""What embedding leaves in the metrics."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg
import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import REGISTRY

from app.config import Settings
from app.core.endpoint import EmbeddingEndpoint, texts_cut
from app.core.errors import EndpointUnavailableError, InputTooLongError
from app.core.gauges import read_gauges
from app.core.logic import Order, execute_index
from app.core.metrics import (
    INDEXES,
    OUTCOMES,
    ROWS,
    STORE_BYTES,
    VECTORS_KEPT_SECONDS,
    VECTORS_SEGMENTS,
    VECTORS_TAIL,
)
from app.core.service import Embedding
from app.core.storage.models import STORED_VECTORS
from ml_shared.contracts.chunking import Chunk
from ml_shared.contracts.embedding import Document, SearchMode
from ml_shared.names import Operation
from ml_shared.testing.endpoint import DEFAULT_DIMENSIONS, EndpointMode, FakeEndpoint
from ml_shared.testing.servers import wait_until
from tests.documents import NOON, OWNER, add, chunks_of, index, settling_of


def value(name: str, **labels: str) -> float:
    """Return a sample's value; it has to be there, whatever has happened before."""
    found = REGISTRY.get_sample_value(name, labels)
    assert found is not None, f"{name}{labels} is not there"
    return found


class Growth:
    """How much samples have grown since this was made."""

    def __init__(self) -> None:
        self._before = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for metric in REGISTRY.collect()
            for sample in metric.samples
        }

    def __call__(self, name: str, **labels: str) -> float:
        return value(name, **labels) - self._before[name, *sorted(labels.items())]


@pytest.fixture
def growth() -> Growth:
    return Growth()


@pytest.fixture
async def client_of(endpoint: FakeEndpoint) -> AsyncIterator[EmbeddingEndpoint]:
    settings = Settings(EMBEDDING_API_BASE_URL=endpoint.base_url, EMBEDDING_BATCH_SIZE=4, EMBEDDING_CONCURRENCY=3)
    async with EmbeddingEndpoint.open(settings, requests_at_once=2) as opened:
        yield opened


@pytest.mark.parametrize("operation", Operation)
async def test_batches_texts_and_tokens_are_counted_once_on_their_path(
    client_of: EmbeddingEndpoint, growth: Growth, operation: Operation
) -> None:
    await client_of.embed([f"text number {n}" for n in range(9)], operation=operation)
    assert growth("ml_embedding_batches_total", operation=operation, outcome="success") == 3
    assert growth("ml_embedding_batch_texts_count", operation=operation) == 3
    assert growth("ml_embedding_batch_texts_sum", operation=operation) == 9
    assert growth("ml_embedding_batch_texts_bucket", operation=operation, le="4.0") == 3
    assert growth("ml_embedding_batch_texts_bucket", operation=operation, le="1.0") == 1
    assert growth("ml_embedding_texts_total", operation=operation) == 9
    assert growth("ml_embedding_tokens_total", operation=operation) == 27
    assert growth("ml_embedding_endpoint_seconds_count", operation=operation) == 3
    other = Operation.READ if operation is Operation.WRITE else Operation.WRITE
    assert growth("ml_embedding_batches_total", operation=other, outcome="success") == 0


async def test_a_batch_that_fails_is_counted_by_its_code_and_no_texts(
    client_of: EmbeddingEndpoint, endpoint: FakeEndpoint, growth: Growth
) -> None:
    endpoint.behave(EndpointMode.BROKEN)
    with pytest.raises(EndpointUnavailableError):
        await client_of.embed(["a"], operation=Operation.WRITE)
    assert growth("ml_embedding_batches_total", operation="write", outcome="endpoint_unavailable") == 1
    assert growth("ml_embedding_batches_total", operation="write", outcome="success") == 0
    assert growth("ml_embedding_texts_total", operation="write") == 0


async def test_the_window_shows_what_is_at_the_endpoint_and_what_may_be(
    client_of: EmbeddingEndpoint, endpoint: FakeEndpoint, growth: Growth
) -> None:
    assert growth("ml_embedding_in_flight_limit") == 0, "what the test's client may have was there before"
    endpoint.delay_seconds = 600
    endpoint.behave(EndpointMode.SLOW)
    work = asyncio.create_task(client_of.embed(["a"] * 100, operation=Operation.WRITE))
    assert await asyncio.to_thread(wait_until, lambda: growth("ml_embedding_in_flight") == 3, 60)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert growth("ml_embedding_in_flight") == 0
    assert growth("ml_embedding_batches_total", operation="write", outcome="cancelled") == 3


async def test_the_limit_is_there_as_long_as_the_client_is(endpoint: FakeEndpoint, growth: Growth) -> None:
    settings = Settings(EMBEDDING_API_BASE_URL=endpoint.base_url, EMBEDDING_CONCURRENCY=3)
    async with EmbeddingEndpoint.open(settings, requests_at_once=2):
        assert growth("ml_embedding_in_flight_limit") == 6
    assert growth("ml_embedding_in_flight_limit") == 0


@pytest.mark.parametrize(
    ("counted", "token_counts", "cut"),
    [
        (10, [4, 6], 0),
        (12, [4, 6], 0),
        (9, [4, 6], 1),
        (8, [4, 6], 1),
        (6, [4, 6], 2),
        (50, [10, 30, 10, 20], 2),
        (4, [1, 1, 1, 1, 1], 5),
        (0, [4, 6], 0),
        (5, [], 0),
    ],
)
def test_a_count_that_falls_short_tells_how_many_texts_were_cut(
    counted: int, token_counts: Sequence[int], cut: int
) -> None:
    assert texts_cut(counted, token_counts) == cut


async def test_texts_that_the_endpoint_cuts_in_silence_are_counted_and_reported(
    client_of: EmbeddingEndpoint, endpoint: FakeEndpoint, growth: Growth, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.behave(EndpointMode.TRUNCATING)
    endpoint.max_tokens = 3
    texts = ["one", "one two three", "one two three four", "1 2 3 4 5 6 7 8", "one two"]
    await client_of.embed(texts, operation=Operation.WRITE, token_counts=[len(text.split()) for text in texts])
    assert growth("ml_embedding_truncations_total") == 2
    [record] = [record for record in caplog.records if record.getMessage() == "embedding_endpoint_truncates"]
    assert (record.levelname, record.texts) == ("ERROR", 2)  # type: ignore[attr-defined]
    assert "1 2 3 4" not in str(record.__dict__)


async def test_texts_that_the_endpoint_says_it_cut_are_counted_though_nobody_knew_their_length(
    client_of: EmbeddingEndpoint, endpoint: FakeEndpoint, growth: Growth
) -> None:
    endpoint.behave(EndpointMode.TRUNCATING_OPENLY)
    endpoint.max_tokens = 3
    await client_of.embed(["one", "one two three four", "1 2 3 4 5"], operation=Operation.READ)
    assert growth("ml_embedding_truncations_total") == 2


async def test_an_error_that_says_that_a_text_was_cut_is_counted_and_a_refusal_is_not(
    client_of: EmbeddingEndpoint, endpoint: FakeEndpoint, growth: Growth
) -> None:
    endpoint.max_tokens = 1
    with pytest.raises(InputTooLongError):
        await client_of.embed(["one two"], operation=Operation.WRITE, token_counts=[2])
    assert growth("ml_embedding_truncations_total") == 0
    endpoint.refusal_text = "the input was truncated to 1 of 2"
    with pytest.raises(InputTooLongError):
        await client_of.embed(["one two"], operation=Operation.WRITE, token_counts=[2])
    assert growth("ml_embedding_truncations_total") == 1


async def test_a_documents_chunks_are_held_to_the_chunking_stages_count_and_not_to_a_callers(
    service: Embedding, endpoint: FakeEndpoint, growth: Growth
) -> None:
    endpoint.behave(EndpointMode.TRUNCATING)
    endpoint.max_tokens = 2
    await index(service, "a callers own four")
    assert growth("ml_embedding_truncations_total") == 0
    order = Order(OWNER, "docs", Document(url="https://example.com/other"), NOON, NOON)
    chunks = [Chunk(**chunk.model_dump()) for chunk in chunks_of("a jobs own four", "short")]
    await execute_index(service, order, chunks)
    assert growth("ml_embedding_truncations_total") == 1


async def test_an_endpoint_that_cuts_nothing_leaves_truncations_at_zero(service: Embedding, growth: Growth) -> None:
    order = Order(OWNER, "docs", Document(url="https://example.com/other"), NOON, NOON)
    await execute_index(service, order, [Chunk(**chunk.model_dump()) for chunk in chunks_of("one two", "three")])
    assert growth("ml_embedding_truncations_total") == 0


async def test_chunks_whose_vector_was_there_are_reuse_and_not_sent(
    service: Embedding, endpoint: FakeEndpoint, growth: Growth
) -> None:
    await index(service, "one", "two")
    assert growth("ml_embedding_reused_total") == 0
    await index(service, "one", "two", "three", "one")
    assert growth("ml_embedding_reused_total") == 3
    assert growth("ml_embedding_texts_total", operation="write") == 3
    assert growth("ml_vectors_write_seconds_count", operation="write") == 2


@pytest.mark.parametrize("mode", SearchMode)
async def test_a_search_is_timed_by_its_mode(client: httpx.AsyncClient, growth: Growth, mode: SearchMode) -> None:
    await add(client, "words")
    answer = await client.post("/search", json={"query": "words", "corpus_name": "docs", "mode": mode})
    assert answer.status_code == 200
    assert growth("ml_search_query_seconds_count", operation="read", mode=mode) == 1


MODELS = ("test-model", "counted-model")


async def scraped(client: httpx.AsyncClient) -> dict[str, float]:
    """Return what `/metrics` says of stored vectors, of these tests' models."""
    text = (await client.get("/metrics", headers={"X-API-Key": ""})).text
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("ml_vectors_") and "{model=" in line]
    return {name: float(number) for name, number in lines if any(model in name for model in MODELS)}


async def test_a_scrape_reads_how_many_vectors_of_each_model_are_stored_and_their_bytes(
    client: httpx.AsyncClient, database: str
) -> None:
    from app.main import app

    async with asyncpg.create_pool(database, min_size=1, max_size=1) as pool, pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO models (name, dimensions) VALUES ('counted-model', 100) ON CONFLICT DO NOTHING"
        )
        for number, (model, live) in enumerate([("counted-model", True), ("test-model", True), ("test-model", False)]):
            await connection.execute(
                "INSERT INTO corpora (owner, name, live, chunk_count, model_id) "
                "SELECT 'someone', $1, $2, $3, id FROM models WHERE name = $4",
                *(f"corpus-{number}", live, 40 + number, model),
            )
    await add(client, "one", "two")
    [source] = [source for source in app.state.readings._sources if source._kept_seconds == VECTORS_KEPT_SECONDS]
    assert VECTORS_KEPT_SECONDS >= 30
    found = await scraped(client)
    assert found == {
        'ml_vectors_stored{model="counted-model"}': 40,
        'ml_vectors_stored{model="test-model"}': 41 + 2,
        'ml_vectors_bytes{model="counted-model"}': 40 * (2 * 100 + 8),
        'ml_vectors_bytes{model="test-model"}': 43 * (2 * DEFAULT_DIMENSIONS + 8),
    } | {f'ml_vectors_{what}{{model="{model}"}}': 0 for what in ("tail", "segments") for model in MODELS}
    await client.delete("/corpora/docs")
    assert await scraped(client) == found, "kept for a while"
    source._until = 0.0
    assert (await scraped(client))['ml_vectors_stored{model="test-model"}'] == 41


async def test_a_scrape_reads_the_longest_tail_the_segments_and_the_tables_sizes(service: Embedding) -> None:
    service.settings.EXACT_SEARCH_MAX_ROWS = 2
    await index(service, *(f"text {number}" for number in range(5)))
    await index(service, "small", "too", owner="key:small")
    model = service.model.name
    found = await read_gauges(service)
    assert found[VECTORS_TAIL][model,] == 5
    await settling_of(service, more_than=2).look()
    await index(service, "later", url="https://example.com/later")
    found = await read_gauges(service)
    assert (found[VECTORS_TAIL][model,], found[VECTORS_SEGMENTS][model,]) == (1, 1)
    sizes = found[STORE_BYTES]
    assert {name for name, _ in sizes} == {"vectors", "chunks", "chunk_terms", "documents"}
    assert sizes["vectors", INDEXES] > 0
    assert sizes["vectors", ROWS] > 0


async def test_a_scrape_reads_stored_vectors_without_looking_at_chunks(service: Embedding) -> None:
    plan = "\n".join(row[0] for row in await service.pool.fetch(f"EXPLAIN {STORED_VECTORS}"))
    assert "corpora" in plan
    assert "chunks" not in plan


async def test_scrapes_and_probes_leave_no_spans(client: httpx.AsyncClient, spans: InMemorySpanExporter) -> None:
    for path in ("/metrics", "/health", "/health/live"):
        assert (await client.get(path)).status_code == 200
    assert [span.name for span in spans.get_finished_spans() if span.parent is None] == []


async def test_stored_vectors_that_cannot_be_read_are_left_out_and_the_rest_is_answered(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.storage.models.STORED_VECTORS", "SELECT pg_sleep(60)")
    text = (await client.get("/metrics")).text
    assert "ml_vectors_stored{" not in text
    assert "ml_embedding_truncations_total " in text


def test_every_series_is_there_before_anything_happens() -> None:
    assert {"endpoint_unavailable", "endpoint_rate_limited", "dimension_mismatch", "input_too_long"} <= set(OUTCOMES)
    for operation in Operation:
        for outcome in OUTCOMES:
            value("ml_embedding_batches_total", operation=operation, outcome=outcome)
        for name in ("texts_total", "tokens_total", "batch_texts_count", "endpoint_seconds_count"):
            value(f"ml_embedding_{name}", operation=operation)
    for name in ("reused_total", "truncations_total", "in_flight", "in_flight_limit"):
        value(f"ml_embedding_{name}")
