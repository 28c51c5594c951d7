"""A search: which legs run, whether the vector index is asked, and how their orders become one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pgvector import HalfVector

from app.core.answers.look import Look
from app.core.queries import ParsedQuery
from app.core.ranking import DEPTH, Candidate, by_vector, by_words, fuse
from app.core.storage import search as storage
from app.core.storage.matching import having, matching
from app.core.storage.models import Model
from app.core.storage.search import Scope
from ml_shared.contracts.embedding import SearchMode


@dataclass(frozen=True, slots=True)
class Beside:
    """Corpora that answer from another model than the others, the query's vector of that model, and how many chunks they hold."""

    corpora: Sequence[str]
    model: Model
    vector: HalfVector
    rows: int


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for. `vector` is `None` where only words count, `languages` are those of the corpora.

    Attributes
    ----------
    decided
        Whether a look has found out that its phrases stand somewhere, or has taken them for words.
    """

    parsed: ParsedQuery
    vector: HalfVector | None
    mode: SearchMode
    languages: Sequence[str] = ()
    beside: Sequence[Beside] = ()
    decided: bool = False

    def after(self, look: Look) -> "Query":
        """Return what the next look looks for: by its phrases if the first found any, else by their words."""
        return replace(self, parsed=self.parsed.without_phrases() if look.loosened else self.parsed, decided=True)


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
            nearest = await _nearest_of_all(connection, scope, query, rows=rows, exact_max_rows=exact_max_rows)
    if query.mode is SearchMode.VECTOR:
        look.saw(nearest, DEPTH)
        return by_vector(nearest)
    found = await _matching(connection, scope, query, look, rows=rows)
    if query.mode is SearchMode.TEXT:
        return by_words(found)
    if query.parsed.phrases and not found and not query.decided:
        # people quote the label of a button, too: an answer to its words is better than none
        look.loosened = True
        query = query.after(look)
        found = await _matching(connection, scope, query, look, rows=rows)
    if not query.parsed.phrases:  # else words alone tell what is found, and what has a phrase may be near as well
        look.saw(nearest, DEPTH)
    with look.timed("fuse"):
        nearest = await _allowed(connection, scope, query, nearest, found)
        return fuse(nearest, found, meaning=query.parsed.meaning_share)


async def _matching(connection: Any, scope: Scope, query: Query, look: Look, *, rows: int) -> list[Candidate]:
    with look.timed("text"):
        found, whole = await matching(connection, scope, query.parsed, query.languages, rows=rows, limit=DEPTH)
    look.saw(found, DEPTH)
    look.bounded = look.bounded or not whole
    return found


async def _nearest_of_all(
    connection: Any, scope: Scope, query: Query, *, rows: int, exact_max_rows: int
) -> list[Candidate]:
    """Return the nearest of each model's corpora in one order, each model's similarities brought to the range of the first's."""
    assert query.vector is not None  # noqa: S101 - else nobody asks
    apart = {corpus for part in query.beside for corpus in part.corpora}
    rest = replace(scope, corpora=[corpus for corpus in scope.corpora if corpus not in apart])
    left = rows - sum(part.rows for part in query.beside)
    found = await nearest_in(connection, rest, query.vector, rows=left, exact_max_rows=exact_max_rows)
    for part in query.beside:
        there = replace(scope, corpora=part.corpora, model=part.model)
        more = await nearest_in(connection, there, part.vector, rows=part.rows, exact_max_rows=exact_max_rows)
        found = sorted([*found, *_like(more, found)], key=lambda one: (-one.score, one.id))[:DEPTH]
    return found


def _like(ranking: Sequence[Candidate], other: Sequence[Candidate]) -> list[Candidate]:
    """Return an order with its scores brought to the range of another's: of two models' cosines neither is comparable."""
    if not ranking or not other:
        return list(ranking)
    lowest, span = ranking[-1].score, ranking[0].score - ranking[-1].score
    floor, width = other[-1].score, other[0].score - other[-1].score
    return [one._replace(score=floor + width * ((one.score - lowest) / span if span > 0 else 1.0)) for one in ranking]


async def nearest_in(
    connection: Any, scope: Scope, vector: HalfVector, *, rows: int, exact_max_rows: int
) -> list[Candidate]:
    """Return the chunks of a scope that are nearest to a vector of its model."""
    left = await storage.count_left(connection, scope, rows)
    exact = left.rows <= exact_max_rows
    found = await storage.nearest(connection, scope, vector, left=left, limit=DEPTH, exact=exact)
    if not exact and len(found) < min(DEPTH, left.rows):
        # the index gave up among other owners' rows: slow and whole is better than too little without a word
        found = await storage.nearest(connection, scope, vector, left=left, limit=DEPTH, exact=True)
    return found


async def _allowed(
    connection: Any, scope: Scope, query: Query, nearest: list[Candidate], found: list[Candidate]
) -> list[Candidate]:
    """Return the nearest that have the query's phrases, and nothing that it leaves out: only words can tell."""
    if query.parsed.phrases:
        having_phrases = {candidate.id for candidate in found}
        return [candidate for candidate in nearest if candidate.id in having_phrases]
    left_out, phrases = query.parsed.left_out(query.languages), query.parsed.left_out_phrases
    if left_out or phrases:
        there = await having(connection, scope, left_out, nearest, phrases=phrases)
        return [candidate for candidate in nearest if candidate.id not in there]
    return nearest
