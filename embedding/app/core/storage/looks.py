"""What a look at a page does to its document without making it anew: touching one that is as it was, removing one that is gone.

Both are ordered by when the page was asked for, as a replacement is, and by the orchestrator's clock alone: what is newer stays,
and the same again changes nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.found import Found
from app.core.storage.claims import DocumentWrite
from app.core.storage.corpora import DELETE_DOCUMENT_CHUNKS, SHARE_CORPUS, UNCOUNT_IN_CORPUS
from app.core.storage.models import Model
from app.core.storage.pool import store_errors
from app.core.storage.terms import renew_terms

# as a write does: the corpus first, whose model must not change meanwhile
_CORPUS: Final = "SELECT live, model_id, deleted_at FROM corpora WHERE owner = $1 AND name = $2 FOR KEY SHARE"
_DOCUMENT: Final = """
SELECT id, as_of, indexed_at IS NOT NULL AS live, deleted_at, model_id, content_hash, chunking_hash, passage_prefix, title,
       language, chunk_count, token_count
FROM documents WHERE owner = $1 AND corpus = $2 AND url = $3 FOR UPDATE
"""
# What indexed it stays named by its job and trace. What the look does not tell, a page that was not sent, stays as well.
_TOUCH: Final = """
UPDATE documents SET as_of = $4, submitted_at = $5, metadata = $6, fetched_at = coalesce($7, fetched_at),
    title = coalesce($8, title), language = coalesce($9, language), final_url = coalesce($10, final_url),
    canonical_url = coalesce($11, canonical_url), content_type = coalesce($12, content_type),
    author = coalesce($13, author), published_at = coalesce($14, published_at)
WHERE owner = $1 AND corpus = $2 AND id = $3
"""
_SAID: Final = (
    *("fetched_at", "title", "language", "final_url", "canonical_url", "content_type", "author", "published_at"),
)
# the tombstone is as old as the removal: whoever asks for the page afterwards gets it
_BURY: Final = """
UPDATE documents SET indexed_at = NULL, deleted_at = $4, as_of = $4, chunk_count = 0, token_count = 0, title = NULL,
                     final_url = NULL, canonical_url = NULL, author = NULL, metadata = '{}'
WHERE owner = $1 AND corpus = $2 AND id = $3
"""


@dataclass(frozen=True, slots=True)
class Touched:
    """What came of it; the document as it stands, if it was done."""

    found: Found
    document_id: UUID | None = None
    chunks: int = 0
    tokens: int = 0


async def touch_document(pool: asyncpg.Pool, write: DocumentWrite, model: Model) -> Touched:
    """Note that a document's page was looked at and is as it was, if the document is still what that look knew.

    Parameters
    ----------
    write
        What the document would be: its hashes and prefix are what has to stand there.
    model
        What its vectors would be made with.

    Raises
    ------
    StoreUnavailableError
        If the database does not answer.
    """
    with store_errors():
        async with pool.acquire() as connection, connection.transaction():
            corpus = await connection.fetchrow(_CORPUS, write.owner, write.corpus)
            if corpus is None:
                return Touched(Found.ABSENT)
            if _deleted_since(corpus["deleted_at"], write.submitted_at):
                return Touched(Found.SUPERSEDED)
            document = await connection.fetchrow(_DOCUMENT, write.owner, write.corpus, write.url)
            found = _standing(document, corpus, write, model)
            if found is Found.DONE:
                await _touch(connection, write, document)
                return Touched(found, document["id"], document["chunk_count"], document["token_count"])
            return Touched(found)


def _deleted_since(deleted_at: datetime | None, submitted_at: datetime) -> bool:
    return deleted_at is not None and deleted_at >= submitted_at


def _standing(document: asyncpg.Record | None, corpus: asyncpg.Record, write: DocumentWrite, model: Model) -> Found:
    if document is None:
        return Found.ABSENT
    if document["as_of"] > write.as_of or _deleted_since(document["deleted_at"], write.submitted_at):
        return Found.SUPERSEDED
    if not document["live"]:
        return Found.ABSENT
    stands = (document["model_id"], corpus["model_id"], document["content_hash"])
    if stands != (model.id, model.id, write.fields.get("content_hash")):
        return Found.DIFFERS
    made = (document["chunking_hash"], document["passage_prefix"])
    return Found.DONE if made == (write.chunking_hash, write.passage_prefix) else Found.DIFFERS


async def _touch(connection: Any, write: DocumentWrite, document: asyncpg.Record) -> None:
    key = (write.owner, write.corpus, document["id"])
    said = [write.fields.get(name) for name in _SAID]
    await connection.execute(_TOUCH, *key, write.as_of, write.submitted_at, dict(write.metadata), *said)
    title = write.fields.get("title") or document["title"]
    language = write.fields.get("language") or document["language"]
    if (title, language) != (document["title"], document["language"]):
        # a title's words are found as the text's are; no vector has it
        await renew_terms(connection, key, title=title, tag=language)


async def remove_document(pool: asyncpg.Pool, owner: str, corpus: str, url: str, as_of: datetime) -> Touched:
    """Remove a document, unless its page was looked at since; what was submitted before can't bring it back.

    Parameters
    ----------
    url
        Its normal form.
    as_of
        When it was found that the document has to go.

    Raises
    ------
    StoreUnavailableError
        If the database does not answer.
    """
    with store_errors():
        async with pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(SHARE_CORPUS, owner, corpus) is None:
                return Touched(Found.ABSENT)
            document = await connection.fetchrow(_DOCUMENT, owner, corpus, url)
            if document is None or not document["live"]:
                return Touched(Found.ABSENT)
            if document["as_of"] > as_of:
                return Touched(Found.SUPERSEDED)
            key = (owner, corpus, document["id"])
            await connection.execute(DELETE_DOCUMENT_CHUNKS, *key)
            await connection.execute(_BURY, *key, as_of)
            await connection.execute(UNCOUNT_IN_CORPUS, owner, corpus, document["chunk_count"], document["token_count"])
            return Touched(Found.DONE, document["id"])
