"""What a search is held against: the textbook's methods over the same chunks and vectors, in memory."""

import importlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from standins.minilm import Vectors

COSINE, BM25, BOTH = "cosine", "bm25s", "RRF of both"
DEPTH: Final = 50
RRF_K: Final = 60


def nearest(vectors: Vectors, query: Vectors) -> list[int]:
    """Return the rows with the highest cosine, all compared: vectors have length one."""
    return [int(row) for row in np.argsort(-(vectors @ query), kind="stable")[:DEPTH]]


class Bm25:
    """bm25s as it comes: Lucene's formula, words of two letters or more, no stemming.

    Parameters
    ----------
    english
        Whether English stop words are left out.
    """

    def __init__(self, texts: Sequence[str], *, english: bool) -> None:
        self._library: Any = importlib.import_module("bm25s")
        self._stop_words = "en" if english else None
        self._index = self._library.BM25()
        self._index.index(self._tokens(texts), show_progress=False)
        self._rows = len(texts)

    def best(self, query: str) -> list[int]:
        """Return the rows with words of the query, best first."""
        found = self._index.retrieve(self._tokens([query]), k=min(DEPTH, self._rows), show_progress=False)
        return [int(row) for row, score in zip(found.documents[0], found.scores[0], strict=True) if score > 0]

    def _tokens(self, texts: Sequence[str]) -> Any:
        return self._library.tokenize(list(texts), stopwords=self._stop_words, show_progress=False)


def fused(rankings: Sequence[Sequence[int]]) -> list[int]:
    """Return reciprocal rank fusion of rankings: equal weights, 60 as in its paper."""
    sums: dict[int, float] = {}
    for ranking in rankings:
        for rank, row in enumerate(ranking, start=1):
            sums[row] = sums.get(row, 0.0) + 1 / (RRF_K + rank)
    return sorted(sums, key=lambda row: (-sums[row], row))
