"""The embedding service itself, over a PostgreSQL of its own and an endpoint that answers from kept vectors; and the baselines.

Methods take turns question by question, so that whatever slows the machine down slows them all.
"""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import numpy as np
from standins.minilm import Vectors
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bench.quality import baselines
from bench.quality.measures import Ranking
from bench.quality.models import KeptVectors, Model
from bench.quality.pages import Page
from bench.quality.questions import Place, Question
from bench.services import NOWHERE, import_from
from ml_shared.contracts.embedding import Document, SearchMode, SearchRequest, SearchResult
from ml_shared.storage.migrations import migrate
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.servers import PostgresServer
from ml_shared.web.urls import normalise_url

OWNER, CORPUS, TOP_K = "bench", "pages", 10
KEY: Final = "key-of-the-bench"
MODES: Final = tuple(mode.value for mode in SearchMode)
METHODS: Final = (*MODES, baselines.COSINE, baselines.BM25, baselines.BOTH)
"""The service's modes, then what they are held against."""


class Endpoint(ThreadedServer):
    """`POST /v1/embeddings` in OpenAI's shape."""

    def __init__(self, vectors: KeptVectors) -> None:
        self._vectors = vectors
        super().__init__(Starlette(routes=[Route("/v1/embeddings", self._answer, methods=["POST"])]))

    async def _answer(self, request: Request) -> Response:
        found = self._vectors.of((await request.json())["input"])
        rows = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in found]
        return JSONResponse({"data": [{"index": index, "embedding": row} for index, row in enumerate(rows)]})


def rankings_of(
    pages: Sequence[Page], vectors: KeptVectors, questions: Sequence[Question], *, words: bool
) -> list[Ranking]:
    """Return what every method finds for every question.

    Parameters
    ----------
    words
        Whether bm25s is here, and asked.
    """
    return asyncio.run(_rankings(pages, vectors, questions, words=words))


async def _rankings(
    pages: Sequence[Page], vectors: KeptVectors, questions: Sequence[Question], *, words: bool
) -> list[Ranking]:
    model = vectors.model
    with PostgresServer() as postgres, Endpoint(vectors) as endpoint:
        dsn = postgres.dsn(postgres.create_database())
        async with _service(dsn, endpoint.url, model) as (logic, service):
            await _index(logic, service, pages)
            baseline = _Baselines(pages, vectors, words=words)
            names = {normalise_url(page.url): page.name for page in pages}
            found: list[Ranking] = []
            for question in [questions[0], *questions]:  # the first one warms connections up, and is asked again
                found += [await _asked(logic, service, names, question, mode) for mode in SearchMode]
                found += baseline.asked(question, vectors.of([model.query_prefix + question.query])[0])
    return found[len(found) // (len(questions) + 1) :]


@asynccontextmanager
async def _service(dsn: str, endpoint: str, model: Model) -> AsyncIterator[tuple[Any, Any]]:
    """Yield the service's use cases and its resources, on a database with its schema."""
    settings = {
        "REDIS_URL": "redis://127.0.0.1:9/0",
        "ORCHESTRATOR_URL": NOWHERE,
        "ORCHESTRATOR_KEY_HASH": "0" * 64,
        "SERVICE_API_KEY": KEY,
        "DATABASE_URL": dsn,
        "EMBEDDING_API_BASE_URL": f"{endpoint}/v1",
        "EMBEDDING_API_KEY": KEY,
        "EMBEDDING_MODEL": model.name,
        "EMBEDDING_DIMENSIONS": str(model.dimensions),
        "EMBEDDING_QUERY_PREFIX": model.query_prefix,
    }
    logic = import_from("embedding", "app.core.logic", **settings)
    await migrate(dsn, import_from("embedding", "app.core.storage.pool").MIGRATIONS)
    connection = await asyncpg.connect(dsn)
    try:
        models = import_from("embedding", "app.core.storage.models")
        await models.prepare_model(connection, model.name, model.dimensions)
    finally:
        await connection.close()
    opening = import_from("embedding", "app.core.service")
    async with opening.open_embedding(opening.Settings(), command_timeout_seconds=60) as service:
        yield logic, service


async def _index(logic: Any, service: Any, pages: Sequence[Page]) -> None:
    for page in pages:
        now = datetime.now(UTC)
        document = Document(url=page.url, title=page.title, language=page.language)
        order = logic.Order(owner=OWNER, corpus_name=CORPUS, document=document, as_of=now, submitted_at=now)
        await logic.execute_index(service, order, page.chunks)


async def _asked(logic: Any, service: Any, names: dict[str, str], question: Question, mode: SearchMode) -> Ranking:
    request = SearchRequest(query=question.query, corpus_name=CORPUS, top_k=TOP_K, mode=mode, max_per_document=None)
    began = time.perf_counter()
    result: SearchResult = await logic.execute_search(service, OWNER, request)
    seconds = time.perf_counter() - began
    places = [Place(names[hit.url], hit.start, hit.end) for hit in result.results]
    return Ranking(question.id, mode.value, places, seconds)


@dataclass
class _Timed:
    rows: list[int]
    seconds: float


class _Baselines:
    def __init__(self, pages: Sequence[Page], vectors: KeptVectors, *, words: bool) -> None:
        texts = [chunk.text for page in pages for chunk in page.chunks]
        english = all((page.language or "en").startswith("en") for page in pages)
        self._places = [place for page in pages for place in page.places]
        self._vectors = np.ascontiguousarray(vectors.of(texts))
        self._words = baselines.Bm25(texts, english=english) if words else None

    def asked(self, question: Question, vector: Vectors) -> list[Ranking]:
        cosine = _timed(lambda: baselines.nearest(self._vectors, vector))
        found = {baselines.COSINE: cosine}
        if self._words is not None:
            index = self._words
            words = _timed(lambda: index.best(question.query))
            fusion = _timed(lambda: baselines.fused([cosine.rows, words.rows]))
            fusion.seconds += cosine.seconds + words.seconds
            found |= {baselines.BM25: words, baselines.BOTH: fusion}
        return [
            Ranking(question.id, method, [self._places[row] for row in timed.rows], timed.seconds)
            for method, timed in found.items()
        ]


def _timed(search: Callable[[], list[int]]) -> _Timed:
    began = time.perf_counter()
    rows = search()
    return _Timed(rows, time.perf_counter() - began)
