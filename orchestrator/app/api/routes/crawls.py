"""Crawls: pages of a site that are kept in a corpus, and changing, resting and deleting them."""

from fastapi import APIRouter, Depends, Request, Response

from app.api.schemas import CrawlId, CrawlIdempotencyHeader, CrawlLimit, DocumentsChoice
from app.api.tracing import own_traceparent
from app.core.dispatch.pipeline import FIRST, PIPELINE
from app.core.logic import Orchestrator
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.contracts.crawls import (
    CrawlDeleted,
    CrawlPage,
    CrawlPatch,
    CrawlRequest,
    CrawlView,
    OnGone,
    RunAccepted,
)
from ml_shared.http.admission import admit
from ml_shared.http.paging import Cursor, link_next
from ml_shared.http.routing import GuardedRoute
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.telemetry.urls import told_url

router = APIRouter(route_class=GuardedRoute, tags=["crawls"])


@router.post(
    "/crawls",
    status_code=202,
    response_model=RunAccepted,
    summary="Keep a site in a corpus: find its pages, index them, now and by a schedule",
    description="The first run begins at once; `GET /crawls/{crawl_id}/runs/1` says how far it is, and `…/pages` what "
    "became of each URL and why. With `dry_run` it finds the pages and indexes none.",
)
async def submit_crawl(
    payload: CrawlRequest,
    request: Request,
    idempotency_key: CrawlIdempotencyHeader = None,
    ctx: CallerContext = Depends(users_and()),
) -> RunAccepted:
    await enforcer.check(ctx)
    admit(payload, ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    accepted, new = await orchestrator.crawling.submit(
        ctx.owner, payload, traceparent=own_traceparent(), idempotency_key=idempotency_key
    )
    if new:
        await request.app.state.nudger.nudge(FIRST.stage, runs=True)
    emit(
        AuditEvent.CRAWL_SUBMITTED,
        ctx,
        crawl_id=accepted.crawl_id,
        run=accepted.run,
        url=told_url(payload.url or payload.urls[0]),
        corpus_name=payload.corpus_name,
    )
    return accepted


@router.get("/crawls", response_model=CrawlPage, summary="Your crawls, newest first")
async def list_crawls(
    request: Request,
    response: Response,
    limit: CrawlLimit = 20,
    cursor: Cursor = None,
    ctx: CallerContext = Depends(users_and()),
) -> CrawlPage:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    page = await orchestrator.crawling.crawls(ctx.owner, limit=limit, cursor=cursor)
    link_next(page.next_cursor, request, response)
    emit(AuditEvent.CRAWLS_LISTED, ctx, results=len(page.items))
    return page


@router.get("/crawls/{crawl_id}", response_model=CrawlView, summary="A crawl: what it keeps, and when it is run next")
async def get_crawl(crawl_id: CrawlId, request: Request, ctx: CallerContext = Depends(users_and())) -> CrawlView:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    crawl = await orchestrator.crawling.crawl(ctx.owner, crawl_id)
    emit(AuditEvent.CRAWL_READ, ctx, crawl_id=crawl.crawl_id)
    return crawl


@router.patch(
    "/crawls/{crawl_id}",
    response_model=CrawlView,
    summary="Change what a crawl keeps, or when it is run",
    description="It counts from the next run on: one that is under way goes on as it began. What is left out stays as it is; "
    "`schedule: null` takes it away. `urls`, `metadata`, `chunking` and `schedule` are given whole. Of a schedule `every` counts "
    "from this change, unless it is the one that the crawl has. With other `chunking` the next run fetches every page and cuts it "
    "anew; other `metadata` goes to pages that have not changed, too, and nothing is embedded for it. With `subdomains`, "
    "`keep_query` or other bounds that let more in, it may fetch every page once as well, to see where else it leads.",
)
async def change_crawl(
    crawl_id: CrawlId, payload: CrawlPatch, request: Request, ctx: CallerContext = Depends(users_and())
) -> CrawlView:
    await enforcer.check(ctx)
    admit(payload, ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    crawl = await orchestrator.crawling.change(ctx.owner, crawl_id, payload)
    emit(AuditEvent.CRAWL_CHANGED, ctx, crawl_id=crawl.crawl_id)
    return crawl


@router.delete(
    "/crawls/{crawl_id}",
    status_code=202,
    response_model=CrawlDeleted,
    summary="Delete a crawl, with its documents or without",
    description="It is gone from lists at once and what is under way of it is cancelled; documents go one after the "
    "other. One that another crawl of the corpus keeps stays.",
)
async def delete_crawl(
    crawl_id: CrawlId,
    request: Request,
    documents: DocumentsChoice = OnGone.KEEP,
    ctx: CallerContext = Depends(users_and()),
) -> CrawlDeleted:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    deleted = await orchestrator.crawling.delete(ctx.owner, crawl_id, documents=documents)
    await request.app.state.nudger.nudge(*(definition.stage for definition in PIPELINE), runs=True)
    emit(AuditEvent.CRAWL_DELETED, ctx, crawl_id=deleted.crawl_id, documents=deleted.documents)
    return deleted


@router.post(
    "/crawls/{crawl_id}/pause",
    response_model=CrawlView,
    summary="Let a crawl's schedule rest",
    description="A run that is under way goes on. A repeat changes nothing.",
)
async def pause_crawl(crawl_id: CrawlId, request: Request, ctx: CallerContext = Depends(users_and())) -> CrawlView:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    crawl = await orchestrator.crawling.pause(ctx.owner, crawl_id, paused=True)
    emit(AuditEvent.CRAWL_PAUSED, ctx, crawl_id=crawl.crawl_id)
    return crawl


@router.post("/crawls/{crawl_id}/resume", response_model=CrawlView, summary="Let a crawl's schedule go on")
async def resume_crawl(crawl_id: CrawlId, request: Request, ctx: CallerContext = Depends(users_and())) -> CrawlView:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    crawl = await orchestrator.crawling.pause(ctx.owner, crawl_id, paused=False)
    emit(AuditEvent.CRAWL_RESUMED, ctx, crawl_id=crawl.crawl_id)
    return crawl
