"""A search: which legs run, whether the vector index is asked, and how their orders become one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import asyncpg
from pgvector import HalfVector

from app.core.metrics import SEARCH_SECONDS
from app.core.queries import ParsedQuery
from app.core.ranking import DEPTH, Candidate, by_vector, by_words, fuse
from app.core.storage import search as storage
from app.core.storage.matching import having, matching
from app.core.storage.search import Scope
from ml_shared.contracts.embedding import SearchHit, SearchMode
from ml_shared.names import Operation, RequestMode
from ml_shared.telemetry import attributes
from ml_shared.telemetry.spans import Value, work_span

SEARCH_SPAN: Final = "search.query"


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for. `vector` is `None` where only words count, `languages` are those of the corpora."""

    parsed: ParsedQuery
    vector: HalfVector | None
    mode: SearchMode
    top_k: int
    min_score: float | None
    languages: Sequence[str] = ()


async def search(pool: asyncpg.Pool, scope: Scope, query: Query, *, rows: int, exact_max_rows: int) -> list[SearchHit]:
    """Return the best passages of a scope, best first.

    Parameters
    ----------
    rows
        How many chunks the corpora hold, all in all.
    exact_max_rows
        Up to this many chunks, after the filters, are compared one by one: that is exact, and faster than an index
        scan that skips other owners' rows.
    """
    known: dict[str, Value] = {
        attributes.JOB_STAGE: attributes.JobStage.READ,
        attributes.OPERATION: Operation.READ.value,
        attributes.REQUEST_MODE: RequestMode.SYNC.value,
        attributes.CORPUS_NAME: ",".join(scope.corpora),
        attributes.EMBEDDING_MODEL: scope.model.name,
        attributes.SEARCH_TOP_K: query.top_k,
        attributes.SEARCH_MODE: query.mode.value,
    }
    with work_span(SEARCH_SPAN, attributes=known), SEARCH_SECONDS[query.mode].time():
        async with storage.snapshot(pool) as connection:
            best = await candidates(connection, scope, query, rows=rows, exact_max_rows=exact_max_rows)
            if query.min_score is not None:
                best = [candidate for candidate in best if candidate.score >= query.min_score]
            best = best[: query.top_k]
            shown = await storage.passages(connection, scope, best) if best else {}
    return [_hit(candidate, shown[candidate.id]) for candidate in best]


async def candidates(connection: Any, scope: Scope, query: Query, *, rows: int, exact_max_rows: int) -> list[Candidate]:
    """Return the chunks that a search finds, best first, each with its place in either leg: as many whatever `top_k` is."""
    nearest: list[Candidate] = []
    if query.vector is not None:
        nearest = await _nearest(connection, scope, query.vector, rows=rows, exact_max_rows=exact_max_rows)
    if query.mode is SearchMode.VECTOR:
        return by_vector(nearest)
    found = await matching(connection, scope, query.parsed, query.languages, rows=rows, limit=DEPTH)
    if query.mode is SearchMode.TEXT:
        return by_words(found)
    if query.parsed.phrases and not found:
        # people quote the label of a button, too: an answer to its words is better than none
        query = replace(query, parsed=query.parsed.without_phrases())
        found = await matching(connection, scope, query.parsed, query.languages, rows=rows, limit=DEPTH)
    nearest = await _allowed(connection, scope, query, nearest, found)
    return fuse(nearest, found, meaning=query.parsed.meaning_share)


async def _nearest(
    connection: Any, scope: Scope, vector: HalfVector, *, rows: int, exact_max_rows: int
) -> list[Candidate]:
    rows = await storage.count_rows(connection, scope, rows)
    exact = rows <= exact_max_rows
    found = await storage.nearest(connection, scope, vector, limit=DEPTH, exact=exact)
    if not exact and len(found) < min(DEPTH, rows):
        # the index gave up among other owners' rows: slow and whole is better than too little without a word
        found = await storage.nearest(connection, scope, vector, limit=DEPTH, exact=True)
    return found


async def _allowed(
    connection: Any, scope: Scope, query: Query, nearest: list[Candidate], found: list[Candidate]
) -> list[Candidate]:
    """Return the nearest that have the query's phrases, and nothing that it leaves out: only words can tell."""
    if query.parsed.phrases:
        having_phrases = {candidate.id for candidate in found}
        return [candidate for candidate in nearest if candidate.id in having_phrases]
    if left_out := query.parsed.left_out(query.languages):
        there = await having(connection, scope, left_out, nearest)
        return [candidate for candidate in nearest if candidate.id not in there]
    return nearest


def _hit(candidate: Candidate, passage: dict[str, Any]) -> SearchHit:
    return SearchHit(
        score=round(candidate.score, 6),
        text=passage["text"],
        url=passage["url"],
        title=passage["title"],
        heading_path=passage["heading_path"],
        start=passage["start_offset"],
        end=passage["end_offset"],
        document_id=str(passage["document_id"]),
        chunk_index=passage["chunk_index"],
        corpus_name=passage["corpus"],
        trace_id=passage["trace_id"],
        metadata=passage["metadata"],
    )
