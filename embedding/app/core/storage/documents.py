"""Writing documents: the replace transaction, and the vectors that it can reuse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from pgvector import HalfVector

from app.core.difference import Difference, NewChunk, StoredChunk, difference
from app.core.storage.models import Model
from app.core.storage.pool import store_errors

ENSURE_CORPUS = "INSERT INTO corpora (owner, name) VALUES ($1, $2) ON CONFLICT (owner, name) DO NOTHING"

# The row that it takes or makes is the lock that orders concurrent replaces of one document. The key-share lock on the
# corpus keeps a deletion of the corpus out until this transaction ends, and lets other writers in.
CLAIM_DOCUMENT = """
WITH corpus AS MATERIALIZED (
    SELECT owner, name FROM corpora
    WHERE owner = $1 AND name = $2 AND (deleted_at IS NULL OR deleted_at < $5)
    FOR KEY SHARE
)
INSERT INTO documents (owner, corpus, url, as_of, submitted_at, model_id, title, final_url, canonical_url,
                       content_type, language, author, published_at, content_hash, fetched_at, metadata, job_id,
                       trace_id)
SELECT owner, name, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18 FROM corpus
ON CONFLICT (owner, corpus, url) DO UPDATE SET
    as_of = EXCLUDED.as_of, submitted_at = EXCLUDED.submitted_at, model_id = EXCLUDED.model_id,
    title = EXCLUDED.title, final_url = EXCLUDED.final_url, canonical_url = EXCLUDED.canonical_url,
    content_type = EXCLUDED.content_type, language = EXCLUDED.language, author = EXCLUDED.author,
    published_at = EXCLUDED.published_at, content_hash = EXCLUDED.content_hash, fetched_at = EXCLUDED.fetched_at,
    metadata = EXCLUDED.metadata, job_id = EXCLUDED.job_id, trace_id = EXCLUDED.trace_id
WHERE documents.as_of <= EXCLUDED.as_of
  AND (documents.deleted_at IS NULL OR documents.deleted_at < EXCLUDED.submitted_at)
RETURNING id, chunk_count, token_count, indexed_at IS NOT NULL AS was_live
"""

STORED_CHUNKS = """
SELECT id, chunk_index, start_offset, end_offset, token_count, text_hash, heading_path, model_id
FROM chunks WHERE owner = $1 AND corpus = $2 AND document_id = $3
"""

DELETE_CHUNKS = "DELETE FROM chunks WHERE owner = $1 AND corpus = $2 AND document_id = $3 AND id = ANY($4::bigint[])"

# unnest() flattens nested arrays, so headings travel as JSON
MOVE_CHUNKS = """
UPDATE chunks SET chunk_index = moved.chunk_index, start_offset = moved.start_offset, end_offset = moved.end_offset,
                  token_count = moved.token_count,
                  heading_path = ARRAY(SELECT jsonb_array_elements_text(moved.heading_path::jsonb))
FROM unnest($4::bigint[], $5::int[], $6::int[], $7::int[], $8::int[], $9::text[])
     AS moved (id, chunk_index, start_offset, end_offset, token_count, heading_path)
WHERE chunks.owner = $1 AND chunks.corpus = $2 AND chunks.document_id = $3 AND chunks.id = moved.id
"""

CHUNK_COLUMNS = (
    "owner", "corpus", "document_id", "chunk_index", "start_offset", "end_offset", "token_count", "model_id",
    "text_hash", "text", "heading_path", "trace_id", "embedding",
)  # fmt: skip

FINISH_DOCUMENT = """
UPDATE documents SET chunk_count = $4, token_count = $5, indexed_at = now(), deleted_at = NULL
WHERE owner = $1 AND corpus = $2 AND id = $3
"""

COUNT_IN_CORPUS = """
UPDATE corpora SET live = true, document_count = document_count + $3, chunk_count = chunk_count + $4,
                   token_count = token_count + $5, model_id = $6, updated_at = now()
WHERE owner = $1 AND name = $2
"""

KNOWN_VECTORS = """
SELECT DISTINCT ON (text_hash) text_hash, embedding FROM chunks
WHERE owner = $1 AND corpus = $2 AND model_id = $3 AND text_hash = ANY($4::bytea[])
"""


@dataclass(frozen=True, slots=True)
class DocumentWrite:
    """A version of a document that is to stand, if none newer does. `url` is the normal form."""

    owner: str
    corpus: str
    url: str
    as_of: datetime
    submitted_at: datetime
    fields: Mapping[str, Any]
    metadata: Mapping[str, Any]
    job_id: str | None
    trace_id: str | None

    def claim_values(self, model: Model) -> tuple[Any, ...]:
        """The parameters of `CLAIM_DOCUMENT`."""
        names = (
            "title", "final_url", "canonical_url", "content_type", "language", "author", "published_at",
            "content_hash", "fetched_at",
        )  # fmt: skip
        described = tuple(self.fields.get(name) for name in names)
        return (
            self.owner, self.corpus, self.url, self.as_of, self.submitted_at, model.id,
            *described, dict(self.metadata), self.job_id, self.trace_id,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """What a replace did; `document_id` is `None` when a newer version, or a deletion, stood there."""

    document_id: UUID | None
    change: Difference


async def known_vectors(
    pool: asyncpg.Pool, owner: str, corpus: str, model: Model, hashes: Sequence[bytes]
) -> dict[bytes, HalfVector]:
    """Return the vectors that this corpus holds for some of these texts, in this document or another."""
    with store_errors():
        rows = await pool.fetch(KNOWN_VECTORS, owner, corpus, model.id, hashes)
    return {row["text_hash"]: row["embedding"] for row in rows}


async def replace_document(
    pool: asyncpg.Pool,
    write: DocumentWrite,
    model: Model,
    chunks: Sequence[NewChunk],
    vectors: Mapping[bytes, HalfVector],
) -> Written:
    """Make a document's chunks be these, in one transaction, unless something newer stands there.

    Parameters
    ----------
    vectors
        By text hash, of every text in `chunks`.

    Raises
    ------
    StoreUnavailableError
        If the database does not answer; nothing was written then.
    """
    with store_errors():
        async with pool.acquire() as connection:
            # on its own, so that the first document of a corpus does not hold up the second
            await connection.execute(ENSURE_CORPUS, write.owner, write.corpus)
            async with connection.transaction():
                claimed = await connection.fetchrow(CLAIM_DOCUMENT, *write.claim_values(model))
                if claimed is None:
                    return Written(None, Difference())
                document_id = claimed["id"]
                change = await _replace_chunks(connection, write, document_id, model, chunks, vectors)
                tokens = sum(chunk.token_count for chunk in chunks)
                await connection.execute(FINISH_DOCUMENT, write.owner, write.corpus, document_id, len(chunks), tokens)
                await connection.execute(
                    COUNT_IN_CORPUS,
                    write.owner,
                    write.corpus,
                    0 if claimed["was_live"] else 1,
                    len(chunks) - claimed["chunk_count"],
                    tokens - claimed["token_count"],
                    model.id,
                )
                return Written(document_id, change)


async def _replace_chunks(
    connection: Any,
    write: DocumentWrite,
    document_id: UUID,
    model: Model,
    chunks: Sequence[NewChunk],
    vectors: Mapping[bytes, HalfVector],
) -> Difference:
    key = (write.owner, write.corpus, document_id)
    rows = await connection.fetch(STORED_CHUNKS, *key)
    change = difference([_stored(row) for row in rows if row["model_id"] == model.id], chunks)
    removed = change.removed + [row["id"] for row in rows if row["model_id"] != model.id]
    if removed:
        await connection.execute(DELETE_CHUNKS, *key, removed)
    if change.moved:
        await connection.execute(
            MOVE_CHUNKS,
            *key,
            [chunk_id for chunk_id, _ in change.moved],
            [chunk.index for _, chunk in change.moved],
            [chunk.start for _, chunk in change.moved],
            [chunk.end for _, chunk in change.moved],
            [chunk.token_count for _, chunk in change.moved],
            [orjson.dumps(chunk.heading_path).decode() for _, chunk in change.moved],
        )
    if change.added:
        await connection.copy_records_to_table(
            "chunks",
            columns=CHUNK_COLUMNS,
            records=[
                (
                    *key, chunk.index, chunk.start, chunk.end, chunk.token_count, model.id,
                    chunk.text_hash, chunk.text, chunk.heading_path, write.trace_id, vectors[chunk.text_hash],
                )
                for chunk in change.added
            ],
        )  # fmt: skip
    return change


def _stored(row: asyncpg.Record) -> StoredChunk:
    return StoredChunk(
        row["id"],
        row["chunk_index"],
        row["text_hash"],
        row["start_offset"],
        row["end_offset"],
        row["token_count"],
        tuple(row["heading_path"]),
    )
