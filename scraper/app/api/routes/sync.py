"""POST /scrape, POST /links and POST /map: a page, a list of pages, or a site's pages, in the answer."""

from typing import Final

from fastapi import APIRouter, Depends, Request

from app.api.schemas import LinkList, LinksRequest, MapRequest, ScrapeRequest, ScrapeResult, SiteMap
from app.config import settings
from app.core.fetching.visiting import Visit, validators_of
from app.core.logic import execute_links, execute_map, execute_scrape
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

LINKS_ALTERNATIVE: Final = "POST /enqueue with `purpose: links`"
MAP_ALTERNATIVE: Final = "POST /crawls on the orchestrator with `dry_run: true`, which finds pages and indexes none"
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
        payload.url,
        payload.job_id,
        RequestMode.SYNC,
        caller=ctx.owner,
        owner=ctx.owner,
        validators=validators,
        render=payload.render,
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


@router.post(
    "/links",
    response_model=LinkList,
    summary="Read a sitemap, a feed, or what a robots.txt names",
    description=(
        "Reads one document, at its host's pace like a page, and answers with the pages that it names and the further lists. "
        "Sitemaps, indexes of them, `.gz`, texts of one URL a line, RSS and Atom are read; of a robots.txt its `Sitemap:` "
        "lines, of a page of HTML the feeds that it names. Of a damaged one it has what could be read, and `warnings`."
    ),
)
async def read_links(payload: LinksRequest, request: Request, ctx: CallerContext = Depends(users_and())) -> LinkList:
    await enforcer.check(ctx)
    admit(payload, ctx, echo_job_id=True)
    validators = validators_of(payload.if_none_match, payload.if_modified_since)
    visit = Visit(payload.url, payload.job_id, RequestMode.SYNC, caller=ctx.owner, validators=validators)
    with direct_work(Stage.SCRAPING, payload.job_id):
        async with request.app.state.seats.taken(ctx.owner):
            result = await within_deadline(
                # as many at once as of pages, so they may be no longer
                execute_links(request.app.state.scraper, visit, max_bytes=settings.MAX_PAGE_BYTES),
                settings.SYNC_TIMEOUT_SECONDS,
                LINKS_ALTERNATIVE,
            )
    emit(
        AuditEvent.LINKS_SYNC_COMPLETE,
        ctx,
        job_id=payload.job_id,
        url=told_url(payload.url),
        results=len(result.links),
    )
    return result


@router.post(
    "/map",
    response_model=SiteMap,
    summary="Find a site's pages",
    description=(
        "Reads the sitemaps that the site's robots.txt names, `/sitemap.xml`, and the page at `url`, each at the host's pace, "
        "and answers with the URLs of the same site. With `search`, those whose URLs have its words come first. A site that "
        "takes longer than a request may is for `POST /crawls` on the orchestrator: with `dry_run` it finds pages and "
        "indexes none."
    ),
)
async def map_site(payload: MapRequest, request: Request, ctx: CallerContext = Depends(users_and())) -> SiteMap:
    await enforcer.check(ctx)
    admit(payload, ctx, echo_job_id=True)
    with direct_work(Stage.SCRAPING, payload.job_id):
        async with request.app.state.seats.taken(ctx.owner):
            result = await within_deadline(
                execute_map(request.app.state.scraper, payload, caller=ctx.owner, max_bytes=settings.MAX_PAGE_BYTES),
                settings.SYNC_TIMEOUT_SECONDS,
                MAP_ALTERNATIVE,
            )
    emit(
        AuditEvent.MAP_SYNC_COMPLETE,
        ctx,
        job_id=payload.job_id,
        url=told_url(payload.url),
        results=len(result.links),
    )
    return result
