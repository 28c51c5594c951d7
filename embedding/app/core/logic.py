"""What the embedding service does, without HTTP and without Celery: the same calls serve routes and tasks."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import asyncpg
from opentelemetry import trace

from app.config import Settings
from app.core import looking
from app.core.answers.answering import Answering
from app.core.answers.look import Look
from app.core.answers.pieces import Joined, join
from app.core.answers.questions import Asker, Questions
from app.core.answers.reranker import Reranker
from app.core.difference import Piece
from app.core.endpoint import REQUESTS_AT_ONCE, Embedded, EmbeddingEndpoint
from app.core.errors import DocumentNotFoundError, InputTooLongError, RerankerMissingError, TokenIdsError
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
from app.core.storage.claims import DocumentWrite
from app.core.storage.corpora import get_corpora, model_of
from app.core.storage.models import Model, read_model, read_stored_vectors
from app.core.storage.pool import open_store
from app.core.storage.reading import read_content, read_document
from app.core.storage.search import Scope
from app.core.storage.segments import read_relations, read_tails
from app.core.tokens import ModelTokenizer
from ml_shared.contracts.answers import Took
from ml_shared.contracts.base import Timestamp
from ml_shared.contracts.embedding import Document, IndexResult, SearchRequest, SearchResult
from ml_shared.contracts.values import storable
from ml_shared.names import Operation, RequestMode
from ml_shared.telemetry import attributes
from ml_shared.telemetry.readings import Values
from ml_shared.telemetry.spans import Value, work_span
from ml_shared.web.urls import document_url

DEFAULT_CORPUS = "default"
TEXTS_SPAN = "embed.texts"
QUERY_SPAN = "embed.query"


@dataclass(frozen=True, slots=True)
class Served:
    """A model that vectors can be had of, with the settings that are its own."""

    settings: Settings
    endpoint: EmbeddingEndpoint
    model: Model


@dataclass(frozen=True, slots=True)
class Embedding:
    """The service's resources, opened once a process."""

    settings: Settings
    pool: asyncpg.Pool
    endpoint: EmbeddingEndpoint
    model: Model
    next: Served | None = None
    tokenizer: ModelTokenizer | None = None
    reranker: Reranker | None = None

    def serving(self, name: str | None) -> Served:
        """Return the model of a name if it is served, else the one that new corpora get."""
        if self.next is not None and self.next.model.name == name:
            return self.next
        return Served(self.settings, self.endpoint, self.model)


@dataclass(frozen=True, slots=True)
class Order:
    """A document to be indexed, touched or removed, for whom, and when it was asked for.

    `chunking_hash` is the orchestrator's word for the settings that its chunks are made with.
    """

    owner: str
    corpus_name: str
    document: Document
    as_of: Timestamp
    submitted_at: Timestamp
    job_id: str | None = None
    chunking_hash: str | None = None


@asynccontextmanager
async def open_embedding(
    settings: Settings,
    *,
    command_timeout_seconds: float,
    requests_at_once: int = REQUESTS_AT_ONCE,
    searches: bool = True,
) -> AsyncIterator[Embedding]:
    """Open the database and the endpoint's client on the running loop.

    Parameters
    ----------
    requests_at_once
        How many requests, or documents, may have all their calls to the endpoint in flight.
    searches
        Whether there will be any: they need the tokenizer and the reranker.

    Raises
    ------
    StaleSchemaError, ModelNotPreparedError
        If `python -m app.migrate` has to run first.
    DimensionMismatchError
        If the database and the settings disagree on the model's dimensions.
    TokenizerFileError
        If the tokenizer that the settings name can't be used.
    """
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_store(
                settings.DATABASE_URL,
                max_size=settings.DATABASE_POOL_SIZE,
                command_timeout_seconds=command_timeout_seconds,
            )
        )
        endpoint = await stack.enter_async_context(EmbeddingEndpoint.open(settings, requests_at_once=requests_at_once))
        model = await read_model(pool, settings.EMBEDDING_MODEL, settings.EMBEDDING_DIMENSIONS)
        service = Embedding(settings, pool, endpoint, model)
        if (other := settings.of_next_model()) is not None:
            endpoint = await stack.enter_async_context(EmbeddingEndpoint.open(other, requests_at_once=requests_at_once))
            model = await read_model(pool, other.EMBEDDING_MODEL, other.EMBEDDING_DIMENSIONS)
            service = replace(service, next=Served(other, endpoint, model))
        if searches:
            reranker = await stack.enter_async_context(Reranker.open(settings))
            service = replace(service, tokenizer=ModelTokenizer.of(settings), reranker=reranker)
        yield service


async def execute_embed(service: Embedding, texts: Sequence[str]) -> Embedded:
    """Turn texts into vectors, in their order; nothing is kept.

    Raises
    ------
    InputTooLongError
        Naming the first text that has too many tokens, if the tokenizer is here.
    """
    with _read_span(TEXTS_SPAN, service) as span:
        try:
            embedded = await service.endpoint.embed(texts, operation=Operation.READ)
        except InputTooLongError as error:
            raise await _which_is_too_long(service, texts, error) from error
        span.set_attribute(attributes.EMBEDDING_TOKENS, embedded.tokens)
        return embedded


async def execute_embed_inputs(service: Embedding, inputs: Sequence[str | list[int]]) -> Embedded:
    """Turn texts, or what the model's tokenizer writes as some token ids, into vectors.

    Raises
    ------
    TokenIdsError
        If the ids are not the model's, or its tokenizer is not here.
    InputTooLongError
        As `execute_embed`.
    """
    texts = [given for given in inputs if isinstance(given, str)]
    if len(texts) < len(inputs):
        texts = await asyncio.to_thread(_read_tokens, service.tokenizer, inputs)
    return await execute_embed(service, texts)


def _read_tokens(tokenizer: ModelTokenizer | None, inputs: Sequence[str | list[int]]) -> list[str]:
    if tokenizer is None:
        raise TokenIdsError("token ids can't be read here; send texts (langchain: check_embedding_ctx_length=False)")
    texts = []
    for place, given in enumerate(inputs):
        try:
            texts.append(given if isinstance(given, str) else tokenizer.text_of(given))
        except TokenIdsError as error:
            raise TokenIdsError(
                f"input {place} (the first is 0): {error.detail}; send texts (langchain: check_embedding_ctx_length=False)"
            ) from error
    return texts


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
    write = _write_of(order)
    if service.next is None:
        return await _index(service, service.serving(None), write, chunks, before_write)
    while True:
        served = service.serving(await model_of(service.pool, write.owner, write.corpus))
        others = {service.model.id, service.next.model.id} - {served.model.id}
        result = await _index(service, served, replace(write, other_models=tuple(others)), chunks, before_write)
        now = service.serving(await model_of(service.pool, write.owner, write.corpus))
        if not result.superseded or now.model == served.model:
            return result
        # the corpus has changed to the other model meanwhile, and takes no more of this one's vectors


async def execute_touch(service: Embedding, order: Order) -> IndexResult:
    """Note that a document's page was looked at and is as it was, which costs no embedding.

    Raises
    ------
    DocumentDiffersError
        If the document is not what the order says of it: it was deleted, or was made of another text, with other settings
        of chunking, another model or another prefix. Its page is then to be indexed anew.
    """
    write = _write_of(order)
    served = service.serving(None)
    if service.next is not None:
        served = service.serving(await model_of(service.pool, write.owner, write.corpus))
    write = replace(write, passage_prefix=served.settings.EMBEDDING_PASSAGE_PREFIX)
    return await looking.touch(service.pool, write, served.model)


async def execute_remove(
    service: Embedding, order: Order, *, before_write: Callable[[], Awaitable[None]] | None = None
) -> IndexResult:
    """Remove a document whose page is gone, unless it was looked at since.

    Parameters
    ----------
    before_write
        Awaited just before the one transaction that writes.
    """
    if before_write is not None:
        await before_write()
    return await looking.remove(service.pool, _write_of(order))


def _write_of(order: Order) -> DocumentWrite:
    fields = order.document.model_dump(exclude={"url", "metadata"})
    return DocumentWrite(
        owner=order.owner,
        corpus=order.corpus_name,
        url=document_url(order.document.url),
        as_of=order.as_of,
        submitted_at=order.submitted_at,
        fields={name: storable(value) if isinstance(value, str) else value for name, value in fields.items()},
        metadata=order.document.metadata,
        job_id=order.job_id,
        trace_id=_trace_id(),
        chunking_hash=order.chunking_hash,
    )


async def _index(
    service: Embedding,
    served: Served,
    write: DocumentWrite,
    chunks: Sequence[Piece],
    before_write: Callable[[], Awaitable[None]] | None,
) -> IndexResult:
    settings = served.settings
    write = replace(write, passage_prefix=settings.EMBEDDING_PASSAGE_PREFIX)
    indexer = Indexer(
        service.pool, served.endpoint, served.model, settings.EMBEDDING_MAX_TOKENS, settings.EMBEDDING_PASSAGE_PREFIX
    )
    return await indexer.index(write, chunks, before_write)


async def execute_search(service: Embedding, owner: str, request: SearchRequest) -> SearchResult:
    """Find the passages of an owner's corpora that answer a query best.

    Raises
    ------
    CorpusNotFoundError, DocumentNotFoundError
        If one of the corpora, or the chunk whose like is looked for, is not there, or another owner's.
    RerankerMissingError
        If the request asks for a reranker, and there is none.
    """
    began = time.perf_counter()
    reranker = _reranker_for(service, request)
    names = list(dict.fromkeys(request.corpora or [request.corpus_name or DEFAULT_CORPUS]))
    corpora = await get_corpora(service.pool, owner, names)
    languages = sorted({language for corpus in corpora for language in corpus["languages"]})
    seconds: dict[str, float] = defaultdict(float)
    questions = await _questions(service, owner, request, corpora, languages, seconds)
    answer = await Answering(
        service.pool,
        request,
        questions,
        rows=sum(corpus["chunks"] for corpus in corpora),
        languages=languages,
        exact_max_rows=service.settings.EXACT_SEARCH_MAX_ROWS,
        seconds=seconds,
        reranker=reranker,
        rerank_top=service.settings.RERANK_TOP,
    ).answer()
    facets: dict[str, Any] = {} if answer.facets is None else {"facets": answer.facets}
    return SearchResult(
        results=answer.results,
        model=questions.scope.model.name,
        mode=questions.mode,
        took_ms=round((time.perf_counter() - began) * 1000, 3),
        took=Took.of(seconds),
        next_offset=answer.next_offset,
        warnings=questions.warnings,
        **facets,
    )


async def _questions(
    service: Embedding,
    owner: str,
    request: SearchRequest,
    corpora: Sequence[dict[str, Any]],
    languages: Sequence[str],
    seconds: dict[str, float],
) -> Questions:
    """Return what is looked for: with the vectors of the model that the corpora answer from, or of both while they change."""
    by_model: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for corpus in corpora:
        by_model[service.serving(corpus["model"]).model.name].append(corpus)
    parts = [(service.serving(name), part) for name, part in sorted(by_model.items(), key=lambda item: -len(item[1]))]
    scopes = [
        Scope(owner, [corpus["name"] for corpus in part], served.model, request.filters) for served, part in parts
    ]
    if request.like is not None and len(parts) > 1:
        return await _like(service, request, parts, scopes, languages, seconds)
    first = scopes[0] if len(scopes) == 1 else replace(scopes[0], corpora=[corpus["name"] for corpus in corpora])
    questions = await _asker(service, parts[0][0], seconds).asked(request, first, languages)
    for (served, part), scope in zip(parts[1:], scopes[1:], strict=True):
        beside = await _asker(service, served, seconds).asked(request, scope, languages)
        questions.ask_beside(beside, rows=sum(corpus["chunks"] for corpus in part))
    return questions


async def _like(
    service: Embedding,
    request: SearchRequest,
    parts: Sequence[tuple[Served, Any]],
    scopes: Sequence[Scope],
    languages: Sequence[str],
    seconds: dict[str, float],
) -> Questions:
    """Return what is like a chunk among the corpora that answer from the chunk's own model."""
    for (served, _), scope in zip(parts[:-1], scopes[:-1], strict=True):
        with contextlib.suppress(DocumentNotFoundError):
            return await _asker(service, served, seconds).asked(request, scope, languages)
    return await _asker(service, parts[-1][0], seconds).asked(request, scopes[-1], languages)


def _asker(service: Embedding, served: Served, seconds: dict[str, float]) -> Asker:
    return Asker(
        served.settings,
        service.pool,
        served.endpoint,
        service.tokenizer if served.model == service.model else None,
        embedding=lambda: _embedding(service, seconds),
    )


@contextmanager
def _embedding(service: Embedding, seconds: dict[str, float]) -> Iterator[None]:
    with Look(seconds).timed("embed"), _read_span(QUERY_SPAN, service):
        yield


def _reranker_for(service: Embedding, request: SearchRequest) -> Reranker | None:
    if request.rerank and service.reranker is None:
        raise RerankerMissingError("no reranker is configured here; leave out rerank")
    return None if request.rerank is False or request.like is not None else service.reranker


async def execute_read_document(
    service: Embedding, owner: str, corpus: str, document_id: UUID, *, after: int, limit: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a document, and its chunks after one, by their index.

    Raises
    ------
    CorpusNotFoundError, DocumentNotFoundError
        If it is not there, or another owner's.
    """
    return await read_document(service.pool, owner, corpus, document_id, after=after, limit=limit)


async def execute_read_content(
    service: Embedding, owner: str, corpus: str, document_id: UUID
) -> tuple[dict[str, Any], Joined]:
    """Return a document, and its text, put together from its chunks.

    Raises
    ------
    CorpusNotFoundError, DocumentNotFoundError
        If it is not there, or another owner's.
    TooLargeError
        If the text is longer than is put together at once.
    """
    document, pieces = await read_content(service.pool, owner, corpus, document_id)
    return document, join(pieces)


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


async def _which_is_too_long(service: Embedding, texts: Sequence[str], error: InputTooLongError) -> InputTooLongError:
    most = service.settings.EMBEDDING_MAX_TOKENS
    found = await service.tokenizer.first_too_long(texts, most) if service.tokenizer is not None else None
    if found is None:
        return error
    place, tokens = found
    return InputTooLongError(
        f"text {place} (the first is 0) has {tokens} tokens, and the model takes {most}; split it with POST /chunk first",
        extra={"index": place},
    )


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
