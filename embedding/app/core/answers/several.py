"""One order out of several queries' own: reciprocal rank fusion, because their scores are of different questions."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.core.ranking import Candidate, Leg

RRF_K: Final = 60
# the constant of Cormack, Clarke and Büttcher (SIGIR 2009): large enough that no single first place decides


class Said(NamedTuple):
    """What one query says of a chunk: which query, the chunk's rank in its order, and its score and legs there."""

    query: int
    rank: int
    candidate: Candidate


class Ranked(NamedTuple):
    """A chunk in an answer's order.

    Attributes
    ----------
    said
        By each query that found it.
    rerank
        Its place by the reranker, if that read it.
    """

    candidate: Candidate
    said: tuple[Said, ...]
    rerank: Leg | None = None

    @property
    def score(self) -> float:
        """What orders it, unless a reranker does."""
        return self.candidate.score


def together(found: Sequence[Sequence[Candidate]]) -> list[Ranked]:
    """Return what any query found, best first.

    With several queries a score is the sum of `1 / (60 + rank)` over them as a share of the highest possible one: 1.0 is first for
    each of them.
    """
    if len(found) == 1:
        return [Ranked(one, (Said(0, rank, one),)) for rank, one in enumerate(found[0], start=1)]
    said: dict[int, list[Said]] = {}
    for query, candidates in enumerate(found):
        for rank, candidate in enumerate(candidates, start=1):
            said.setdefault(candidate.id, []).append(Said(query, rank, candidate))
    highest = len(found) / (RRF_K + 1)
    ranked = [
        Ranked(by[0].candidate._replace(score=sum(1 / (RRF_K + one.rank) for one in by) / highest), tuple(by))
        for by in said.values()
    ]
    return sorted(ranked, key=lambda one: (-one.score, one.candidate.id))
