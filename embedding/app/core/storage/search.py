"""Finding chunks by their vectors, and what is shown of those that were found. Every statement names the owner."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
from pgvector import HalfVector

from app.core.ranking import Candidate
from app.core.storage.models import Model
from app.core.storage.pool import store_errors
from app.core.storage.segments import ready_segments
from ml_shared.contracts.embedding import SearchFilters
from ml_shared.contracts.values import storable
from ml_shared.web.urls import normalise_prefix

EF_SEARCH = 100
# as deep as a leg is looked at: a recall@10 of 0.94 at 5 ms
MAX_SCAN_TUPLES = 60_000
# how far an index scan goes on past rows outside the scope before it gives up
LEAST_SCAN_TUPLES = 1_000
SCAN_MARGIN = 4
# As many times as far as it has to go where a scope's rows are spread evenly. An owner's corpora come one after the other, so a segment
# may have nothing of a corpus: without this bound each of these was read as far as is allowed, 70 ms
READ_TO_DOCUMENTS = 2
# A row that an index hands out is filtered by a look at its document, or in what the filters leave, made beforehand: the first takes
# twice as long as making one of these. Of a tenth in large documents the latter is a fifth faster
SCAN_MEMORY_IN_WORK_MEM = 8
# with pgvector's default, 1, a scan ended before 30,000 rows: 4 MB were full

# What holds for every statement of a search. Compiling one takes longer than it runs. A plan that is made once for all owners, as
# PostgreSQL does from a connection's sixth search on, reads all that an owner has where a corpus was asked for: 33 ms where this
# is 4. And a scan of the whole table, which it takes for cheaper than 9,000 rows by their key while the table has ten times as many,
# takes 27 ms where this is 9; with helpers it takes both cores, which others search with.
PLANNING = (
    "SET LOCAL jit = off; SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL enable_seqscan = off; "
    "SET LOCAL max_parallel_workers_per_gather = 0; "
    f"SET LOCAL hnsw.iterative_scan = relaxed_order; SET LOCAL hnsw.ef_search = {EF_SEARCH}; "
    f"SET LOCAL hnsw.max_scan_tuples = {MAX_SCAN_TUPLES}; SET LOCAL hnsw.scan_mem_multiplier = {SCAN_MEMORY_IN_WORK_MEM}"
)

EXACT = """
    SELECT c.corpus, c.document_id, c.id, {distance} AS distance
    FROM vectors c {join}
    WHERE c.owner = $2 AND c.corpus = ANY($3::text[]) AND c.model_id = {model_id} {stretch} {where}
"""
BY_INDEX = EXACT + "ORDER BY {distance} LIMIT $4"

# By OFFSET the distances are made before anything is sorted by them, so that no plan asks a vector index
NEAREST_EXACT = f"""
SELECT corpus, document_id, id, 1 - distance AS score FROM ({EXACT} OFFSET 0) AS scope ORDER BY distance, id LIMIT $4
"""  # noqa: S608 - a statement of our own

# Each segment's index is asked, and the tail compared. relaxed_order hands rows out almost in order: all are sorted once more.
NEAREST_BY_INDEX = """
WITH {parts}
SELECT corpus, document_id, id, 1 - distance AS score FROM ({every}) AS found ORDER BY distance, id LIMIT $4
"""

# By each chunk's whole key: lists of documents and of ids beside each other are asked for in every pairing
PASSAGES = """
SELECT c.id, c.text, c.heading_path, c.context, c.start_offset, c.end_offset, c.chunk_index, c.corpus, c.document_id,
       documents.url, documents.title, documents.metadata, documents.trace_id
FROM unnest($3::uuid[], $4::bigint[]) AS found (document_id, id)
CROSS JOIN LATERAL (
    SELECT * FROM chunks
    WHERE owner = $1 AND corpus = ANY($2::text[]) AND document_id = found.document_id AND chunks.id = found.id OFFSET 0
) AS c JOIN documents
  ON documents.owner = c.owner AND documents.corpus = c.corpus AND documents.id = c.document_id
"""

JOIN_DOCUMENTS = (
    "JOIN documents ON documents.owner = c.owner AND documents.corpus = c.corpus AND documents.id = c.document_id"
)
FILTERED_DOCUMENTS = (
    "SELECT documents.id FROM documents "
    "WHERE documents.owner = ${owner} AND documents.corpus = ANY(${corpora}::text[]){where}"
)
FILTERED_ROWS = """
SELECT coalesce(sum(documents.chunk_count), 0), count(*) FROM documents
WHERE documents.owner = $1 AND documents.corpus = ANY($2::text[]) AND documents.indexed_at IS NOT NULL {where}
"""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a search looks: one owner's corpora, one model, and the documents that the filters leave."""

    owner: str
    corpora: Sequence[str]
    model: Model
    filters: SearchFilters | None = None
    passed: "Passed" = field(default_factory=lambda: Passed())

    def conditions(self, first: int) -> "Conditions":
        """SQL of the filters, and of what is passed over, for chunks `c`; its parameters numbered from `first`."""
        conditions = Conditions(self.filters, first)
        conditions.pass_over(self.passed, document="c.document_id", chunk="c.id")
        return conditions


@dataclass(frozen=True, slots=True)
class Passed:
    """What a search that looks further leaves aside: documents of which it has enough, and chunks that it has seen."""

    documents: frozenset[UUID] = frozenset()
    chunks: frozenset[int] = frozenset()


@dataclass(slots=True)
class Conditions:
    """SQL of what the filters ask of a document, and its parameters."""

    filters: SearchFilters | None
    first: int
    parameters: list[Any] = field(default_factory=list)
    where: str = ""
    join: str = field(default="", init=False)
    """What the filters need beside a table `c`."""
    _of_documents: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.filters is None:
            return
        if self.filters.url_prefix:
            self._add("starts_with(documents.url, {0}::text)", normalise_prefix(storable(self.filters.url_prefix)))
        if self.filters.language:
            # `en` finds en-IE as well
            self._add(
                "(lower(documents.language) = {0} OR starts_with(lower(documents.language), {0} || '-'))",
                storable(self.filters.language).lower(),
            )
        if self.filters.fetched_after is not None:
            self._add("documents.fetched_at > {0}", self.filters.fetched_after)
        if self.filters.fetched_before is not None:
            self._add("documents.fetched_at < {0}", self.filters.fetched_before)
        if self.filters.metadata:
            self._add("documents.metadata @> {0}::jsonb", self.filters.metadata)
        if self.where:
            self.join = JOIN_DOCUMENTS
        self._of_documents = len(self.where)

    def looked_up(self, *, owner: int) -> str:
        """Return the same without a join; the owner is parameter number `owner`, and the corpora are the next.

        What the filters leave is made once, and looked up for each row that something else has found. A plan with a join would
        rather begin there, and read all that these documents have for each of many words.
        """
        if not self.join:
            return self.where
        left = FILTERED_DOCUMENTS.format(owner=owner, corpora=owner + 1, where=self.where[: self._of_documents])
        # not a plain AND, which PostgreSQL would make a join of
        return f" AND (c.document_id IN ({left})) IS TRUE{self.where[self._of_documents :]}"

    def _add(self, condition: str, value: Any) -> None:
        placeholder = f"${self.first + len(self.parameters)}"
        self.where += f" AND {condition.format(placeholder)}"
        self.parameters.append(value)

    def pass_over(self, passed: "Passed", *, document: str, chunk: str | None) -> None:
        """Leave aside what is passed over; `document` and `chunk` are SQL of their ids."""
        if passed.documents:
            self._add(f"{document} <> ALL({{0}}::uuid[])", sorted(passed.documents))
        if passed.chunks and chunk is not None:
            self._add(f"{chunk} <> ALL({{0}}::bigint[])", sorted(passed.chunks))


@asynccontextmanager
async def snapshot(pool: asyncpg.Pool) -> AsyncIterator[Any]:
    """A read-only transaction in which every statement sees the same rows."""
    with store_errors():
        async with pool.acquire() as connection:
            # the settings go along with the transaction's beginning: a statement less
            await connection.execute(f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {PLANNING}")
            try:
                yield connection
            finally:
                if not connection.is_closed():
                    await connection.execute("ROLLBACK")  # there is nothing to commit


class Left(NamedTuple):
    """What a search has to look at: so many chunks, in so many documents where anything is filtered."""

    rows: int
    documents: int | None = None


async def count_left(connection: Any, scope: Scope, total: int) -> Left:
    """Return what the filters leave of so many chunks."""
    conditions = Conditions(scope.filters, 3)
    conditions.pass_over(scope.passed, document="documents.id", chunk=None)
    if not conditions.where:
        return Left(max(0, total - len(scope.passed.chunks)))
    rows, documents = await connection.fetchrow(
        FILTERED_ROWS.format(where=conditions.where), scope.owner, scope.corpora, *conditions.parameters
    )
    return Left(max(0, rows - len(scope.passed.chunks)), documents)


async def nearest(
    connection: Any, scope: Scope, vector: HalfVector, *, left: Left, limit: int, exact: bool
) -> list[Candidate]:
    """Return the chunks nearest to a vector, with their cosine similarity, best first.

    Parameters
    ----------
    left
        What the scope has.
    exact
        Compare every row; else ask the owner's vector indexes, which may miss some, and answer fewer than there are when more
        rows outside the scope lie nearer than they pass, and compare the rows that no index has yet.
    """
    conditions = scope.conditions(5)
    segments = [] if exact else await ready_segments(connection, scope.owner, scope.model)
    spelled = {
        "distance": scope.model.distance,
        "model_id": scope.model.id,
        "join": conditions.join,
        "where": conditions.where,
    }
    if segments:
        # a sort beside the index is what a plan would otherwise reach for, and that reads every row
        read = limit * sum(built for _, _, built in segments) / max(left.rows, 1)
        if left.documents is not None and left.documents < READ_TO_DOCUMENTS * read:
            spelled |= {"join": "", "where": conditions.looked_up(owner=2)}
        tuples = round(min(max(SCAN_MARGIN * read, LEAST_SCAN_TUPLES), MAX_SCAN_TUPLES))
        await connection.execute(f"SET LOCAL enable_sort = off; SET LOCAL hnsw.max_scan_tuples = {tuples}")
        statement = _by_index(segments, spelled)
    else:
        statement = NEAREST_EXACT.format(stretch="", **spelled)
    found = await connection.fetch(statement, vector, scope.owner, scope.corpora, limit, *conditions.parameters)
    if segments:
        await connection.execute("SET LOCAL enable_sort = on")
    return [candidate_of(row) for row in found]


def _by_index(segments: Sequence[tuple[int, int, int]], spelled: dict[str, Any]) -> str:
    """Return a statement that asks each segment's index, spelled as the index' own predicate has it, and compares the tail."""
    parts = {
        f"segment_{number}": BY_INDEX.format(stretch=f"AND c.id > {after} AND c.id <= {up_to}", **spelled)
        for number, (after, up_to, _) in enumerate(segments)
    }
    parts["tail"] = EXACT.format(stretch=f"AND c.id > {segments[-1][1]}", **spelled)
    return NEAREST_BY_INDEX.format(
        parts=", ".join(f"{name} AS MATERIALIZED ({part})" for name, part in parts.items()),
        every=" UNION ALL ".join(f"SELECT * FROM {name}" for name in parts),  # noqa: S608 - names of our own
    )


async def passages(connection: Any, scope: Scope, candidates: Sequence[Candidate]) -> dict[int, dict[str, Any]]:
    """Return what is shown of these chunks, by id."""
    rows = await connection.fetch(
        PASSAGES,
        scope.owner,
        scope.corpora,
        [candidate.document_id for candidate in candidates],
        [candidate.id for candidate in candidates],
    )
    return {row["id"]: dict(row) for row in rows}


def candidate_of(row: asyncpg.Record) -> Candidate:
    """Return a row of a leg's statement as a candidate."""
    return Candidate(row["id"], row["document_id"], float(row["score"]))
