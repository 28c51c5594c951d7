"""Reading what a corpus holds of a document: its chunks, those around some of them, and what documents say of themselves."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg
from pgvector import HalfVector

from app.core.answers.pieces import Piece
from app.core.errors import DocumentNotFoundError
from app.core.storage.corpora import get_corpora, read_span
from app.core.storage.pool import store_errors
from app.core.storage.search import Scope
from ml_shared.errors import TooLargeError

CONTENT_MAX_CHARACTERS: Final = 10_000_000
# as much as chunking takes; documents whose chunks a caller brought may be longer

READ_DOCUMENT: Final = """
SELECT documents.id AS document_id, url, title, language, chunk_count AS chunks, token_count AS tokens,
       models.name AS model, metadata, as_of, fetched_at, indexed_at, job_id, trace_id, final_url, canonical_url,
       content_type, author, published_at
FROM documents JOIN models ON models.id = documents.model_id
WHERE owner = $1 AND corpus = $2 AND documents.id = $3 AND indexed_at IS NOT NULL
"""
READ_CHUNKS: Final = """
SELECT chunk_index, start_offset, end_offset, token_count, heading_path, context AS table_header, text FROM chunks
WHERE owner = $1 AND corpus = $2 AND document_id = $3 AND chunk_index > $4 ORDER BY chunk_index LIMIT $5
"""
COUNT_CHARACTERS: Final = """
SELECT coalesce(sum(length(text)), 0) FROM chunks WHERE owner = $1 AND corpus = $2 AND document_id = $3
"""
READ_TEXTS: Final = """
SELECT chunk_index, start_offset, end_offset, text FROM chunks
WHERE owner = $1 AND corpus = $2 AND document_id = $3 ORDER BY chunk_index
"""
READ_WINDOWS: Final = """
SELECT windows.document_id, c.chunk_index, c.start_offset, c.end_offset, c.text
FROM unnest($3::uuid[], $4::int[], $5::int[]) AS windows (document_id, first, last)
JOIN chunks c ON c.owner = $1 AND c.corpus = ANY($2::text[]) AND c.document_id = windows.document_id
             AND c.chunk_index BETWEEN windows.first AND windows.last
ORDER BY windows.document_id, c.chunk_index
"""
# what precedes a window is of interest only where code may begin or end
READ_FENCES: Final = """
SELECT c.chunk_index, c.start_offset, c.end_offset, c.text FROM chunks c
WHERE c.owner = $1 AND c.corpus = ANY($2::text[]) AND c.document_id = $3 AND c.chunk_index < $4
  AND c.text ~ '(```|~~~)'
ORDER BY c.chunk_index DESC LIMIT $5
"""
READ_VECTOR: Final = """
SELECT c.id, v.embedding FROM chunks c
JOIN vectors v ON v.owner = c.owner AND v.corpus = c.corpus AND v.document_id = c.document_id AND v.id = c.id
JOIN documents ON documents.owner = c.owner AND documents.corpus = c.corpus AND documents.id = c.document_id
WHERE c.owner = $1 AND c.corpus = ANY($2::text[]) AND c.document_id = $3 AND c.chunk_index = $4 AND v.model_id = $5
  AND documents.indexed_at IS NOT NULL
"""
READ_METADATA: Final = """
SELECT ARRAY(SELECT documents.metadata -> keys.key FROM unnest($4::text[]) WITH ORDINALITY AS keys (key, place)
             ORDER BY keys.place) AS found
FROM documents WHERE owner = $1 AND corpus = ANY($2::text[]) AND id = ANY($3::uuid[])
"""
MAX_FENCES: Final = 200


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive chunks of a document, from the first to the last."""

    document_id: UUID
    first: int
    last: int


async def read_document(
    pool: asyncpg.Pool, owner: str, corpus: str, document_id: UUID, *, after: int, limit: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a document, and its chunks after the one that is named.

    Raises
    ------
    CorpusNotFoundError, DocumentNotFoundError
        If it is not there, or another owner's.
    """
    with read_span("document.read", corpus), store_errors():
        document = await _document(pool, owner, corpus, document_id)
        rows = await pool.fetch(READ_CHUNKS, owner, corpus, document_id, after, limit)
    return document, [dict(row) for row in rows]


async def read_content(
    pool: asyncpg.Pool, owner: str, corpus: str, document_id: UUID
) -> tuple[dict[str, Any], list[Piece]]:
    """Return a document, and the texts of all its chunks.

    Raises
    ------
    CorpusNotFoundError, DocumentNotFoundError
        If it is not there, or another owner's.
    TooLargeError
        If they are longer than is put together at once.
    """
    with read_span("document.content", corpus), store_errors():
        document = await _document(pool, owner, corpus, document_id)
        characters = await pool.fetchval(COUNT_CHARACTERS, owner, corpus, document_id)
        if characters > CONTENT_MAX_CHARACTERS:
            raise TooLargeError(
                f"the document's chunks have {characters} characters, and {CONTENT_MAX_CHARACTERS} is the most that is put "
                "together; read them in pages, at the document's own address"
            )
        rows = await pool.fetch(READ_TEXTS, owner, corpus, document_id)
    return document, [_piece(row) for row in rows]


async def read_windows(connection: Any, scope: Scope, windows: Sequence[Window]) -> dict[UUID, list[Piece]]:
    """Return documents' chunks within windows, by document, in their order, each once."""
    rows = await connection.fetch(
        READ_WINDOWS,
        scope.owner,
        scope.corpora,
        [window.document_id for window in windows],
        [window.first for window in windows],
        [window.last for window in windows],
    )
    found: dict[UUID, dict[int, Piece]] = {}
    for row in rows:
        found.setdefault(row["document_id"], {}).setdefault(row["chunk_index"], _piece(row))
    return {document: [pieces[index] for index in sorted(pieces)] for document, pieces in found.items()}


async def read_fences(connection: Any, scope: Scope, document_id: UUID, before: int) -> list[Piece]:
    """Return the chunks before one that may have fences of code, in their order; of very many only the last."""
    rows = await connection.fetch(READ_FENCES, scope.owner, scope.corpora, document_id, before, MAX_FENCES)
    return [_piece(row) for row in reversed(rows)]


async def read_vector(
    pool: asyncpg.Pool, scope: Scope, corpora: Sequence[str], document_id: UUID, chunk_index: int
) -> tuple[int, HalfVector]:
    """Return a chunk's id and vector.

    Raises
    ------
    DocumentNotFoundError
        If there is no such chunk with a vector of the model, or it is another owner's.
    """
    with store_errors():
        row = await pool.fetchrow(READ_VECTOR, scope.owner, corpora, document_id, chunk_index, scope.model.id)
    if row is None:
        raise DocumentNotFoundError(
            f"there is no chunk {chunk_index} of a document {document_id} in {', '.join(corpora)}"
        )
    return row["id"], row["embedding"]


async def read_metadata(
    connection: Any, scope: Scope, documents: Collection[UUID], keys: Sequence[str]
) -> list[list[Any]]:
    """Return what each document's metadata has under some keys, `None` where it has nothing."""
    rows = await connection.fetch(READ_METADATA, scope.owner, scope.corpora, list(documents), keys)
    return [list(row["found"]) for row in rows]


async def _document(pool: asyncpg.Pool, owner: str, corpus: str, document_id: UUID) -> dict[str, Any]:
    await get_corpora(pool, owner, [corpus])
    row = await pool.fetchrow(READ_DOCUMENT, owner, corpus, document_id)
    if row is None:
        raise DocumentNotFoundError(f"the corpus {corpus!r} has no document {document_id}")
    return dict(row)


def _piece(row: asyncpg.Record) -> Piece:
    return Piece(row["chunk_index"], row["start_offset"], row["end_offset"], row["text"])
