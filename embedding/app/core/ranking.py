"""Reciprocal rank fusion: one order out of several."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

RRF_K = 60
# the constant of Cormack, Clarke and Büttcher (SIGIR 2009): large enough that no single first place decides


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk that a search found, with the score that orders it."""

    id: int
    document_id: UUID
    score: float


def fuse(rankings: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """Return what any ranking found, ordered by the sum of `1 / (60 + rank)` over the rankings.

    The score is that sum as a share of the highest possible one: 1.0 is first in every ranking, 0.5 first in one of
    two and absent in the other. Among equals the first ranking's own score decides.
    """
    best = len(rankings) / (RRF_K + 1)
    sums: dict[int, float] = {}
    found: dict[int, Candidate] = {}
    for ranking in rankings:
        for rank, candidate in enumerate(ranking, start=1):
            sums[candidate.id] = sums.get(candidate.id, 0.0) + 1 / (RRF_K + rank)
            found.setdefault(candidate.id, candidate)
    order = sorted(found.values(), key=lambda candidate: -sums[candidate.id])
    return [replace(candidate, score=sums[candidate.id] / best) for candidate in order]
