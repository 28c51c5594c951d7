"""What the embedding service does, without HTTP and without Celery: the same calls serve routes and tasks."""

import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from opentelemetry import trace

from app.core import looking
from app.core.answers.answering import Answering
from app.core.answers.asking import questions_of
from app.core.answers.reranker import Reranker
from app.core.difference import Piece
from app.core.errors import EndpointUnavailableError, RerankerMissingError
from app.core.indexing import Indexer
from app.core.service import Embedding, Served
from app.core.storage.claims import DocumentWrite
from app.core.storage.corpora import get_corpora, model_of, switched_to
from ml_shared.contracts.answers import Took
from ml_shared.contracts.base import Timestamp
from ml_shared.contracts.embedding import Document, IndexResult, SearchRequest, SearchResult
from ml_shared.contracts.values import storable
from ml_shared.web.urls import document_url

DEFAULT_CORPUS = "default"
UNKNOWN_MODEL_RETRY_SECONDS = 60.0
# somebody has to set a variable and start the worker anew


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
        result = await _index(service, service.serving(None), write, chunks, before_write)
        if result.superseded:
            await _check_model(service, write)
        return result
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


async def _check_model(service: Embedding, write: DocumentWrite) -> None:
    """Look why nothing was written.

    Raises
    ------
    EndpointUnavailableError
        If the corpus was changed to a model that this process does not know: another one may, later.
    """
    name = await switched_to(service.pool, write.owner, write.corpus)
    if name not in (None, service.model.name):
        raise EndpointUnavailableError(
            f"the corpus {write.corpus!r} was changed to the model {name!r}, which this process does not serve: "
            "EMBEDDING_NEXT_MODEL has to name it on the worker as on the API",
            retry_after_seconds=UNKNOWN_MODEL_RETRY_SECONDS,
        )


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
    questions = await questions_of(service, owner, request, corpora, languages, seconds)
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


def _reranker_for(service: Embedding, request: SearchRequest) -> Reranker | None:
    if request.rerank and service.reranker is None:
        raise RerankerMissingError("no reranker is configured here; leave out rerank")
    return None if request.rerank is False or request.like is not None else service.reranker


def _trace_id() -> str | None:
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None
