"""Runs of a crawl: begun, followed, cancelled, confirmed; and what became of each page."""

from fastapi import APIRouter, Depends, Request, Response

from app.api.schemas import (
    CrawlId,
    CrawlIdempotencyHeader,
    OutcomeFilter,
    PageUrlPrefixFilter,
    ReasonFilter,
    RunLimit,
    RunNumber,
)
from app.api.tracing import own_traceparent
from app.core.crawling import PageFilter
from app.core.dispatch.pipeline import FIRST, PIPELINE
from app.core.logic import Orchestrator
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.contracts.crawls import PagesPage, RunAccepted, RunPage, RunRequest, RunView
from ml_shared.http.admission import admit
from ml_shared.http.paging import Cursor, Limit, link_next
from ml_shared.http.routing import GuardedRoute
from ml_shared.ratelimit.enforcer import enforcer

router = APIRouter(route_class=GuardedRoute, tags=["crawls"])


@router.post(
    "/crawls/{crawl_id}/runs",
    status_code=202,
    response_model=RunAccepted,
    summary="Run a crawl now",
    description="`409 run_in_progress` while one is under way, or removes what was confirmed. With `force` every page is fetched "
    "and indexed anew.",
)
async def run_crawl(
    crawl_id: CrawlId,
    payload: RunRequest,
    request: Request,
    idempotency_key: CrawlIdempotencyHeader = None,
    ctx: CallerContext = Depends(users_and()),
) -> RunAccepted:
    await enforcer.check(ctx)
    admit(payload, ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    accepted, new = await orchestrator.crawling.run_now(
        ctx.owner, crawl_id, payload, traceparent=own_traceparent(), idempotency_key=idempotency_key
    )
    if new:
        await request.app.state.nudger.nudge(FIRST.stage, runs=True)
    emit(AuditEvent.RUN_BEGUN, ctx, crawl_id=accepted.crawl_id, run=accepted.run)
    return accepted


@router.get("/crawls/{crawl_id}/runs", response_model=RunPage, summary="The runs of a crawl, newest first")
async def list_runs(
    crawl_id: CrawlId,
    request: Request,
    response: Response,
    limit: RunLimit = 10,
    cursor: Cursor = None,
    ctx: CallerContext = Depends(users_and()),
) -> RunPage:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    page = await orchestrator.crawling.runs(ctx.owner, crawl_id, limit=limit, cursor=cursor)
    link_next(page.next_cursor, request, response)
    emit(AuditEvent.RUNS_LISTED, ctx, crawl_id=crawl_id, results=len(page.items))
    return page


@router.get(
    "/crawls/{crawl_id}/runs/{run}",
    response_model=RunView,
    summary="A run: how far it is, what it came to, and when it may end",
)
async def get_run(
    crawl_id: CrawlId, run: RunNumber, request: Request, ctx: CallerContext = Depends(users_and())
) -> RunView:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    view = await orchestrator.crawling.run(ctx.owner, crawl_id, run)
    emit(AuditEvent.RUN_READ, ctx, crawl_id=view.crawl_id, run=view.run)
    return view


@router.get(
    "/crawls/{crawl_id}/runs/{run}/pages",
    response_model=PagesPage,
    summary="What became of each page of a run, and why",
    description="In the order in which they were met. Of what was left out the first 10,000 are kept; the run counts all.",
)
async def list_pages(
    crawl_id: CrawlId,
    run: RunNumber,
    request: Request,
    response: Response,
    limit: Limit = 50,
    cursor: Cursor = None,
    outcome: OutcomeFilter = None,
    reason: ReasonFilter = None,
    url_prefix: PageUrlPrefixFilter = None,
    ctx: CallerContext = Depends(users_and()),
) -> PagesPage:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    wanted = PageFilter(outcome, reason, url_prefix)
    page = await orchestrator.crawling.pages(ctx.owner, crawl_id, run, wanted, limit=limit, cursor=cursor)
    link_next(page.next_cursor, request, response)
    emit(AuditEvent.RUN_PAGES_LISTED, ctx, crawl_id=crawl_id, run=run, results=len(page.items))
    return page


@router.post(
    "/crawls/{crawl_id}/runs/{run}/cancel",
    response_model=RunView,
    summary="Cancel a run",
    description="At once; what is just being written to the corpus is finished. Of a run that has ended, what was confirmed and is "
    "not removed yet stays. A repeat changes nothing.",
)
async def cancel_run(
    crawl_id: CrawlId, run: RunNumber, request: Request, ctx: CallerContext = Depends(users_and())
) -> RunView:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    view = await orchestrator.crawling.cancel(ctx.owner, crawl_id, run)
    await request.app.state.nudger.nudge(*(definition.stage for definition in PIPELINE), runs=True)
    emit(AuditEvent.RUN_CANCELLED, ctx, crawl_id=view.crawl_id, run=view.run)
    return view


@router.post(
    "/crawls/{crawl_id}/runs/{run}/confirm",
    status_code=202,
    response_model=RunView,
    summary="Let a run remove the documents that it held back",
    description="A run that would remove more than a third of a crawl's documents removes none, and says `held`. "
    "`409 not_held` where nothing is held back, or a later run knows better; `409 run_in_progress` while one is under way.",
)
async def confirm_run(
    crawl_id: CrawlId, run: RunNumber, request: Request, ctx: CallerContext = Depends(users_and())
) -> RunView:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    view = await orchestrator.crawling.confirm(ctx.owner, crawl_id, run)
    await request.app.state.nudger.nudge(runs=True)
    emit(AuditEvent.RUN_CONFIRMED, ctx, crawl_id=view.crawl_id, run=view.run, documents=view.held_documents)
    return view
