"""Reading and deleting corpora and documents. A deletion leaves a tombstone."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

import asyncpg
from opentelemetry.trace import Span

from app.core.errors import CorpusNotFoundError, DocumentNotFoundError
from app.core.storage.pool import store_errors
from ml_shared.names import Operation, RequestMode
from ml_shared.telemetry import attributes
from ml_shared.telemetry.spans import Value, work_span

_CORPUS = """
SELECT corpora.name, document_count AS documents, chunk_count AS chunks, token_count AS tokens, models.name AS model,
       updated_at, languages
FROM corpora LEFT JOIN models ON models.id = corpora.model_id
WHERE owner = $1 AND live
"""
LIST_CORPORA = f"{_CORPUS} AND corpora.name > $2 ORDER BY corpora.name LIMIT $3"
GET_CORPORA = f"{_CORPUS} AND corpora.name = ANY($2::text[])"

MODEL_OF = """
SELECT models.name FROM corpora JOIN models ON models.id = corpora.model_id WHERE owner = $1 AND corpora.name = $2 AND live
"""

SWITCHED_TO = """
SELECT models.name FROM corpora JOIN models ON models.id = corpora.model_id
WHERE owner = $1 AND corpora.name = $2 AND live AND switched
"""

LIST_DOCUMENTS = """
SELECT documents.id AS document_id, url, title, language, chunk_count AS chunks, token_count AS tokens,
       models.name AS model, metadata, as_of, fetched_at, indexed_at, job_id, trace_id
FROM documents JOIN models ON models.id = documents.model_id
WHERE owner = $1 AND corpus = $2 AND url > $3 AND indexed_at IS NOT NULL
ORDER BY url LIMIT $4
"""

# Both deletions lock the corpus first, as a write does: in one order, nothing waits in a circle.
LOCK_CORPUS = "SELECT 1 FROM corpora WHERE owner = $1 AND name = $2 AND live FOR UPDATE"
SHARE_CORPUS = "SELECT 1 FROM corpora WHERE owner = $1 AND name = $2 AND live FOR KEY SHARE"
DELETE_CORPUS_CHUNKS = "DELETE FROM chunks WHERE owner = $1 AND corpus = $2"
DELETE_CORPUS_DOCUMENTS = "DELETE FROM documents WHERE owner = $1 AND corpus = $2"
# clock_timestamp(), not now(): the tombstone is as late as the lock, not as the transaction's start
BURY_CORPUS = """
UPDATE corpora SET live = false, document_count = 0, chunk_count = 0, token_count = 0, model_id = NULL,
                   languages = '{}', switched = false, updated_at = clock_timestamp(), deleted_at = clock_timestamp()
WHERE owner = $1 AND name = $2
"""

LOCK_DOCUMENT = """
SELECT chunk_count, token_count FROM documents
WHERE owner = $1 AND corpus = $2 AND id = $3 AND indexed_at IS NOT NULL FOR UPDATE
"""
DELETE_DOCUMENT_CHUNKS = "DELETE FROM chunks WHERE owner = $1 AND corpus = $2 AND document_id = $3"
BURY_DOCUMENT = """
UPDATE documents SET indexed_at = NULL, deleted_at = clock_timestamp(), chunk_count = 0, token_count = 0, title = NULL,
                     final_url = NULL, canonical_url = NULL, author = NULL, metadata = '{}'
WHERE owner = $1 AND corpus = $2 AND id = $3
"""
UNCOUNT_IN_CORPUS = """
UPDATE corpora SET document_count = document_count - 1, chunk_count = chunk_count - $3,
                   token_count = token_count - $4, updated_at = now()
WHERE owner = $1 AND name = $2
"""


def _span(name: str, operation: Operation, corpus: str | None = None) -> AbstractContextManager[Span]:
    known: dict[str, Value] = {
        attributes.OPERATION: operation.value,
        attributes.REQUEST_MODE: RequestMode.SYNC.value,
        attributes.CORPUS_NAME: corpus,
        attributes.JOB_STAGE: attributes.JobStage.READ if operation is Operation.READ else None,
    }
    return work_span(name, attributes=known)


def read_span(name: str, corpus: str) -> AbstractContextManager[Span]:
    """Return a span of reading from a corpus."""
    return _span(name, Operation.READ, corpus)


async def list_corpora(pool: asyncpg.Pool, owner: str, *, after: str, limit: int) -> list[dict[str, Any]]:
    """Return an owner's corpora by name, those after `after`."""
    with _span("corpora.list", Operation.READ), store_errors():
        return [dict(row) for row in await pool.fetch(LIST_CORPORA, owner, after, limit)]


async def get_corpora(pool: asyncpg.Pool, owner: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return these corpora.

    Raises
    ------
    CorpusNotFoundError
        If one is not there, or another owner's; it names those.
    """
    with _span("corpora.read", Operation.READ, ",".join(names)), store_errors():
        rows = await pool.fetch(GET_CORPORA, owner, list(names))
        missing = sorted(set(names) - {row["name"] for row in rows})
        if missing:
            raise CorpusNotFoundError(*missing)
    return [dict(row) for row in rows]


async def model_of(pool: asyncpg.Pool, owner: str, corpus: str) -> str | None:
    """Return the model that a corpus answers from, `None` where it is new."""
    with store_errors():
        name: str | None = await pool.fetchval(MODEL_OF, owner, corpus)
    return name


async def switched_to(pool: asyncpg.Pool, owner: str, corpus: str) -> str | None:
    """Return the model that a corpus was changed to, `None` where it never was, or the one before is gone."""
    with store_errors():
        name: str | None = await pool.fetchval(SWITCHED_TO, owner, corpus)
    return name


async def list_documents(
    pool: asyncpg.Pool, owner: str, corpus: str, *, after: str, limit: int
) -> list[dict[str, Any]]:
    """Return a corpus' documents by URL, those after `after`.

    Raises
    ------
    CorpusNotFoundError
        If the corpus is not there, or another owner's.
    """
    with _span("documents.list", Operation.READ, corpus), store_errors():
        await get_corpora(pool, owner, [corpus])
        return [dict(row) for row in await pool.fetch(LIST_DOCUMENTS, owner, corpus, after, limit)]


async def delete_corpus(pool: asyncpg.Pool, owner: str, corpus: str) -> None:
    """Delete a corpus and all in it; what was submitted before cannot bring it back.

    Raises
    ------
    CorpusNotFoundError
        If it is not there, or another owner's.
    """
    with _span("corpus.delete", Operation.WRITE, corpus), store_errors():
        async with pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(LOCK_CORPUS, owner, corpus) is None:
                raise CorpusNotFoundError(corpus)
            await connection.execute(DELETE_CORPUS_CHUNKS, owner, corpus)
            await connection.execute(DELETE_CORPUS_DOCUMENTS, owner, corpus)
            await connection.execute(BURY_CORPUS, owner, corpus)


async def delete_document(pool: asyncpg.Pool, owner: str, corpus: str, document_id: UUID) -> None:
    """Delete a document; what was submitted before cannot bring it back.

    Raises
    ------
    CorpusNotFoundError, DocumentNotFoundError
        If it is not there, or another owner's.
    """
    with _span("document.delete", Operation.WRITE, corpus), store_errors():
        async with pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(SHARE_CORPUS, owner, corpus) is None:
                raise CorpusNotFoundError(corpus)
            counts = await connection.fetchrow(LOCK_DOCUMENT, owner, corpus, document_id)
            if counts is None:
                raise DocumentNotFoundError(f"the corpus {corpus!r} has no document {document_id}")
            await connection.execute(DELETE_DOCUMENT_CHUNKS, owner, corpus, document_id)
            await connection.execute(BURY_DOCUMENT, owner, corpus, document_id)
            await connection.execute(UNCOUNT_IN_CORPUS, owner, corpus, counts["chunk_count"], counts["token_count"])
