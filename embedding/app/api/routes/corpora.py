"""Routes on what an owner has: corpora and documents."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response

from app.api.dependencies import Service
from app.api.paging import Cursor, Limit, decode_cursor, next_cursor
from app.api.schemas import DocumentPage, DocumentView
from app.core.storage import corpora as storage
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.contracts.base import CorpusName
from ml_shared.contracts.embedding import Corpus, CorpusPage
from ml_shared.http.routing import GuardedRoute
from ml_shared.ratelimit.enforcer import enforcer

router = APIRouter(route_class=GuardedRoute, prefix="/corpora", tags=["corpora"])
Name = Annotated[CorpusName, Path()]


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
    rows = await storage.list_corpora(service.pool, ctx.owner, after=decode_cursor(cursor), limit=limit + 1)
    following = next_cursor([row["name"] for row in rows], limit, request, response)
    emit(AuditEvent.CORPORA_LISTED, ctx)
    return CorpusPage(items=[Corpus(**row) for row in rows[:limit]], next_cursor=following)


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
    rows = await storage.list_documents(service.pool, ctx.owner, name, after=decode_cursor(cursor), limit=limit + 1)
    following = next_cursor([row["url"] for row in rows], limit, request, response)
    emit(AuditEvent.DOCUMENTS_LISTED, ctx, corpus_name=name)
    return DocumentPage(items=[DocumentView(**row) for row in rows[:limit]], next_cursor=following)


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
