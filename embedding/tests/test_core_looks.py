"""Looks at a page whose document is not made anew: touching it, and removing it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from app.config import Settings
from app.core.errors import DocumentDiffersError
from app.core.logic import Order, execute_index, execute_remove, execute_touch
from app.core.service import Embedding, open_embedding
from app.core.storage.corpora import delete_corpus, delete_document, get_corpora
from ml_shared.contracts.embedding import Document, IndexResult, PageOutcome
from ml_shared.testing.endpoint import FakeEndpoint
from tests.documents import NOON, OWNER, at, chunks_of, stored_texts

URL = "https://example.com/page"
HASH, SETTINGS = "1" * 64, "2" * 64
WORDS = ("first words", "second words")


def order(
    *, as_of: datetime = NOON, submitted_at: datetime | None = None, settings: str = SETTINGS, **document: Any
) -> Order:
    described = Document(**{"url": URL, "content_hash": HASH, **document})
    return Order(OWNER, "docs", described, as_of, submitted_at or as_of, chunking_hash=settings)


async def indexed(service: Embedding, **more: Any) -> IndexResult:
    return await execute_index(service, order(**more), chunks_of(*WORDS))


async def found_by(service: Embedding, word: str) -> int:
    """In how many chunks a search by words finds one, as the stored terms have it."""
    from app.core.terms import corpus_key, stem_term

    numbers = stem_term(word, ["english"]).numbers([corpus_key(OWNER, "docs")])
    rows = await service.pool.fetch("SELECT 1 FROM chunk_terms WHERE numbers && $1::bigint[]", numbers)
    return len(rows)


@pytest.fixture
async def prefixed(settings: Settings) -> AsyncIterator[Embedding]:
    """The same service with another prefix of passages."""
    other = settings.model_copy(update={"EMBEDDING_PASSAGE_PREFIX": "passage: "})
    async with open_embedding(other, command_timeout_seconds=20) as opened:
        yield opened


async def test_a_touch_embeds_nothing_and_writes_what_a_look_tells(service: Embedding, endpoint: FakeEndpoint) -> None:
    made = await indexed(service, title="T", metadata={"a": 1})
    rows = await service.pool.fetch("SELECT id, xmin::text FROM chunks ORDER BY id")
    endpoint.inputs.clear()
    look = order(as_of=at(5), fetched_at=at(5), metadata={"a": 2})
    touched = await execute_touch(service, look)
    assert endpoint.texts == []
    assert touched.document_id == made.document_id
    assert (touched.outcome, touched.chunks, touched.tokens, touched.reused) == (PageOutcome.UNCHANGED, 2, 4, 2)
    assert await service.pool.fetch("SELECT id, xmin::text FROM chunks ORDER BY id") == rows
    document = await service.pool.fetchrow("SELECT as_of, fetched_at, title, metadata FROM documents")
    assert tuple(document) == (at(5), at(5), "T", {"a": 2})
    again = await execute_touch(service, look)
    assert again == touched


async def test_what_became_of_a_document_is_told_of_each_write(service: Embedding) -> None:
    assert (await indexed(service)).outcome is PageOutcome.NEW
    assert (await indexed(service, as_of=at(1))).outcome is PageOutcome.UNCHANGED
    changed = await execute_index(service, order(as_of=at(2)), chunks_of("others"))
    assert changed.outcome is PageOutcome.CHANGED
    assert (await indexed(service, as_of=at(1))).outcome is None


async def test_a_new_title_is_found_by_its_words_though_nothing_is_embedded(
    service: Embedding, endpoint: FakeEndpoint
) -> None:
    await indexed(service, title="walrus")
    endpoint.inputs.clear()
    assert (await found_by(service, "walrus"), await found_by(service, "narwhal")) == (2, 0)
    await execute_touch(service, order(as_of=at(1), title="narwhal"))
    assert (await found_by(service, "walrus"), await found_by(service, "narwhal")) == (0, 2)
    assert await service.pool.fetchval("SELECT title FROM documents") == "narwhal"
    assert endpoint.texts == []


@pytest.mark.parametrize(
    "differing",
    [{"content_hash": "3" * 64}, {"settings": "4" * 64}, {"url": "https://example.com/other"}],
    ids=["text", "chunking", "document"],
)
async def test_a_document_that_is_another_is_to_be_made_anew(service: Embedding, differing: dict[str, Any]) -> None:
    await indexed(service)
    with pytest.raises(DocumentDiffersError) as raised:
        await execute_touch(service, order(**{"as_of": at(1), **differing}))
    assert (raised.value.code, raised.value.retryable) == ("content_missing", True)
    assert await service.pool.fetchval("SELECT as_of FROM documents") == NOON


async def test_another_prefix_or_model_is_to_be_made_anew(service: Embedding, prefixed: Embedding) -> None:
    await indexed(service)
    with pytest.raises(DocumentDiffersError):
        await execute_touch(prefixed, order(as_of=at(1)))
    with pytest.raises(DocumentDiffersError):
        await execute_touch(replace(service, model=replace(service.model, id=7)), order(as_of=at(1)))
    await execute_touch(service, order(as_of=at(1)))


async def test_what_was_deleted_comes_back_only_for_who_asked_afterwards(service: Embedding) -> None:
    made = await indexed(service)
    await delete_document(service.pool, OWNER, "docs", made.document_id)  # type: ignore[arg-type]
    deleted = await service.pool.fetchval("SELECT deleted_at FROM documents")
    before = await execute_touch(service, order(as_of=at(1), submitted_at=NOON))
    assert (before.superseded, before.outcome) == (True, None)
    with pytest.raises(DocumentDiffersError):
        await execute_touch(service, order(as_of=deleted.replace(year=9000), submitted_at=deleted.replace(year=9000)))


async def test_a_deleted_corpus_is_gone_for_a_touch_that_was_asked_for_before(service: Embedding) -> None:
    await indexed(service)
    await delete_corpus(service.pool, OWNER, "docs")
    assert (await execute_touch(service, order(as_of=at(1)))).superseded
    late = await service.pool.fetchval("SELECT deleted_at + interval '1 second' FROM corpora")
    with pytest.raises(DocumentDiffersError):
        await execute_touch(service, order(as_of=late, submitted_at=late))


async def test_an_older_look_touches_and_removes_nothing(service: Embedding) -> None:
    await indexed(service, as_of=at(5))
    assert (await execute_touch(service, order(as_of=at(4)))).superseded
    removed = await execute_remove(service, order(as_of=at(4)))
    assert (removed.superseded, removed.outcome) == (True, None)
    assert await stored_texts(service) == list(WORDS)


async def test_a_removal_removes_once_and_counts_it_off(service: Embedding) -> None:
    await indexed(service)
    await execute_index(service, order(url="https://example.com/other"), chunks_of("stays"))
    assert (await execute_remove(service, order(as_of=at(1)))).outcome is PageOutcome.REMOVED
    assert (await execute_remove(service, order(as_of=at(1)))).outcome is None
    assert await stored_texts(service) == []
    [corpus] = await get_corpora(service.pool, OWNER, ["docs"])
    assert (corpus["documents"], corpus["chunks"], corpus["tokens"]) == (1, 1, 1)


async def test_what_was_asked_for_after_a_removal_comes_back_however_late_that_was_done(service: Embedding) -> None:
    await indexed(service)
    await execute_remove(service, order(as_of=at(10)))
    assert (await indexed(service, as_of=at(11), submitted_at=at(9))).superseded, "it was asked for before"
    assert (await indexed(service, as_of=at(12), submitted_at=at(11))).outcome is PageOutcome.NEW
    assert await stored_texts(service) == list(WORDS)
