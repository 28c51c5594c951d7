"""Routes on what an owner has: corpora and documents."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import StringConstraints

from app.api.dependencies import Service
from app.api.schemas import ChunkView, DocumentContent, DocumentPage, DocumentRead, DocumentView
from app.config import settings
from app.core.documents import execute_read_content, execute_read_document
from app.core.storage import corpora as storage
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.contracts.base import CorpusName
from ml_shared.contracts.cursors import Cursors
from ml_shared.contracts.embedding import Corpus, CorpusPage
from ml_shared.contracts.values import Count
from ml_shared.http.paging import Cursor, Limit, link_next
from ml_shared.http.routing import GuardedRoute
from ml_shared.http.sync import within_deadline
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.web.urls import URL_MAX_CHARACTERS

router = APIRouter(route_class=GuardedRoute, prefix="/corpora", tags=["corpora"])
Name = Annotated[CorpusName, Path()]
_StoredUrl = Annotated[str, StringConstraints(max_length=URL_MAX_CHARACTERS, pattern="^[ -~]+$")]
_CORPORA: Cursors[str] = Cursors("corpora", CorpusName)
_DOCUMENTS: Cursors[str] = Cursors("documents", _StoredUrl)
_CHUNKS: Cursors[int] = Cursors("chunks", Count)


@router.get("", summary="The corpora that you have, by name")
async def list_corpora(
    service: Service,
    request: Request,
    response: Response,
    ctx: CallerContext = Depends(users_and()),
    limit: Limit = 50,
    cursor: Cursor = None,
) -> CorpusPage:
    await enforcer.check(ctx)
    after = _CORPORA.read(cursor) or ""  # which sorts before all
    rows = await storage.list_corpora(service.pool, ctx.owner, after=after, limit=limit + 1)
    following = _CORPORA.write(rows[limit - 1]["name"]) if len(rows) > limit else None
    emit(AuditEvent.CORPORA_LISTED, ctx)
    items = [Corpus(**row) for row in rows[:limit]]
    return CorpusPage(items=items, next_cursor=link_next(following, request, response))


@router.get("/{name}", summary="A corpus, counted")
async def get_corpus(name: Name, service: Service, ctx: CallerContext = Depends(users_and())) -> Corpus:
    await enforcer.check(ctx)
    [row] = await storage.get_corpora(service.pool, ctx.owner, [name])
    emit(AuditEvent.CORPUS_READ, ctx, corpus_name=name)
    return Corpus(**row)


@router.delete(
    "/{name}",
    status_code=204,
    summary="Delete a corpus and all its documents",
    description="A job that was submitted before cannot bring its document back; one submitted afterwards can.",
)
async def delete_corpus(name: Name, service: Service, ctx: CallerContext = Depends(users_and())) -> None:
    await enforcer.check(ctx)
    await storage.delete_corpus(service.pool, ctx.owner, name)
    emit(AuditEvent.CORPUS_DELETED, ctx, corpus_name=name)


@router.get("/{name}/documents", summary="A corpus' documents, by URL")
async def list_documents(
    name: Name,
    service: Service,
    request: Request,
    response: Response,
    ctx: CallerContext = Depends(users_and()),
    limit: Limit = 50,
    cursor: Cursor = None,
) -> DocumentPage:
    await enforcer.check(ctx)
    filters = {"corpus_name": name}
    after = _DOCUMENTS.read(cursor, filters) or ""
    rows = await storage.list_documents(service.pool, ctx.owner, name, after=after, limit=limit + 1)
    following = _DOCUMENTS.write(rows[limit - 1]["url"], filters) if len(rows) > limit else None
    emit(AuditEvent.DOCUMENTS_LISTED, ctx, corpus_name=name)
    items = [DocumentView(**row) for row in rows[:limit]]
    return DocumentPage(items=items, next_cursor=link_next(following, request, response))


@router.get("/{name}/documents/{document_id}", summary="A document, and its chunks")
async def get_document(
    name: Name,
    document_id: UUID,
    service: Service,
    request: Request,
    response: Response,
    ctx: CallerContext = Depends(users_and()),
    limit: Limit = 50,
    cursor: Cursor = None,
) -> DocumentRead:
    await enforcer.check(ctx)
    filters = {"corpus_name": name, "document_id": document_id}
    after = _CHUNKS.read(cursor, filters)
    document, chunks = await within_deadline(
        execute_read_document(
            service, ctx.owner, name, document_id, after=-1 if after is None else after, limit=limit + 1
        ),
        settings.SYNC_TIMEOUT_SECONDS,
        "a smaller limit",
    )
    following = _CHUNKS.write(chunks[limit - 1]["chunk_index"], filters) if len(chunks) > limit else None
    emit(AuditEvent.DOCUMENT_READ, ctx, corpus_name=name, document_id=document_id)
    items = [
        ChunkView(start=chunk.pop("start_offset"), end=chunk.pop("end_offset"), **chunk) for chunk in chunks[:limit]
    ]
    return DocumentRead(**document, items=items, next_cursor=link_next(following, request, response))


@router.get(
    "/{name}/documents/{document_id}/content",
    summary="A document's text",
    description="Put together from its chunks. What they share is there once; blanks between them are line breaks.",
)
async def get_document_content(
    name: Name, document_id: UUID, service: Service, ctx: CallerContext = Depends(users_and())
) -> DocumentContent:
    await enforcer.check(ctx)
    document, joined = await within_deadline(
        execute_read_content(service, ctx.owner, name, document_id),
        settings.SYNC_TIMEOUT_SECONDS,
        "the document's own address, which has its chunks in pages",
    )
    emit(AuditEvent.DOCUMENT_CONTENT_READ, ctx, corpus_name=name, document_id=document_id)
    return DocumentContent(text=joined.text, start=joined.start, **document)


@router.delete(
    "/{name}/documents/{document_id}",
    status_code=204,
    summary="Delete a document",
    description="A job that was submitted before cannot bring it back; one submitted afterwards can.",
)
async def delete_document(
    name: Name, document_id: UUID, service: Service, ctx: CallerContext = Depends(users_and())
) -> None:
    await enforcer.check(ctx)
    await storage.delete_document(service.pool, ctx.owner, name, document_id)
    emit(AuditEvent.DOCUMENT_DELETED, ctx, corpus_name=name, document_id=document_id)
