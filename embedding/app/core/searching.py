"""A search: which legs run, whether the vector index is asked, and how their orders become one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pgvector import HalfVector

from app.core.answers.look import Look
from app.core.queries import ParsedQuery
from app.core.ranking import DEPTH, Candidate, by_vector, by_words, fuse
from app.core.storage import search as storage
from app.core.storage.matching import having, matching
from app.core.storage.search import Scope
from ml_shared.contracts.embedding import SearchMode


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for. `vector` is `None` where only words count, `languages` are those of the corpora."""

    parsed: ParsedQuery
    vector: HalfVector | None
    mode: SearchMode
    languages: Sequence[str] = ()


async def candidates(
    connection: Any, scope: Scope, query: Query, look: Look, *, rows: int, exact_max_rows: int
) -> list[Candidate]:
    """Return the chunks that a search finds, best first, each with its place in either leg: as many whatever `top_k` is.

    Parameters
    ----------
    rows
        How many chunks the corpora hold, all in all.
    exact_max_rows
        Up to this many chunks, after the filters, are compared one by one: that is exact, and faster than an index
        scan that skips other owners' rows.
    """
    nearest: list[Candidate] = []
    if query.vector is not None:
        with look.timed("vector"):
            nearest = await _nearest(connection, scope, query.vector, rows=rows, exact_max_rows=exact_max_rows)
        look.saw(nearest, DEPTH)
    if query.mode is SearchMode.VECTOR:
        return by_vector(nearest)
    with look.timed("text"):
        found = await matching(connection, scope, query.parsed, query.languages, rows=rows, limit=DEPTH)
    look.saw(found, DEPTH)
    if query.mode is SearchMode.TEXT:
        return by_words(found)
    with look.timed("fuse"):
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
