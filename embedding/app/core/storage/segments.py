"""Vector indexes in segments: which there are, building one, and letting go of one.

A large owner has HNSW indexes of its own, each over a stretch of ids, and a tail after the last one. Nothing is right or wrong by
them: a search that finds no index for a stretch compares its rows.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from app.core.storage.models import Model, vector_bytes
from app.core.storage.pool import alone

HNSW_M: Final = 16
HNSW_EF_CONSTRUCTION: Final = 128
GRAPH_BYTES: Final = 600
# a row's share of the graph in memory, beside its vector
MEMORY_SHARE: Final = 0.9
# of maintenance_work_mem that a segment may fill: a graph that outgrows it is built many times slower

_MOVING: Final = 0x6D6C_7365  # "mlse": one mover at a time on a database

OWNERS: Final = """
SELECT owner, models.id, models.name, models.dimensions, sum(chunk_count)::bigint AS rows
FROM corpora JOIN models ON models.id = corpora.model_id
WHERE live GROUP BY owner, models.id
HAVING sum(chunk_count) > $1
    OR EXISTS (SELECT FROM vector_segments AS s WHERE s.owner = corpora.owner AND s.model_id = models.id)
ORDER BY owner, models.id
"""
SEGMENTS: Final = """
SELECT id, after_id, up_to_id, built FROM vector_segments
WHERE owner = $1 AND model_id = $2 AND state = 'ready' ORDER BY after_id
"""
COUNT_SEGMENTS: Final = """
SELECT s.id, s.after_id, s.up_to_id, s.built, (
    SELECT count(*) FROM vectors v
    WHERE v.owner = s.owner AND v.model_id = s.model_id AND v.id > s.after_id AND v.id <= s.up_to_id
) AS rows
FROM vector_segments s WHERE owner = $1 AND model_id = $2 AND state = 'ready' ORDER BY after_id
"""
COUNT_TAIL: Final = """
SELECT count(*) AS rows, max(id) AS last FROM vectors WHERE owner = $1 AND model_id = $2 AND id > $3
"""
NTH: Final = """
SELECT id FROM vectors WHERE owner = $1 AND model_id = $2 AND id > $3 ORDER BY id OFFSET $4 LIMIT 1
"""
TAILS: Final = f"""
SELECT large.name, max(tail.rows)::bigint AS rows, sum(large.segments)::bigint AS segments
FROM (
    SELECT of.*, (SELECT count(*) FROM vector_segments s
                  WHERE s.owner = of.owner AND s.model_id = of.id AND s.state = 'ready') AS segments
    FROM ({OWNERS}) AS of
) AS large CROSS JOIN LATERAL (
    SELECT count(*) AS rows FROM vectors v
    WHERE v.owner = large.owner AND v.model_id = large.id AND v.id > coalesce((
        SELECT max(up_to_id) FROM vector_segments s
        WHERE s.owner = large.owner AND s.model_id = large.id AND s.state = 'ready'), 0)
) AS tail
GROUP BY large.name
"""  # noqa: S608 - a statement of our own
RELATIONS: Final = """
SELECT relname AS name, pg_table_size(oid) AS rows, pg_indexes_size(oid) AS indexes FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relname IN ('vectors', 'chunks', 'chunk_terms', 'documents')
"""

BEGIN: Final = """
INSERT INTO vector_segments (owner, model_id, after_id, up_to_id, built, state)
VALUES ($1, $2, $3, $4, $5, 'building') RETURNING id
"""
PREDICATE: Final = (
    "SELECT format('model_id = %s AND owner = %L AND id > %s AND id <= %s', $1::int, $2::text, $3::bigint, $4::bigint)"
)
TAKE_OVER: Final = """
WITH done AS (UPDATE vector_segments SET state = 'retired' WHERE id = ANY($2::bigint[]))
UPDATE vector_segments SET state = 'ready', made_at = now() WHERE id = $1
"""
RETIRE: Final = "UPDATE vector_segments SET state = 'retired' WHERE id = ANY($1::bigint[])"
FORGET: Final = "DELETE FROM vector_segments WHERE id = ANY($1::bigint[])"
# what nobody uses: begun and not finished, replaced, or without a row
LEFT_OVER: Final = """
SELECT coalesce(s.id, substr(i.relname, length('vectors_segment_') + 1)::bigint) AS id
FROM (SELECT relname FROM pg_class WHERE relkind = 'i' AND relname ~ '^vectors_segment_[0-9]+$'
        AND relnamespace = current_schema()::regnamespace) AS i
FULL JOIN vector_segments AS s ON i.relname = 'vectors_segment_' || s.id
WHERE s.state IS DISTINCT FROM 'ready' OR i.relname IS NULL
"""


@dataclass(frozen=True, slots=True)
class Segment:
    """Vectors of an owner with `after < id <= up_to`, that have an index."""

    id: int
    after: int
    up_to: int
    built: int
    rows: int


@dataclass(frozen=True, slots=True)
class Holder:
    """An owner's vectors of one model: its segments in order, and what comes after them."""

    owner: str
    model: Model
    rows: int
    segments: Sequence[Segment]
    tail: int
    last: int
    """The highest id; what is written later has a higher one, or lies where an index takes it."""

    @property
    def end(self) -> int:
        """Where the tail begins."""
        return self.segments[-1].up_to if self.segments else 0


async def ready_segments(connection: Any, owner: str, model: Model) -> list[tuple[int, int, int]]:
    """Return the stretches of ids that have an index, in order, each with how many rows that was built with."""
    rows = await connection.fetch(SEGMENTS, owner, model.id)
    return [(row["after_id"], row["up_to_id"], row["built"]) for row in rows]


async def large_owners(connection: Any, more_than: int) -> list[tuple[str, Model, int]]:
    """Return the owners that have, or should have, indexes of their own: with how many vectors of which model."""
    rows = await connection.fetch(OWNERS, more_than)
    return [(row["owner"], Model(row["id"], row["name"], row["dimensions"]), row["rows"]) for row in rows]


async def read_holder(connection: Any, owner: str, model: Model) -> Holder:
    """Return what an owner has of a model, counted."""
    rows = await connection.fetch(COUNT_SEGMENTS, owner, model.id)
    segments = [Segment(row["id"], row["after_id"], row["up_to_id"], row["built"], row["rows"]) for row in rows]
    end = segments[-1].up_to if segments else 0
    tail = await connection.fetchrow(COUNT_TAIL, owner, model.id, end)
    total = tail["rows"] + sum(segment.rows for segment in segments)
    return Holder(owner, model, total, segments, tail["rows"], tail["last"] or end)


async def glance(connection: Any, owner: str, model: Model, rows: int) -> Holder:
    """Return what an owner has of a model as the corpora count it: of its segments only what they had when they were built."""
    found = await connection.fetch(SEGMENTS, owner, model.id)
    segments = [Segment(row["id"], row["after_id"], row["up_to_id"], row["built"], row["built"]) for row in found]
    end = segments[-1].up_to if segments else 0
    tail = await connection.fetchrow(COUNT_TAIL, owner, model.id, end)
    return Holder(owner, model, rows, segments, tail["rows"], tail["last"] or end)


async def are_left_over(connection: Any) -> bool:
    """Return whether there are indexes that nobody uses, or that are being built."""
    return bool(await connection.fetch(LEFT_OVER))


async def read_tails(pool: asyncpg.Pool, more_than: int) -> list[tuple[str, int, int]]:
    """Return for each model the longest tail of a large owner, and how many segments there are."""
    return [(row["name"], row["rows"], row["segments"]) for row in await pool.fetch(TAILS, more_than)]


async def read_relations(pool: asyncpg.Pool) -> list[tuple[str, int, int]]:
    """Return the bytes of the large tables, and of their indexes."""
    return [(row["name"], row["rows"], row["indexes"]) for row in await pool.fetch(RELATIONS)]


class Mover:
    """A connection that builds and drops indexes: the only one on its database."""

    def __init__(self, connection: Any, memory_bytes: int) -> None:
        self.connection = connection
        self._memory_bytes = memory_bytes

    def most_rows(self, model: Model) -> int:
        """Return how many vectors fit into the memory that an index is built in."""
        return int(self._memory_bytes * MEMORY_SHARE) // (vector_bytes(model.dimensions) + GRAPH_BYTES)

    async def build(self, holder: Holder, *, after: int, up_to: int, rows: int, instead_of: Sequence[Segment]) -> None:
        """Make a segment over a stretch of ids, while everything is read and written, and put it in place of others."""
        model = holder.model
        segment = await self.connection.fetchval(BEGIN, holder.owner, model.id, after, up_to, rows)
        stretch = await self.connection.fetchval(PREDICATE, model.id, holder.owner, after, up_to)
        await self.connection.execute(
            f"CREATE INDEX CONCURRENTLY {_index(segment)} ON vectors "
            f"USING hnsw ((embedding::halfvec({model.dimensions})) halfvec_cosine_ops) "
            f"WITH (m = {HNSW_M}, ef_construction = {HNSW_EF_CONSTRUCTION}) WHERE {stretch}"
        )
        await self.connection.execute(TAKE_OVER, segment, [one.id for one in instead_of])

    async def nth_id(self, holder: Holder, after: int, rows: int) -> int:
        """Return the id up to which an owner has so many vectors after another id."""
        found: int = await self.connection.fetchval(NTH, holder.owner, holder.model.id, after, rows - 1)
        return found

    async def retire(self, segments: Sequence[Segment]) -> None:
        """Let go of segments; their indexes go at the next clearing up."""
        await self.connection.execute(RETIRE, [one.id for one in segments])

    async def clear_up(self) -> int:
        """Drop the indexes that are not used: replaced ones, and what a mover left that was ended. Return how many."""
        left = [row["id"] for row in await self.connection.fetch(LEFT_OVER)]
        for segment in left:
            await self.connection.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {_index(segment)}")
        await self.connection.execute(FORGET, left)
        return len(left)


def _index(segment: int) -> str:
    return f"vectors_segment_{segment}"


@asynccontextmanager
async def moving(dsn: str, *, workers: int) -> AsyncIterator[Mover | None]:
    """Yield a mover, or `None` while another process has one.

    Parameters
    ----------
    workers
        Processes that PostgreSQL may build an index with, beside the connection's own.
    """
    async with alone(dsn, _MOVING, {"max_parallel_maintenance_workers": str(workers)}) as connection:
        if connection is None:
            yield None
            return
        memory = await connection.fetchval("SELECT pg_size_bytes(current_setting('maintenance_work_mem'))")
        yield Mover(connection, memory)
