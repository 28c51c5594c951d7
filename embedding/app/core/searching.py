"""A search: which legs run, whether the vector index is asked, and how their orders become one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
from pgvector import HalfVector

from app.core.metrics import SEARCH_SECONDS
from app.core.ranking import Candidate, fuse
from app.core.storage import search as storage
from app.core.storage.search import Scope
from ml_shared.contracts.embedding import SearchHit, SearchMode
from ml_shared.names import Operation, RequestMode
from ml_shared.telemetry import attributes
from ml_shared.telemetry.spans import Value, work_span

SEARCH_SPAN: Final = "search.query"

MIN_CANDIDATES = 50
CANDIDATES_PER_RESULT = 3
# each leg looks deeper than the answer, or a passage that is good in both but first in neither is lost
MIN_SHARE_OF_BEST_MATCH = 0.5
# a passage with only a query's common words would else, found by both legs, outrank the one that has its rare word


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for. `vector` is `None` where only words count."""

    text: str
    vector: HalfVector | None
    mode: SearchMode
    top_k: int
    min_score: float | None


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
            rows = await storage.count_rows(connection, scope, rows)
            rankings = await _rankings(connection, scope, query, rows, exact=rows <= exact_max_rows)
            best = fuse(rankings) if len(rankings) > 1 else rankings[0]
            if query.min_score is not None:
                best = [candidate for candidate in best if candidate.score >= query.min_score]
            best = best[: query.top_k]
            shown = await storage.passages(connection, scope, best) if best else {}
    return [_hit(candidate, shown[candidate.id]) for candidate in best]


async def _rankings(
    connection: Any, scope: Scope, query: Query, rows: int, *, exact: bool
) -> Sequence[list[Candidate]]:
    depth = query.top_k
    if query.mode is SearchMode.HYBRID:
        depth = max(MIN_CANDIDATES, query.top_k * CANDIDATES_PER_RESULT)
    rankings = []
    if query.vector is not None:
        found = await storage.nearest(connection, scope, query.vector, limit=depth, exact=exact)
        if not exact and len(found) < min(depth, rows):
            # the index gave up among other owners' rows: slow and whole is better than too little without a word
            found = await storage.nearest(connection, scope, query.vector, limit=depth, exact=True)
        rankings.append(found)
    if query.mode is not SearchMode.VECTOR:
        found = await storage.matching(connection, scope, query.text, rows=rows, limit=depth)
        rankings.append(found if query.mode is SearchMode.TEXT else _telling(found))
    return rankings


def _telling(found: list[Candidate]) -> list[Candidate]:
    """Return the matches by words that say something, given the best one."""
    return [candidate for candidate in found if candidate.score >= found[0].score * MIN_SHARE_OF_BEST_MATCH]


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
