"""Asking the service: how long it takes, and how much of what an exact comparison finds it finds."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from bench.search.data import Maker
from bench.search.service import Bench
from ml_shared.contracts.embedding import SearchMode, SearchRequest

TOP_K: Final = 10
EVERY_ROW: Final = 10**9
CHUNKS: Final = """
SELECT sum(chunk_count) AS chunks FROM documents WHERE owner = $1 AND corpus = ANY($2::text[]) AND metadata @> $3
"""
CLIENTS: Final = (1, 16)


@dataclass(frozen=True)
class Scope:
    """Where is searched: whose corpora, and the documents of one group or all."""

    name: str
    owner: str
    corpora: tuple[str, ...]
    chunks: int
    group: int | None = None


@dataclass(frozen=True)
class Asked:
    """A row of the table. `recall` is of the vector leg alone; `short` counts answers with fewer results than there are."""

    scope: str
    chunks: int
    mode: str
    clients: int
    queries: int
    p50_ms: float
    p95_ms: float
    recall: float | None
    short: int


async def scopes(bench: Bench, large: str, small: str) -> list[Scope]:
    """Return what is asked: one of the large owner's corpora, a tenth of all its documents, all of it, all of a small one's."""
    found = []
    for name, owner, one, group in (
        ("a corpus of the 60 % owner", large, True, None),
        ("by metadata, of the 60 % owner", large, False, 0),
        ("the 1 % owner", small, False, None),
        ("the 60 % owner", large, False, None),
    ):
        rows = await bench.fetch("SELECT name FROM corpora WHERE owner = $1 ORDER BY name", owner)
        corpora = tuple(row["name"] for row in (rows[:1] if one else rows))
        [counted] = await bench.fetch(CHUNKS, owner, corpora, {} if group is None else {"group": group})
        found.append(Scope(name, owner, corpora, counted["chunks"], group))
    return found


async def _ask(bench: Bench, scope: Scope, query: str, mode: SearchMode) -> tuple[float, list[tuple[str, int]]]:
    filters = None if scope.group is None else {"metadata": {"group": scope.group}}
    request = SearchRequest.model_validate(
        {
            "query": query,
            "corpora": list(scope.corpora),
            "top_k": TOP_K,
            "mode": mode,
            "filters": filters,
            "max_per_document": None,
        }
    )
    began = time.perf_counter()
    result = await bench.logic.execute_search(bench.service, scope.owner, request)
    seconds = time.perf_counter() - began
    return seconds, [(hit.document_id, hit.chunk_index) for hit in result.results]


async def asked(
    bench: Bench, maker: Maker, scope: Scope, mode: SearchMode, clients: int, count: int, *, common: bool = False
) -> Asked:
    """Ask some queries by several clients at once; the vector leg's are compared with what is nearest of all."""
    queries, vectors = maker.queries(count)
    if common:
        queries = maker.common_words(count)
    bench.endpoint.known = dict(zip(queries, vectors, strict=True))
    for query in queries[:3]:  # connections and caches are warm
        await _ask(bench, scope, query, mode)
    waiting = asyncio.Queue[str]()
    for query in queries:
        waiting.put_nowait(query)
    found: dict[str, list[tuple[str, int]]] = {}
    times: list[float] = []

    async def client() -> None:
        while not waiting.empty():
            query = waiting.get_nowait()
            seconds, found[query] = await _ask(bench, scope, query, mode)
            times.append(seconds)

    await asyncio.gather(*(client() for _ in range(clients)))
    recall = await _recall(bench, scope, found) if mode is SearchMode.VECTOR and clients == 1 else None
    least = min(TOP_K, scope.chunks) if mode is not SearchMode.TEXT else 0
    return Asked(
        scope=scope.name,
        chunks=scope.chunks,
        mode=f"{mode}, common words" if common else str(mode),
        clients=clients,
        queries=len(times),
        p50_ms=round(statistics.median(times) * 1e3, 2),
        p95_ms=round(_percentile(times, 0.95) * 1e3, 2),
        recall=recall,
        short=sum(len(hits) < least for hits in found.values()),
    )


async def _recall(bench: Bench, scope: Scope, found: dict[str, list[tuple[str, int]]]) -> float:
    settings = bench.service.settings
    bounded = settings.EXACT_SEARCH_MAX_ROWS
    settings.EXACT_SEARCH_MAX_ROWS = EVERY_ROW
    try:
        shares = []
        for query, hits in found.items():
            _, nearest = await _ask(bench, scope, query, SearchMode.VECTOR)
            shares.append(len(set(hits) & set(nearest)) / len(nearest))
    finally:
        settings.EXACT_SEARCH_MAX_ROWS = bounded
    return round(statistics.mean(shares), 4)


async def exact_ms(bench: Bench, maker: Maker, scope: Scope, count: int) -> float:
    """Return the median of comparing every row of a scope, which the table's ratios are to."""
    settings = bench.service.settings
    bounded = settings.EXACT_SEARCH_MAX_ROWS
    settings.EXACT_SEARCH_MAX_ROWS = EVERY_ROW
    try:
        return (await asked(bench, maker, scope, SearchMode.VECTOR, 1, count)).p50_ms
    finally:
        settings.EXACT_SEARCH_MAX_ROWS = bounded


def _percentile(times: Sequence[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def rows(found: Sequence[Asked]) -> list[dict[str, Any]]:
    """Return the table as JSON has it."""
    return [asdict(one) for one in found]
