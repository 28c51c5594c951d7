"""What is measured of a ranking: how early the right passage comes."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.quality.questions import Place

DEPTH: Final = 10
COLUMNS: Final = ("R@1", "R@5", "R@10", "MRR", "nDCG@10")


@dataclass(frozen=True)
class Ranking:
    """What one method found for one question, best first, and how long that took."""

    question: str
    method: str
    places: Sequence[Place]
    seconds: float

    def rank(self, right: frozenset[Place]) -> int | None:
        """Return the place of the first right passage, counted from 1; None where it is not among the first ten."""
        return next((rank for rank, place in enumerate(self.places[:DEPTH], start=1) if place in right), None)


def measure(ranking: Ranking, right: frozenset[Place]) -> dict[str, float]:
    """Return a ranking's figures: R@k is 1 if a right passage is among the first k; all figures end at the tenth."""
    rank = ranking.rank(right)
    gain = sum(1 / math.log2(at + 1) for at, place in enumerate(ranking.places[:DEPTH], start=1) if place in right)
    most = sum(1 / math.log2(at + 1) for at in range(1, min(len(right), DEPTH) + 1))
    found = {f"R@{depth}": float(rank is not None and rank <= depth) for depth in (1, 5, 10)}
    return {**found, "MRR": 1 / rank if rank else 0.0, "nDCG@10": gain / most}


def means(figures: Iterable[dict[str, float]]) -> dict[str, float]:
    """Return each figure's mean."""
    rows = list(figures)
    return {column: statistics.fmean(row[column] for row in rows) for column in COLUMNS}
