"""Documents of an older version: found at once, and brought to this one's words."""

import asyncio

import asyncpg
import pytest

from app.core.logic import execute_search
from app.core.renewal import look_over
from app.core.service import Embedding
from app.core.storage.pool import MIGRATIONS
from app.core.storage.terms import renew_document
from app.core.terms import VERSION, corpus_key, surface_term
from ml_shared.contracts.embedding import SearchRequest
from ml_shared.storage.migrations import read_migrations
from tests.documents import OWNER, at, index


async def found(service: Embedding, query: str, **request: object) -> list[str]:
    """Return the texts that words find."""
    asked = SearchRequest(query=query, corpus_name="docs", mode="text", **request)  # type: ignore[arg-type]
    return [hit.text for hit in (await execute_search(service, OWNER, asked)).results]


async def age(service: Embedding, url: str = "https://example.com/page") -> None:
    """Make a document what the first version wrote."""
    await service.pool.execute("DELETE FROM chunk_terms USING documents d WHERE document_id = d.id AND url = $1", url)
    await service.pool.execute("UPDATE documents SET terms_version = 0 WHERE url = $1", url)
    await service.pool.execute(
        "UPDATE chunks SET search = to_tsvector('english', text) || array_to_tsvector(ARRAY['scope:' || owner || '/' || corpus]) "
        "WHERE document_id = (SELECT id FROM documents WHERE url = $1)",
        url,
    )


async def test_older_and_newer_documents_are_found_together(service: Embedding) -> None:
    await index(service, "foxes and hens", "hens alone", "geese")
    await age(service)
    await index(service, "a fox, newly", url="https://example.com/new")
    assert set(await found(service, "fox")) == {"foxes and hens", "a fox, newly"}
    assert await found(service, "fox -hens") == ["a fox, newly"]
    assert await found(service, 'fox -"and hens"') == ["a fox, newly"]
    assert set(await found(service, 'fox -"hens and"')) == {"foxes and hens", "a fox, newly"}
    assert await found(service, '"Hens alone"') == ["hens alone"]
    assert await found(service, "hens", filters={"url_prefix": "https://example.com/new"}) == []


async def test_renewal_finds_names_within_older_documents_and_ends(service: Embedding) -> None:
    await index(service, "call asyncio.gather(first, second)", language="en")
    await age(service)
    assert await found(service, "gather") == []
    assert await renew_document(service.pool) == 1
    assert await found(service, "gather") == ["call asyncio.gather(first, second)"]
    assert await renew_document(service.pool) is None
    assert await service.pool.fetchval("SELECT min(terms_version) FROM documents") == VERSION


async def test_what_the_version_before_made_is_found_meanwhile_and_made_anew(service: Embedding) -> None:
    await index(service, "install python3.11 and sail", language="en")
    await service.pool.execute("UPDATE documents SET terms_version = $1", VERSION - 1)
    # of an earlier version's words, one
    numbers = surface_term("sail").numbers([corpus_key(OWNER, "docs")])
    await service.pool.execute("UPDATE chunk_terms SET digest = 0, numbers = $1", numbers)
    assert await found(service, "sail") == ["install python3.11 and sail"]
    assert await found(service, "3.11") == []
    assert await renew_document(service.pool) == 1
    assert await found(service, "3.11") == ["install python3.11 and sail"]
    assert await renew_document(service.pool) is None


async def test_a_document_that_is_replaced_meanwhile_has_the_new_ones_words(service: Embedding) -> None:
    for number in range(12):
        await index(service, f"old words {number}", "same", url=f"https://example.com/{number}")
        await age(service, f"https://example.com/{number}")
    replaced = [
        index(service, f"new words {number}", "same", url=f"https://example.com/{number}", as_of=at(1), title="Other")
        for number in range(12)
    ]
    await asyncio.gather(*replaced, *(renew_document(service.pool) for _ in range(8)))
    while await renew_document(service.pool) is not None:
        pass
    assert len(await found(service, "new words", top_k=50)) == 12
    assert await found(service, "old") == []
    assert len(await found(service, "other", top_k=50)) == 24
    assert await service.pool.fetchval("SELECT count(*) FROM chunk_terms") == 24


@pytest.fixture
def first_schema(postgres_database: str) -> str:
    """A database as the first version left it, with a document."""

    async def prepare() -> None:
        connection = await asyncpg.connect(postgres_database)
        await connection.execute(read_migrations(MIGRATIONS)[0].sql)
        await connection.execute("INSERT INTO models (name, dimensions) VALUES ('m', 2)")
        await connection.execute("INSERT INTO corpora (owner, name, live) VALUES ('o', 'c', true)")
        await connection.execute(
            "INSERT INTO documents (owner, corpus, url, as_of, submitted_at, model_id, indexed_at) "
            "VALUES ('o', 'c', 'https://example.com', now(), now(), 1, now())"
        )
        await connection.execute(
            "INSERT INTO chunks (owner, corpus, document_id, chunk_index, start_offset, end_offset, token_count, model_id, text_hash, "
            "text, heading_path, embedding) SELECT 'o', 'c', id, 0, 0, 9, 2, 1, '\\x00', 'two foxes', '{}', '[1,0]' FROM documents"
        )
        await connection.close()

    asyncio.run(prepare())
    return postgres_database


async def test_the_migration_keeps_what_older_rows_are_found_by(first_schema: str) -> None:
    connection = await asyncpg.connect(first_schema)
    for migration in read_migrations(MIGRATIONS)[1:]:
        await connection.execute(migration.sql)
        await connection.execute(migration.sql)
    assert await connection.fetchval("SELECT search @@ 'fox'::tsquery FROM chunks")
    assert await connection.fetchval("SELECT terms_version FROM documents") == 0
    assert await connection.fetchval("SELECT embedding::text FROM vectors JOIN chunks USING (id)") == "[1,0]"
    await connection.close()


async def test_what_an_older_worker_wrote_over_a_document_gets_its_words(service: Embedding) -> None:
    await index(service, "call asyncio.gather(first, second)", language="en")
    await index(service, "another page", url="https://example.com/other")
    # chunks are new and the document's row says that all is well
    await service.pool.execute(
        "DELETE FROM chunk_terms USING documents d WHERE document_id = d.id AND url = 'https://example.com/page'"
    )
    assert await found(service, "gather") == []
    assert await look_over(service.pool) == 1
    assert await look_over(service.pool) == 0
    assert await renew_document(service.pool) == 1
    assert await found(service, "gather") == ["call asyncio.gather(first, second)"]
