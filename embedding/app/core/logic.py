"""What the embedding service does, without HTTP and without Celery: the same calls serve routes and tasks."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass

import asyncpg
from opentelemetry import trace
from pgvector import HalfVector

from app.config import Settings
from app.core.difference import Piece
from app.core.endpoint import REQUESTS_AT_ONCE, Embedded, EmbeddingEndpoint
from app.core.indexing import Indexer
from app.core.metrics import (
    INDEXES,
    ROWS,
    STORE_BYTES,
    VECTORS_BYTES,
    VECTORS_SEGMENTS,
    VECTORS_STORED,
    VECTORS_TAIL,
)
from app.core.queries import parse_query
from app.core.searching import Query, search
from app.core.storage.claims import DocumentWrite
from app.core.storage.corpora import get_corpora
from app.core.storage.models import Model, read_model, read_stored_vectors
from app.core.storage.pool import open_store
from app.core.storage.search import Scope
from app.core.storage.segments import read_relations, read_tails
from ml_shared.contracts.base import Timestamp
from ml_shared.contracts.embedding import Document, IndexResult, SearchMode, SearchRequest, SearchResult
from ml_shared.contracts.values import storable
from ml_shared.names import Operation, RequestMode
from ml_shared.telemetry import attributes
from ml_shared.telemetry.readings import Values
from ml_shared.telemetry.spans import Value, work_span
from ml_shared.web.urls import normalise_url

DEFAULT_CORPUS = "default"
TEXTS_SPAN = "embed.texts"
QUERY_SPAN = "embed.query"


@dataclass(frozen=True, slots=True)
class Embedding:
    """The service's resources, opened once a process."""

    settings: Settings
    pool: asyncpg.Pool
    endpoint: EmbeddingEndpoint
    model: Model


@dataclass(frozen=True, slots=True)
class Order:
    """A document to be indexed, for whom, and when it was asked for."""

    owner: str
    corpus_name: str
    document: Document
    as_of: Timestamp
    submitted_at: Timestamp
    job_id: str | None = None


@asynccontextmanager
async def open_embedding(
    settings: Settings, *, command_timeout_seconds: float, requests_at_once: int = REQUESTS_AT_ONCE
) -> AsyncIterator[Embedding]:
    """Open the database and the endpoint's client on the running loop.

    Parameters
    ----------
    requests_at_once
        How many requests, or documents, may have all their calls to the endpoint in flight.

    Raises
    ------
    StaleSchemaError, ModelNotPreparedError
        If `python -m app.migrate` has to run first.
    DimensionMismatchError
        If the database and the settings disagree on the model's dimensions.
    """
    async with (
        open_store(
            settings.DATABASE_URL,
            max_size=settings.DATABASE_POOL_SIZE,
            command_timeout_seconds=command_timeout_seconds,
        ) as pool,
        EmbeddingEndpoint.open(settings, requests_at_once=requests_at_once) as endpoint,
    ):
        model = await read_model(pool, settings.EMBEDDING_MODEL, settings.EMBEDDING_DIMENSIONS)
        yield Embedding(settings, pool, endpoint, model)


async def execute_embed(service: Embedding, texts: Sequence[str]) -> Embedded:
    """Turn texts into vectors, in their order; nothing is kept."""
    with _read_span(TEXTS_SPAN, service) as span:
        embedded = await service.endpoint.embed(texts, operation=Operation.READ)
        span.set_attribute(attributes.EMBEDDING_TOKENS, embedded.tokens)
        return embedded


async def execute_index(
    service: Embedding,
    order: Order,
    chunks: Sequence[Piece],
    *,
    before_write: Callable[[], Awaitable[None]] | None = None,
) -> IndexResult:
    """Make a document searchable in its owner's corpus, in place of the version that stood there, unless that is newer.

    Parameters
    ----------
    before_write
        Awaited just before the one transaction that writes.
    """
    indexer = Indexer(service.pool, service.endpoint, service.model, service.settings.EMBEDDING_MAX_TOKENS)
    fields = order.document.model_dump(exclude={"url", "metadata"})
    write = DocumentWrite(
        owner=order.owner,
        corpus=order.corpus_name,
        url=normalise_url(order.document.url),
        as_of=order.as_of,
        submitted_at=order.submitted_at,
        fields={name: storable(value) if isinstance(value, str) else value for name, value in fields.items()},
        metadata=order.document.metadata,
        job_id=order.job_id,
        trace_id=_trace_id(),
    )
    return await indexer.index(write, chunks, before_write)


async def execute_search(service: Embedding, owner: str, request: SearchRequest) -> SearchResult:
    """Find the passages of an owner's corpora that answer a query best.

    Raises
    ------
    CorpusNotFoundError
        If one of the corpora is not there, or another owner's.
    """
    started = time.perf_counter()
    names = list(dict.fromkeys(request.corpora or [request.corpus_name or DEFAULT_CORPUS]))
    corpora = await get_corpora(service.pool, owner, names)
    query = parse_query(storable(request.query))
    vector = None
    if request.mode is not SearchMode.TEXT:
        text = service.settings.EMBEDDING_QUERY_PREFIX + query.meaning
        with _read_span(QUERY_SPAN, service):
            embedded = await service.endpoint.embed([text], operation=Operation.READ)
        vector = HalfVector(embedded.vectors[0])
    results = await search(
        service.pool,
        Scope(owner, names, service.model, request.filters),
        Query(
            query,
            vector,
            request.mode,
            request.top_k,
            request.min_score,
            languages=sorted({language for corpus in corpora for language in corpus["languages"]}),
        ),
        rows=sum(corpus["chunks"] for corpus in corpora),
        exact_max_rows=service.settings.EXACT_SEARCH_MAX_ROWS,
    )
    took_ms = round((time.perf_counter() - started) * 1000, 3)
    return SearchResult(results=results, model=service.model.name, mode=request.mode, took_ms=took_ms)


async def read_gauges(service: Embedding) -> Values:
    """Return what a scrape reads from the database."""
    stored = await read_stored_vectors(service.pool)
    tails = await read_tails(service.pool, service.settings.EXACT_SEARCH_MAX_ROWS)
    relations = await read_relations(service.pool)
    none: dict[tuple[str, ...], float] = {(of.model,): 0.0 for of in stored}
    return {
        VECTORS_STORED: {(of.model,): float(of.vectors) for of in stored},
        VECTORS_BYTES: {(of.model,): float(of.bytes) for of in stored},
        VECTORS_TAIL: none | {(model,): float(tail) for model, tail, _ in tails},
        VECTORS_SEGMENTS: none | {(model,): float(count) for model, _, count in tails},
        STORE_BYTES: {
            (name, part): float(size)
            for name, rows, indexes in relations
            for part, size in ((ROWS, rows), (INDEXES, indexes))
        },
    }


def _read_span(name: str, service: Embedding) -> AbstractContextManager[trace.Span]:
    known: dict[str, Value] = {
        attributes.JOB_STAGE: attributes.JobStage.READ,
        attributes.OPERATION: Operation.READ.value,
        attributes.REQUEST_MODE: RequestMode.SYNC.value,
        attributes.EMBEDDING_MODEL: service.model.name,
    }
    return work_span(name, attributes=known)


def _trace_id() -> str | None:
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None
