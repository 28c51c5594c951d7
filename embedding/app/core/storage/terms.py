"""The words of chunks as they are stored, and bringing older documents' to this version of them."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.storage.claims import LANGUAGES
from app.core.storage.pool import store_errors
from app.core.terms import VERSION, DocumentTerms, Passage

COLUMNS: Final = ("owner", "corpus", "document_id", "id", "length", "digest", "numbers")

MADE_AT_ONCE: Final = 8
# some milliseconds, in which nobody else has the process

FORGET_TERMS: Final = """
DELETE FROM chunk_terms WHERE owner = $1 AND corpus = $2 AND document_id = $3 AND id = ANY($4::bigint[])
"""

# A document that is being replaced is passed over: it comes out of that with its words of this version.
NEXT_OLDER_DOCUMENT: Final = """
SELECT owner, corpus, documents.id, title, language
FROM documents JOIN corpora USING (owner)
WHERE corpora.name = documents.corpus AND terms_version < $1 AND indexed_at IS NOT NULL
LIMIT 1 FOR UPDATE OF documents SKIP LOCKED FOR KEY SHARE OF corpora SKIP LOCKED
"""
CHUNKS_OF: Final = """
SELECT chunks.id, text, text_hash, heading_path, digest
FROM chunks LEFT JOIN chunk_terms USING (owner, corpus, document_id, id)
WHERE owner = $1 AND corpus = $2 AND document_id = $3 ORDER BY chunk_index
"""
RENEWED: Final = f"""
WITH renewed AS (UPDATE documents SET terms_version = $4 WHERE owner = $1 AND corpus = $2 AND id = $3)
UPDATE corpora SET languages = {LANGUAGES.format("$5")} WHERE owner = $1 AND name = $2 AND NOT $5 = ANY(languages)
"""  # noqa: S608 - an expression of our own


# What a worker of a version before words wrote over a document that had some: its chunks have none, and its version says otherwise
MARK_WORDLESS: Final = """
WITH looked AS MATERIALIZED (
    SELECT owner, corpus, id FROM documents
    WHERE (owner, corpus, id) > ($1, $2, $3) AND indexed_at IS NOT NULL AND terms_version > 0
    ORDER BY owner, corpus, id LIMIT $4
), marked AS (
    UPDATE documents SET terms_version = 0 FROM looked
    WHERE (documents.owner, documents.corpus, documents.id) = (looked.owner, looked.corpus, looked.id) AND EXISTS (
        SELECT FROM chunks c
        WHERE (c.owner, c.corpus, c.document_id) = (looked.owner, looked.corpus, looked.id) AND NOT EXISTS (
            SELECT FROM chunk_terms t
            WHERE (t.owner, t.corpus, t.document_id, t.id) = (c.owner, c.corpus, c.document_id, c.id)
        )
    )
    RETURNING true
)
SELECT owner, corpus, id, (SELECT count(*) FROM marked) AS marked FROM looked
ORDER BY owner DESC, corpus DESC, id DESC LIMIT 1
"""
LOOKED_AT_ONCE: Final = 200
FIRST: Final = ("", "", UUID(int=0))
# before all documents


async def mark_wordless(pool: asyncpg.Pool, after: tuple[str, str, UUID]) -> tuple[tuple[str, str, UUID], int] | None:
    """Look whether documents after one lack words that they should have, and have these made anew.

    Returns
    -------
    tuple or None
        The last document looked at, and how many lack some; `None` where there are no more.
    """
    with store_errors():
        row = await pool.fetchrow(MARK_WORDLESS, *after, LOOKED_AT_ONCE)
    return None if row is None else ((row["owner"], row["corpus"], row["id"]), row["marked"])


async def write_terms(
    connection: Any,
    key: tuple[str, str, UUID],
    terms: DocumentTerms,
    passages: Sequence[tuple[int, Passage]],
    *,
    known: Collection[int] = (),
) -> None:
    """Write the terms of some of a document's chunks, by id.

    Parameters
    ----------
    known
        Chunks that may have terms already: theirs are forgotten.
    """
    if stale := [chunk_id for chunk_id, _ in passages if chunk_id in known]:
        await connection.execute(FORGET_TERMS, *key, stale)
    if not passages:
        return
    records = []
    for place, (chunk_id, passage) in enumerate(passages):
        if place % MADE_AT_ONCE == 0:
            await asyncio.sleep(0)
        made = terms.made(passage)
        records.append((*key, chunk_id, made.length, terms.digest(passage.heading_path), made.numbers))
    await connection.copy_records_to_table("chunk_terms", columns=COLUMNS, records=records)


async def renew_terms(connection: Any, key: tuple[str, str, UUID], *, title: str | None, tag: str | None) -> int:
    """Make a document's words, as it stands, be those of this version under a title and a language; return its chunks.

    Part of a transaction that has the document's row, and shares its corpus'.
    """
    rows = await connection.fetch(CHUNKS_OF, *key)
    terms = DocumentTerms.of(*key[:2], title=title, tag=tag, texts=(row["text"] for row in rows))
    stale = [(row["id"], _Stored(row)) for row in rows if row["digest"] != terms.digest(row["heading_path"])]
    known = {row["id"] for row in rows if row["digest"] is not None}
    await write_terms(connection, key, terms, stale, known=known)
    await connection.execute(RENEWED, *key, VERSION, terms.language)
    return len(rows)


class _Stored:
    """A chunk as it stands."""

    def __init__(self, row: asyncpg.Record) -> None:
        self.text: str = row["text"]
        self.text_hash: bytes = row["text_hash"]
        self.heading_path: Sequence[str] = row["heading_path"]


async def renew_document(pool: asyncpg.Pool) -> int | None:
    """Bring one older document's words to this version.

    Returns
    -------
    int or None
        How many chunks it has; `None` where no document is older.
    """
    with store_errors():
        async with pool.acquire() as connection, connection.transaction():
            older = await connection.fetchrow(NEXT_OLDER_DOCUMENT, VERSION)
            if older is None:
                return None
            key = (older["owner"], older["corpus"], older["id"])
            return await renew_terms(connection, key, title=older["title"], tag=older["language"])
