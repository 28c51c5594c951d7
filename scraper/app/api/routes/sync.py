"""POST /scrape: the page in the answer."""

from fastapi import APIRouter, Depends, Request

from app.api.schemas import ScrapeRequest, ScrapeResult
from app.config import settings
from app.core.fetching.visiting import Visit, validators_of
from app.core.logic import execute_scrape
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.http.admission import admit
from ml_shared.http.routing import GuardedRoute
from ml_shared.http.sync import within_deadline
from ml_shared.names import RequestMode, Stage
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.telemetry.spans import direct_work
from ml_shared.telemetry.urls import told_url

router = APIRouter(route_class=GuardedRoute, tags=["sync"])


@router.post(
    "/scrape",
    response_model=ScrapeResult,
    summary="Fetch a page and answer with its text",
    description=(
        "Asks the site's robots.txt first and keeps to the host's pace. The content is Markdown. What takes longer than "
        "a request may, or shall be searchable, goes to `POST /enqueue`, or to `POST /jobs` on the orchestrator."
    ),
)
async def scrape_sync(
    payload: ScrapeRequest, request: Request, ctx: CallerContext = Depends(users_and())
) -> ScrapeResult:
    await enforcer.check(ctx)
    admit(payload, ctx, echo_job_id=True)
    validators = validators_of(payload.if_none_match, payload.if_modified_since)
    visit = Visit(
        payload.url, payload.job_id, RequestMode.SYNC, caller=ctx.owner, validators=validators, render=payload.render
    )
    with direct_work(Stage.SCRAPING, payload.job_id):
        async with request.app.state.seats.taken(ctx.owner):
            result = await within_deadline(
                execute_scrape(request.app.state.scraper, visit), settings.SYNC_TIMEOUT_SECONDS, "POST /enqueue"
            )
    emit(
        AuditEvent.SCRAPE_SYNC_COMPLETE,
        ctx,
        job_id=payload.job_id,
        url=told_url(payload.url),
        bytes=result.bytes_fetched,
    )
    return result
