"""Giving corpora vectors of another model, and letting them answer from these."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg
from pgvector import HalfVector

from app.core.storage.models import Model
from app.core.storage.pool import store_errors

CHANGING: Final = 0x6D6C_7265  # "mlre": one change at a time on a database
DELETED_AT_ONCE: Final = 5_000
FIRST: Final = (UUID(int=0), -1)
# before all chunks

CORPORA: Final = """
SELECT owner, corpora.name, models.name AS model, chunk_count AS chunks FROM corpora LEFT JOIN models ON models.id = model_id
WHERE live AND chunk_count > 0 AND model_id IS DISTINCT FROM $1
  AND ($2::text IS NULL OR owner = $2) AND ($3::text IS NULL OR corpora.name = $3)
ORDER BY owner, corpora.name
"""
# of chunks that have no vector of the model yet
_LACKING: Final = """
FROM chunks c WHERE c.owner = $1 AND c.corpus = $2 AND NOT EXISTS (
    SELECT FROM vectors v WHERE (v.owner, v.corpus, v.document_id, v.id, v.model_id) = (c.owner, c.corpus, c.document_id, c.id, $3)
)
"""
COUNT_LACKING: Final = f"""
SELECT count(*) AS chunks, coalesce(sum(token_count), 0)::bigint AS tokens, count(*) FILTER (WHERE token_count > $4) AS too_long
{_LACKING}
"""
NEXT_LACKING: Final = f"""
SELECT c.document_id, c.id, c.text, c.token_count, c.heading_path, c.context {_LACKING} AND (c.document_id, c.id) > ($4, $5)
ORDER BY c.document_id, c.id LIMIT $6
"""
# of chunks that are still there: a document may be replaced while its texts are at the endpoint
ADD_VECTORS: Final = """
INSERT INTO vectors (owner, corpus, document_id, id, model_id, embedding)
SELECT c.owner, c.corpus, c.document_id, c.id, $3, made.embedding
FROM unnest($4::uuid[], $5::bigint[], $6::halfvec[]) AS made (document_id, id, embedding)
JOIN chunks c ON c.owner = $1 AND c.corpus = $2 AND c.document_id = made.document_id AND c.id = made.id
FOR KEY SHARE OF c
ON CONFLICT DO NOTHING
"""
# Writers hold a key-share lock on the row from before they look which model it names, until their vectors are there
LOCK_CORPUS: Final = "SELECT chunk_count FROM corpora WHERE owner = $1 AND name = $2 AND live FOR UPDATE"
SWITCH_CORPUS: Final = """
WITH documented AS (UPDATE documents SET model_id = $3, passage_prefix = $4 WHERE owner = $1 AND corpus = $2 AND indexed_at IS NOT NULL)
UPDATE corpora SET model_id = $3, switched = true, updated_at = now() WHERE owner = $1 AND name = $2
"""
SAMPLE: Final = """
SELECT embedding FROM vectors WHERE owner = $1 AND corpus = $2 AND model_id = $3 ORDER BY md5(id::text) LIMIT $4
"""
REMAINING: Final = """
SELECT count(*) AS corpora, coalesce(sum(chunk_count), 0)::bigint AS chunks
FROM corpora LEFT JOIN models ON models.id = model_id
WHERE live AND chunk_count > 0 AND models.name IS DISTINCT FROM $1
  AND ($2::text IS NULL OR owner = $2) AND ($3::text IS NULL OR corpora.name = $3)
"""
COUNT_VECTORS: Final = "SELECT count(*) FROM vectors WHERE owner = $1 AND corpus = ANY($2::text[]) AND model_id = $3"
ANSWERING: Final = "SELECT count(*) FROM corpora WHERE live AND model_id = $1"
RETIRE: Final = "UPDATE vector_segments SET state = 'retired' WHERE model_id = $1"
FORGET_SWITCHES: Final = "UPDATE corpora SET switched = false WHERE switched"
# a corpus may come, or change back, while this goes on: what it answers from stays
DROP_SOME: Final = """
DELETE FROM vectors WHERE ctid = ANY(ARRAY(
    SELECT v.ctid FROM vectors v WHERE model_id = $1 AND NOT EXISTS (
        SELECT FROM corpora c WHERE (c.owner, c.name, c.model_id) = (v.owner, v.corpus, v.model_id) AND live
    ) LIMIT $2
))
"""


@dataclass(frozen=True, slots=True)
class Changing:
    """A corpus that does not answer from the model that it is to answer from."""

    owner: str
    name: str
    model: str | None
    chunks: int


@dataclass(frozen=True, slots=True)
class Lacking:
    """What a corpus has no vectors of."""

    chunks: int
    tokens: int
    too_long: int


@dataclass(frozen=True, slots=True)
class Text:
    """A chunk's text, to be embedded."""

    document_id: UUID
    id: int
    text: str
    token_count: int
    heading_path: Sequence[str]
    context: str | None


async def changing(pool: asyncpg.Pool, model: Model, owner: str | None, corpus: str | None) -> list[Changing]:
    """Return the corpora that do not answer from a model: all, one owner's, or those of one name."""
    with store_errors():
        rows = await pool.fetch(CORPORA, model.id, owner, corpus)
    return [Changing(row["owner"], row["name"], row["model"], row["chunks"]) for row in rows]


async def remaining(pool: asyncpg.Pool, model: str, owner: str | None, corpus: str | None) -> tuple[int, int]:
    """Return how many corpora do not answer from a model, and their chunks."""
    with store_errors():
        row = await pool.fetchrow(REMAINING, model, owner, corpus)
    return row["corpora"], row["chunks"]


async def count_lacking(pool: asyncpg.Pool, corpus: Changing, model: Model, max_tokens: int) -> Lacking:
    """Return how much of a corpus has no vectors of a model, and how many of those texts it does not take."""
    with store_errors():
        row = await pool.fetchrow(COUNT_LACKING, corpus.owner, corpus.name, model.id, max_tokens)
    return Lacking(row["chunks"], row["tokens"], row["too_long"])


async def next_lacking(pool: Any, corpus: Changing, model: Model, after: tuple[UUID, int], limit: int) -> list[Text]:
    """Return some texts without a vector of a model, those after one."""
    with store_errors():
        rows = await pool.fetch(NEXT_LACKING, corpus.owner, corpus.name, model.id, *after, limit)
    return [Text(**row) for row in rows]


async def add_vectors(
    pool: Any, corpus: Changing, model: Model, texts: Sequence[Text], vectors: Sequence[HalfVector]
) -> None:
    """Keep texts' vectors, of those chunks that are still there."""
    with store_errors():
        await pool.execute(
            ADD_VECTORS,
            corpus.owner,
            corpus.name,
            model.id,
            [text.document_id for text in texts],
            [text.id for text in texts],
            list(vectors),
        )


async def switch(
    pool: asyncpg.Pool,
    corpus: Changing,
    model: Model,
    embed: Callable[[Sequence[Text]], Awaitable[Sequence[HalfVector]]],
    most: int,
    *,
    prefix: str = "",
) -> bool:
    """Let a corpus answer from a model, if at most so many of its chunks have no vectors of it yet; return whether that was so.

    What is being written ends first, and what is written afterwards has the model's vectors: nobody finds half a corpus. The
    corpus' writers wait while its last texts are embedded, or one that is written to all the time would never change.

    Parameters
    ----------
    prefix
        What is put before a passage for that model.
    """
    with store_errors():
        async with pool.acquire() as connection, connection.transaction():
            if await connection.fetchval(LOCK_CORPUS, corpus.owner, corpus.name) is None:
                return True  # it was deleted meanwhile
            lacking = await next_lacking(connection, corpus, model, FIRST, most + 1)
            if len(lacking) > most:
                return False
            if lacking:
                await add_vectors(connection, corpus, model, lacking, await embed(lacking))
            await connection.execute(SWITCH_CORPUS, corpus.owner, corpus.name, model.id, prefix)
    return True


async def sample(pool: asyncpg.Pool, corpus: Changing, model: Model, count: int) -> list[HalfVector]:
    """Return some of a corpus' vectors, the same each time."""
    with store_errors():
        return [row["embedding"] for row in await pool.fetch(SAMPLE, corpus.owner, corpus.name, model.id, count)]


async def count_vectors(pool: asyncpg.Pool, owner: str, corpora: Sequence[str], model: Model) -> int:
    """Return how many vectors of a model corpora have."""
    with store_errors():
        count: int = await pool.fetchval(COUNT_VECTORS, owner, corpora, model.id)
    return count


async def answering(pool: asyncpg.Pool, model: Model) -> int:
    """Return how many corpora answer from a model."""
    with store_errors():
        count: int = await pool.fetchval(ANSWERING, model.id)
    return count


async def retire_indexes(pool: asyncpg.Pool, model: Model) -> None:
    """Let go of a model's vector indexes."""
    with store_errors():
        await pool.execute(RETIRE, model.id)


async def forget_switches(pool: asyncpg.Pool) -> None:
    """Note that no corpus has a way back, so that nothing has to be kept from taking it."""
    with store_errors():
        await pool.execute(FORGET_SWITCHES)


async def drop_some(pool: asyncpg.Pool, model: Model) -> int:
    """Delete some of a model's vectors, none of a corpus that answers from it, and return how many."""
    with store_errors():
        status = await pool.execute(DROP_SOME, model.id, DELETED_AT_ONCE)
    return int(status.rpartition(" ")[2])
