"""Writing documents: the replace transaction, and the vectors that it can reuse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from pgvector import HalfVector

from app.core.difference import Difference, NewChunk, StoredChunk, difference
from app.core.storage.additions import CHUNKS_AT_ONCE, add_document
from app.core.storage.claims import CLAIM_DOCUMENT, ENSURE_CORPUS, LANGUAGES, DocumentWrite
from app.core.storage.models import Model
from app.core.storage.pool import store_errors
from app.core.storage.terms import write_terms
from app.core.storage.vectors import FORGET_VECTORS, write_vectors
from app.core.terms import VERSION, DocumentTerms
from ml_shared.contracts.embedding import PageOutcome

STORED_CHUNKS = """
SELECT chunks.id, chunk_index, start_offset, end_offset, token_count, text_hash, heading_path, digest,
       vectors.id IS NOT NULL AS has_vector
FROM chunks LEFT JOIN chunk_terms USING (owner, corpus, document_id, id)
LEFT JOIN vectors ON (vectors.owner, vectors.corpus, vectors.document_id, vectors.id, vectors.model_id)
                   = (chunks.owner, chunks.corpus, chunks.document_id, chunks.id, $4)
WHERE chunks.owner = $1 AND chunks.corpus = $2 AND chunks.document_id = $3
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
    "owner", "corpus", "document_id", "id", "chunk_index", "start_offset", "end_offset", "token_count",
    "text_hash", "text", "heading_path", "trace_id", "context",
)  # fmt: skip

RESERVE_IDS = "SELECT nextval('chunks_id_seq') FROM generate_series(1, $1::int)"

FINISH_DOCUMENT = f"""
WITH finished AS (
    UPDATE documents SET chunk_count = $4, token_count = $5, indexed_at = now(), deleted_at = NULL,
                         terms_version = {VERSION}
    WHERE owner = $1 AND corpus = $2 AND id = $3
)
UPDATE corpora SET live = true, document_count = document_count + $6, chunk_count = chunk_count + $7,
                   token_count = token_count + $8, model_id = $9, updated_at = now(),
                   languages = {LANGUAGES.format("$10")}
WHERE owner = $1 AND name = $2
"""  # noqa: S608 - a number of our own

KNOWN_VECTORS = """
SELECT known.text_hash, known.embedding, standing.it_does
FROM (SELECT EXISTS (SELECT FROM documents WHERE owner = $1 AND corpus = $2 AND url = $5) AS it_does) AS standing
LEFT JOIN (
    SELECT DISTINCT ON (text_hash) text_hash, embedding
    FROM chunks JOIN vectors USING (owner, corpus, document_id, id)
    WHERE chunks.owner = $1 AND chunks.corpus = $2 AND vectors.model_id = $3 AND text_hash = ANY($4::bytea[])
) AS known ON true
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What a corpus holds of a document's texts, and whether it knows the document itself, be it as a deleted one."""

    vectors: dict[bytes, HalfVector]
    document: bool


@dataclass(frozen=True, slots=True)
class Written:
    """What a replace did; `document_id` is `None` when a newer version, or a deletion, stood there.

    `was_live`: the document could be searched before.
    """

    document_id: UUID | None
    change: Difference
    was_live: bool = False

    @property
    def outcome(self) -> PageOutcome | None:
        """What became of the document: `None` if nothing was written."""
        if self.document_id is None:
            return None
        if not self.was_live:
            return PageOutcome.NEW
        changed = self.change.added or self.change.moved or self.change.removed
        return PageOutcome.CHANGED if changed else PageOutcome.UNCHANGED


async def known_vectors(pool: asyncpg.Pool, write: DocumentWrite, model: Model, hashes: Sequence[bytes]) -> Known:
    """Return the vectors that this corpus holds for some of these texts, in this document or another."""
    with store_errors():
        rows = await pool.fetch(KNOWN_VECTORS, write.owner, write.corpus, model.id, hashes, write.url)
    vectors = {row["text_hash"]: row["embedding"] for row in rows if row["text_hash"] is not None}
    return Known(vectors, rows[0]["it_does"])


async def replace_document(
    pool: asyncpg.Pool,
    write: DocumentWrite,
    model: Model,
    chunks: Sequence[NewChunk],
    vectors: Mapping[bytes, HalfVector],
    terms: DocumentTerms,
    *,
    likely_new: bool = False,
) -> Written:
    """Make a document's chunks be these, in one transaction, unless something newer stands there.

    Parameters
    ----------
    vectors
        By text hash, of every text in `chunks`.
    terms
        What makes the chunks' words.
    likely_new
        Whether the corpus did not know the document a moment ago: it is then tried to simply add it.

    Raises
    ------
    StoreUnavailableError
        If the database does not answer; nothing was written then.
    """
    with store_errors():
        async with pool.acquire() as connection:
            if likely_new and len(chunks) <= CHUNKS_AT_ONCE:
                added = await add_document(connection, write, model, chunks, vectors, terms)
                if added is not None:
                    return Written(added, Difference(added=list(chunks)))
            written = await _replaced(connection, write, model, chunks, vectors, terms)
            if written.document_id is None:
                # Perhaps for want of a corpus. Made on its own, so that its first document does not hold up the second
                await connection.execute(ENSURE_CORPUS, write.owner, write.corpus)
                written = await _replaced(connection, write, model, chunks, vectors, terms)
            return written


async def _replaced(
    connection: Any,
    write: DocumentWrite,
    model: Model,
    chunks: Sequence[NewChunk],
    vectors: Mapping[bytes, HalfVector],
    terms: DocumentTerms,
) -> Written:
    async with connection.transaction():
        claimed = await connection.fetchrow(CLAIM_DOCUMENT, *write.claim_values(model), write.other_models)
        if claimed is None:
            return Written(None, Difference())
        key = (write.owner, write.corpus, claimed["id"])
        rows = await connection.fetch(STORED_CHUNKS, *key, model.id) if claimed["chunk_count"] else []
        change = await _replace_chunks(connection, write, key, rows, model, chunks, vectors, terms)
        tokens = sum(chunk.token_count for chunk in chunks)
        await connection.execute(
            FINISH_DOCUMENT,
            *key,
            len(chunks),
            tokens,
            0 if claimed["was_live"] else 1,
            len(chunks) - claimed["chunk_count"],
            tokens - claimed["token_count"],
            model.id,
            terms.language,
        )
        return Written(claimed["id"], change, claimed["was_live"])


async def _replace_chunks(
    connection: Any,
    write: DocumentWrite,
    key: tuple[str, str, UUID],
    rows: Sequence[asyncpg.Record],
    model: Model,
    chunks: Sequence[NewChunk],
    vectors: Mapping[bytes, HalfVector],
    terms: DocumentTerms,
) -> Difference:
    change = difference([_stored(row) for row in rows], chunks)
    if change.removed:
        await connection.execute(DELETE_CHUNKS, *key, change.removed)
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
    ids = [row["nextval"] for row in await connection.fetch(RESERVE_IDS, len(change.added))] if change.added else []
    if change.added:
        await connection.copy_records_to_table(
            "chunks",
            columns=CHUNK_COLUMNS,
            records=[
                (
                    *key, chunk_id, chunk.index, chunk.start, chunk.end, chunk.token_count,
                    chunk.text_hash, chunk.text, chunk.heading_path, write.trace_id, chunk.context,
                )
                for chunk_id, chunk in zip(ids, change.added, strict=True)
            ],
        )  # fmt: skip
    without = {row["id"] for row in rows if not row["has_vector"]}
    meant = [*zip(ids, change.added, strict=True), *((kept, chunk) for kept, chunk in change.kept if kept in without)]
    await write_vectors(connection, key, model, [(chunk_id, vectors[chunk.text_hash]) for chunk_id, chunk in meant])
    if without:
        await connection.execute(FORGET_VECTORS, *key, [model.id, *write.other_models])
    had = {row["id"]: row["digest"] for row in rows}
    said = [*zip(ids, change.added, strict=True), *change.kept]
    await write_terms(
        connection,
        key,
        terms,
        [(chunk_id, chunk) for chunk_id, chunk in said if had.get(chunk_id) != terms.digest(chunk.heading_path)],
        known=had,
    )
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
