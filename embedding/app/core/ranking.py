"""One order out of two: what the vectors find, and what the words find.

A passage's score is a convex combination of what both legs say of it. The text leg's is BM25 as a share of its limit, so that it says by
itself how much of the query was found: a name that stands there outweighs nearness, a sentence whose words are spread over many passages
does not. The vector leg's is relative, 1 for the nearest and 0 for the last that was looked at, because cosine has another range with
each model. README.md has what was measured, and what else was tried.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

DEPTH: Final = 100
# of each leg, whatever the answer's size: the order does not change with it
MEANING_OF_QUESTION: Final = 0.31
MEANING_BESIDE_NAME: Final = 0.16
MEANING_OF_NAME: Final = 0.1
# what nearness counts in a query that asks, in one that asks about a name, and in one that is looked up by its words


class Leg(NamedTuple):
    """A chunk's place in one leg's order, from 1, and the score that it has there."""

    rank: int
    score: float


class Candidate(NamedTuple):
    """A chunk that a search found, with the score that orders it, and where each leg had it."""

    id: int
    document_id: UUID
    score: float
    vector: Leg | None = None
    text: Leg | None = None


def fuse(nearest: Sequence[Candidate], matching: Sequence[Candidate], *, meaning: float) -> list[Candidate]:
    """Return what either leg found, best first; among equals the smaller id comes first.

    Parameters
    ----------
    nearest, matching
        By vector, with cosine similarities, and by words, with scores from 0 to 1; each best first.
    meaning
        The share of the score that nearness is.
    """
    fused: dict[int, Candidate] = {}
    lowest = nearest[-1].score if nearest else 0.0
    span = nearest[0].score - lowest if nearest else 0.0
    for rank, candidate in enumerate(nearest, start=1):
        near = (candidate.score - lowest) / span if span > 0 else 1.0
        fused[candidate.id] = Candidate(candidate.id, candidate.document_id, meaning * near, Leg(rank, candidate.score))
    for rank, candidate in enumerate(matching, start=1):
        there = fused.get(candidate.id)
        score, vector = (0.0, None) if there is None else (there.score, there.vector)
        score += (1 - meaning) * candidate.score
        fused[candidate.id] = Candidate(candidate.id, candidate.document_id, score, vector, Leg(rank, candidate.score))
    return sorted(fused.values(), key=lambda candidate: (-candidate.score, candidate.id))


def by_vector(nearest: Sequence[Candidate]) -> list[Candidate]:
    """Return the vector leg's order as an answer of its own."""
    return [one._replace(vector=Leg(rank, one.score)) for rank, one in enumerate(nearest, start=1)]


def by_words(matching: Sequence[Candidate]) -> list[Candidate]:
    """Return the text leg's order as an answer of its own."""
    return [one._replace(text=Leg(rank, one.score)) for rank, one in enumerate(matching, start=1)]
