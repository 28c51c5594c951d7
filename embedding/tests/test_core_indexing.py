"""Replacing documents: by difference, in order, once."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.api.schemas import DocumentView
from app.config import Settings
from app.core.errors import InputTooLongError, ModelNotPreparedError, StoreUnavailableError
from app.core.logic import Order, execute_index
from app.core.service import Embedding, open_embedding
from app.core.storage.corpora import delete_corpus, delete_document, get_corpora, list_documents
from app.core.storage.pool import MIGRATIONS
from ml_shared.contracts.embedding import ChunkIn, Document
from ml_shared.storage.migrations import StaleSchemaError, migrate
from ml_shared.testing.endpoint import FakeEndpoint
from ml_shared.testing.servers import free_port
from tests.documents import NOON, OWNER, at, chunks_of, index, stored_texts


async def test_a_document_is_kept_with_its_chunks_and_counts(service: Embedding) -> None:
    result = await index(service, "first words", "second words here", title="T", metadata={"a": 1})
    assert (result.chunks, result.tokens, result.embedded, result.reused) == (2, 5, 2, 0)
    assert not result.superseded
    assert result.model == service.model.name
    assert await stored_texts(service) == ["first words", "second words here"]
    [corpus] = await get_corpora(service.pool, OWNER, ["docs"])
    assert (corpus["documents"], corpus["chunks"], corpus["tokens"]) == (1, 2, 5)


async def test_a_second_run_sends_nothing_to_the_endpoint(service: Embedding, endpoint: FakeEndpoint) -> None:
    first = await index(service, "one", "two", "three")
    rows = await service.pool.fetch("SELECT id, xmin::text FROM chunks ORDER BY id")
    endpoint.inputs.clear()
    second = await index(service, "one", "two", "three", as_of=at(1))
    assert endpoint.texts == []
    assert (second.document_id, second.embedded, second.reused) == (first.document_id, 0, 3)
    assert await service.pool.fetch("SELECT id, xmin::text FROM chunks ORDER BY id") == rows


async def test_a_changed_document_sends_only_its_changed_chunks(service: Embedding, endpoint: FakeEndpoint) -> None:
    await index(service, "one", "two", "three")
    kept = {row["id"] for row in await service.pool.fetch("SELECT id FROM chunks WHERE text <> 'two'")}
    endpoint.inputs.clear()
    result = await index(service, "zero", "one", "TWO", "three", as_of=at(1))
    assert sorted(endpoint.texts) == ["TWO", "zero"]
    assert (result.chunks, result.embedded, result.reused) == (4, 2, 2)
    assert await stored_texts(service) == ["zero", "one", "TWO", "three"]
    assert kept <= {row["id"] for row in await service.pool.fetch("SELECT id FROM chunks")}
    [corpus] = await get_corpora(service.pool, OWNER, ["docs"])
    assert (corpus["documents"], corpus["chunks"], corpus["tokens"]) == (1, 4, 4)


async def test_moved_chunks_take_their_new_offsets_and_headings(service: Embedding) -> None:
    await index(service, "one", "two")
    moved = [
        ChunkIn(index=0, text="two", start=0, end=3, token_count=1, heading_path=["A", "B 'q' \"d\""]),
        ChunkIn(index=1, text="one", start=5, end=8, token_count=1),
    ]
    await execute_index(service, Order(OWNER, "docs", Document(url="https://example.com/page"), at(1), at(1)), moved)
    rows = await service.pool.fetch(
        "SELECT chunk_index, text, start_offset, end_offset, heading_path FROM chunks ORDER BY chunk_index"
    )
    assert [tuple(row) for row in rows] == [(0, "two", 0, 3, ["A", "B 'q' \"d\""]), (1, "one", 5, 8, [])]


async def test_a_text_that_stands_twice_is_sent_once_and_kept_twice(service: Embedding, endpoint: FakeEndpoint) -> None:
    result = await index(service, "same", "other", "same")
    assert sorted(endpoint.texts) == ["other", "same"]
    assert (result.chunks, result.embedded, result.reused) == (3, 2, 0)
    assert await stored_texts(service) == ["same", "other", "same"]
    await index(service, "same", as_of=at(1))
    assert await stored_texts(service) == ["same"]


async def test_another_document_of_the_corpus_lends_its_vectors_and_another_owner_does_not(
    service: Embedding, endpoint: FakeEndpoint
) -> None:
    await index(service, "footer", "page one")
    endpoint.inputs.clear()
    result = await index(service, "footer", "page two", url="https://example.com/two")
    assert endpoint.texts == ["page two"]
    assert (result.embedded, result.reused) == (1, 1)
    endpoint.inputs.clear()
    await index(service, "footer", url="https://example.com/three", owner="key:another")
    assert endpoint.texts == ["footer"]


async def test_an_older_version_writes_nothing(service: Embedding) -> None:
    await index(service, "newer", as_of=at(5), title="new")
    result = await index(service, "older", as_of=at(4), title="old")
    assert result.superseded
    assert result.document_id is None
    assert await stored_texts(service) == ["newer"]
    assert await service.pool.fetchval("SELECT title FROM documents") == "new"


async def test_the_same_version_twice_is_written_twice_with_one_effect(service: Embedding) -> None:
    await index(service, "words")
    result = await index(service, "words")
    assert not result.superseded
    assert await stored_texts(service) == ["words"]


@pytest.mark.parametrize("round_", range(5))
async def test_concurrent_replaces_leave_one_version_the_newest(service: Embedding, round_: int) -> None:
    versions = list(range(8))
    versions = versions[round_:] + versions[:round_]
    results = await asyncio.gather(
        *(index(service, *(f"version {v} part {p}" for p in range(v + 1)), as_of=at(v)) for v in versions)
    )
    assert await stored_texts(service) == [f"version 7 part {part}" for part in range(8)]
    assert not results[versions.index(7)].superseded
    assert await service.pool.fetchval("SELECT count(*) FROM documents") == 1
    [corpus] = await get_corpora(service.pool, OWNER, ["docs"])
    assert (corpus["documents"], corpus["chunks"], corpus["tokens"]) == (1, 8, 32)


async def test_concurrent_first_documents_of_a_corpus_are_all_counted(service: Embedding) -> None:
    await asyncio.gather(*(index(service, f"text {n}", url=f"https://example.com/{n}") for n in range(12)))
    [corpus] = await get_corpora(service.pool, OWNER, ["docs"])
    assert (corpus["documents"], corpus["chunks"]) == (12, 12)


async def test_urls_that_differ_in_form_only_are_one_document(service: Embedding) -> None:
    await index(service, "one", url="HTTPS://Example.com:443/page#part")
    await index(service, "two", url="https://example.com/page", as_of=at(1))
    assert await stored_texts(service) == ["two"]


async def test_what_a_deleted_documents_job_brings_later_is_not_written(service: Embedding) -> None:
    result = await index(service, "words")
    assert result.document_id is not None
    await delete_document(service.pool, OWNER, "docs", result.document_id)
    [corpus] = await get_corpora(service.pool, OWNER, ["docs"])
    assert (corpus["documents"], corpus["chunks"], corpus["tokens"]) == (0, 0, 0)
    late = await index(service, "words", as_of=datetime.now(UTC), submitted_at=NOON)
    assert late.superseded
    assert await stored_texts(service) == []
    again = await index(service, "words", as_of=datetime.now(UTC))
    assert (again.document_id, again.superseded) == (result.document_id, False)
    [corpus] = await get_corpora(service.pool, OWNER, ["docs"])
    assert (corpus["documents"], corpus["chunks"], corpus["tokens"]) == (1, 1, 1)


async def test_what_a_deleted_corpus_job_brings_later_is_not_written(service: Embedding) -> None:
    await index(service, "words")
    await delete_corpus(service.pool, OWNER, "docs")
    assert (await index(service, "words", as_of=datetime.now(UTC), submitted_at=NOON)).superseded
    new = await index(service, "new", as_of=datetime.now(UTC), url="https://example.com/new")
    assert not new.superseded
    [corpus] = await get_corpora(service.pool, OWNER, ["docs"])
    assert (corpus["documents"], corpus["chunks"]) == (1, 1)


async def _waits_for_a_lock(service: Embedding, write: "asyncio.Task[Any]") -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(60):
        while not await service.pool.fetchval(waiting):
            assert not write.done()
            await asyncio.sleep(0.01)


async def test_a_write_that_waited_for_a_deletion_does_not_bring_the_corpus_back(service: Embedding) -> None:
    await index(service, "words")
    async with service.pool.acquire() as deleting, deleting.transaction():
        await deleting.execute("SELECT 1 FROM corpora FOR UPDATE")
        write = asyncio.create_task(index(service, "late", url="https://example.com/late"))
        await _waits_for_a_lock(service, write)
        await deleting.execute("DELETE FROM documents")
        await deleting.execute("UPDATE corpora SET live = false, deleted_at = clock_timestamp()")
    assert (await write).superseded
    assert await service.pool.fetchval("SELECT count(*) FROM documents") == 0


async def test_a_chunk_with_more_tokens_than_the_model_takes_is_refused_before_anything_is_sent(
    service: Embedding, endpoint: FakeEndpoint
) -> None:
    chunks = [ChunkIn(index=3, text="long", token_count=513)]
    order = Order(OWNER, "docs", Document(url="https://example.com/"), NOON, NOON)
    with pytest.raises(InputTooLongError, match="chunk 3 has 513 tokens"):
        await execute_index(service, order, chunks)
    assert endpoint.bodies == []


async def test_what_stops_before_the_write_leaves_nothing_written(service: Embedding) -> None:
    async def stop() -> None:
        raise LookupError("cancelled")

    order = Order(OWNER, "docs", Document(url="https://example.com/"), NOON, NOON)
    with pytest.raises(LookupError):
        await execute_index(service, order, chunks_of("words"), before_write=stop)
    assert await service.pool.fetchval("SELECT count(*) FROM documents") == 0


async def test_characters_that_postgresql_refuses_are_replaced_and_offsets_hold(service: Embedding) -> None:
    chunk = ChunkIn(index=0, text="a\0b", heading_path=["h\0", "half \ud83d"])
    order = Order(OWNER, "docs", Document(url="https://example.com/page", title="t\0", author="\udc00"), NOON, NOON)
    await execute_index(service, order, [chunk])
    assert await stored_texts(service) == ["a\ufffdb"]
    assert await service.pool.fetchval("SELECT heading_path FROM chunks") == ["h\ufffd", "half \ufffd"]
    document = await service.pool.fetchrow("SELECT title, author FROM documents")
    assert tuple(document) == ("t\ufffd", "\ufffd")


async def test_a_document_at_the_limits_of_its_fields_is_stored_and_listed(service: Embedding) -> None:
    metadata = {"floats": [1e19, 1e300, 5e-324], "integers": [2**64 - 1, -(2**63)]}
    for time in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
        await index(service, "words", url=f"https://example.com/{time[:4]}", fetched_at=time, metadata=metadata)
    rows = await list_documents(service.pool, OWNER, "docs", after="", limit=10)
    assert [DocumentView(**row).fetched_at.year for row in rows if row["fetched_at"]] == [1, 9999]
    assert all(row["metadata"] == metadata for row in rows)


async def test_a_document_without_chunks_empties_the_one_that_stood_there(service: Embedding) -> None:
    await index(service, "words")
    result = await index(service, as_of=at(1))
    assert (result.chunks, result.superseded) == (0, False)
    assert await stored_texts(service) == []


async def test_a_connection_that_is_lost_in_the_write_is_a_passing_failure_and_writes_nothing(
    service: Embedding,
) -> None:
    await index(service, "words")
    async with service.pool.acquire() as holding, holding.transaction():
        await holding.execute("SELECT 1 FROM corpora FOR UPDATE")
        write = asyncio.create_task(index(service, "other", as_of=at(1)))
        await _waits_for_a_lock(service, write)
        await holding.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%corpora%'"
        )
        with pytest.raises(StoreUnavailableError) as raised:
            await write
    assert raised.value.retryable
    assert await stored_texts(service) == ["words"]


async def test_a_database_that_is_not_there_is_unavailable(settings: Settings) -> None:
    settings.DATABASE_URL = f"postgresql://u@127.0.0.1:{free_port()}/db"
    with pytest.raises(StoreUnavailableError):
        async with open_embedding(settings, command_timeout_seconds=5):
            pass


async def test_the_service_refuses_to_start_on_a_schema_that_is_not_migrated(
    settings: Settings, postgres_database: str
) -> None:
    settings.DATABASE_URL = postgres_database
    with pytest.raises(StaleSchemaError, match=r"python -m app\.migrate"):
        async with open_embedding(settings, command_timeout_seconds=5):
            pass
    await migrate(postgres_database, MIGRATIONS)
    with pytest.raises(ModelNotPreparedError, match=r"python -m app\.migrate"):
        async with open_embedding(settings, command_timeout_seconds=5):
            pass


async def run_migrations(dsn: str, **environment: str) -> tuple[int | None, list[dict[str, Any]]]:
    """Run the program as Compose does; return its status and its lines."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.migrate"),
        cwd=Path(__file__).parents[1],
        env={**os.environ, "DATABASE_URL": dsn, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return process.returncode, [json.loads(line) for line in said.splitlines()]


async def test_the_migration_prepares_the_configured_model_and_may_run_again(
    settings: Settings, postgres_database: str
) -> None:
    settings.DATABASE_URL = postgres_database
    for applied in ([path.name for path in sorted(MIGRATIONS.glob("*.sql"))], []):
        status, (line,) = await run_migrations(postgres_database)
        assert (status, line["event"], line["applied"]) == (0, "migrations_applied", applied)
    async with open_embedding(settings, command_timeout_seconds=20) as opened:
        await index(opened, "words")
    status, lines = await run_migrations(postgres_database, EMBEDDING_DIMENSIONS="8")
    assert (status, lines[-1]["event"], lines[-1]["error_kind"]) == (1, "migrations_failed", "DimensionMismatchError")
    assert "EMBEDDING_DIMENSIONS is 8" in lines[-1]["error"]


async def test_another_passage_prefix_makes_every_vector_anew(service: Embedding, endpoint: FakeEndpoint) -> None:
    await index(service, "one", "two")
    service.settings.EMBEDDING_PASSAGE_PREFIX = "passage: "
    again = await index(service, "one", "two", as_of=at(1))
    assert (again.embedded, again.reused) == (2, 0)
    assert sorted(endpoint.texts[-2:]) == ["passage: one", "passage: two"]
    assert await stored_texts(service) == ["one", "two"]
    assert (await index(service, "one", "two", as_of=at(2))).embedded == 0


async def _statements_of(service: Embedding, work: Any) -> list[str]:
    """Return the statements that the work sends over the pool's connections, the transaction's own among them."""
    async with service.pool.acquire() as connection:
        plain = connection._con
    said: list[str] = []
    plain.add_query_logger(lambda record: said.append(" ".join(record.query.split())))
    try:
        await work
        await asyncio.sleep(0)  # asyncpg tells of a statement at the loop's next turn
    finally:
        plain._query_loggers.clear()
    return said


@pytest.fixture
async def lone(settings: Settings) -> AsyncIterator[Embedding]:
    """The service with one connection to the database, whose statements can be read."""
    one = settings.model_copy(update={"DATABASE_POOL_SIZE": 1})
    async with open_embedding(one, command_timeout_seconds=20) as opened:
        yield opened


async def test_a_new_document_takes_two_statements_and_a_second_version_a_few(lone: Embedding) -> None:
    await index(lone, "footer", "page one")
    new = await _statements_of(lone, index(lone, "footer", "page two", url="https://example.com/two"))
    assert [statement.split(" ")[0] for statement in new] == ["SELECT", "WITH"]
    await index(lone, "footer", "page 1", as_of=at(1))  # a connection's first look at a statement's types is asked once
    again = await _statements_of(lone, index(lone, "footer", "page 2", url="https://example.com/two", as_of=at(1)))
    # what is known, the claim, what stands, what goes, new ids, the end; what comes is copied in, which asyncpg does not tell of
    assert [statement.split(" ")[0] for statement in again if statement not in ("BEGIN;", "COMMIT;")] == [
        *("SELECT", "WITH", "SELECT", "DELETE", "SELECT", "WITH")
    ]


async def test_documents_that_come_at_once_are_each_counted_once(service: Embedding) -> None:
    urls = [f"https://example.com/{number % 30}" for number in range(60)]  # each twice
    results = await asyncio.gather(
        *(index(service, f"one of {url}", f"two of {url}", "same", url=url) for url in urls), return_exceptions=True
    )
    assert [result for result in results if isinstance(result, BaseException)] == []
    [corpus] = await get_corpora(service.pool, OWNER, ["docs"])
    assert (corpus["documents"], corpus["chunks"]) == (30, 90)
    assert await service.pool.fetchval("SELECT count(*) FROM chunks") == 90
    assert await service.pool.fetchval("SELECT sum(chunk_count) FROM documents") == 90
