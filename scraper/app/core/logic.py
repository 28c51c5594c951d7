"""What the scraper does: one page in, Markdown and metadata out; or a list of pages in, and their URLs out."""

import hashlib
import ssl
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import httpx
from redis.asyncio import Redis

from app.core.discovery.lists import execute_links as execute_links
from app.core.discovery.site_map import execute_map as execute_map
from app.core.errors import EmptyContentError, RendererNotConfiguredError
from app.core.extraction.pool import ExtractionPool
from app.core.extraction.result import Extract
from app.core.fetching.kept_parts import KeptParts
from app.core.fetching.pacing import Pacer
from app.core.fetching.requests import Answer, Fetcher
from app.core.fetching.visiting import NOT_MODIFIED, Page, Visit, Visitor
from app.core.rendering.markup import is_markup
from app.core.rendering.renderer import Renderer
from app.core.robots.directives import forbids_following, refuse_noindex, rules_of
from app.core.robots.store import RobotsStore
from app.core.telemetry import NOT_MODIFIED as NOT_MODIFIED_OUTCOME
from app.core.telemetry import counted, extracting, fetched, fetching, rendering
from ml_shared.contracts.chunking import PageStart
from ml_shared.contracts.scraping import Extraction, ExtractionWarning, Render, RobotsVerdict, ScrapeResult
from ml_shared.web.addresses import AddressGuard, Resolver, SystemResolver

if TYPE_CHECKING:
    from app.config import Settings


UNTOLD: Final = "application/octet-stream"
UPLOADED: Final = RobotsVerdict(allowed=True)
# nobody's robots.txt was asked
_HEADER_MAX_CHARACTERS: Final = 500


@dataclass(frozen=True)
class Scraper:
    """What scraping needs, opened once a process."""

    visitor: Visitor
    extraction: ExtractionPool
    agent: str
    obeys_noindex: bool
    renderer: Renderer | None

    def needs_renderer(self) -> Renderer:
        """Return the renderer, or say that there is none."""
        if self.renderer is None:
            raise RendererNotConfiguredError("there is no renderer here; `render` can be `never`, or `auto` in vain")
        return self.renderer


@dataclass(frozen=True)
class Reading:
    """What was read of a page.

    Attributes
    ----------
    rendered
        Whether a browser built it.
    """

    page: Page
    extract: Extract
    rendered: bool = False


@asynccontextmanager
async def open_scraper(
    settings: "Settings",
    redis: Redis,
    *,
    processes: int,
    resolver: Resolver | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[Scraper]:
    """Open what scraping needs.

    Parameters
    ----------
    processes
        How many pages are turned into text at once, at most.
    resolver
        Finds the addresses of hosts; the system's unless given.
    ssl_context
        Whom it trusts; made anew unless given, which takes 40 ms.
    """
    system = SystemResolver()
    guard = AddressGuard(
        resolver or system,
        private_networks=settings.ALLOWED_PRIVATE_NETWORKS,
        ports=settings.ALLOWED_PORTS,
        blocked_networks=settings.BLOCKED_NETWORKS,
        nat64_prefixes=settings.NAT64_PREFIXES,
    )
    fetcher = Fetcher(
        guard,
        user_agent=settings.USER_AGENT,
        connect_timeout_seconds=settings.CONNECT_TIMEOUT_SECONDS,
        ssl_context=ssl_context or httpx.create_ssl_context(),
    )
    agent = settings.USER_AGENT.partition("/")[0]
    visitor = Visitor(
        fetcher,
        Pacer(
            redis,
            host_delay_seconds=settings.HOST_DELAY_SECONDS,
            max_delay_seconds=settings.MAX_CRAWL_DELAY_SECONDS,
        ),
        RobotsStore(redis, agent=agent, ttl_seconds=settings.ROBOTS_TTL_SECONDS),
        KeptParts(redis),
        agent=agent,
        budget_seconds=settings.FETCH_TIMEOUT_SECONDS,
        max_redirects=settings.MAX_REDIRECTS,
        max_page_bytes=settings.MAX_PAGE_BYTES,
    )
    try:
        async with ExtractionPool.open(size=processes, timeout_seconds=settings.EXTRACT_TIMEOUT_SECONDS) as extraction:
            yield Scraper(visitor, extraction, agent, settings.OBEY_NOINDEX, Renderer.of(settings))
    finally:
        system.close()


async def execute_scrape(scraper: Scraper, visit: Visit) -> ScrapeResult:
    """Scrape one page.

    Parameters
    ----------
    visit
        What to scrape; afterwards, however it ended, `visit.host_next_at` says when its host may be asked again.

    Raises
    ------
    ServiceError
        With the codes of the scraper's contract.
    """
    with counted(visit.mode) as ending:
        if visit.render is Render.ALWAYS:
            scraper.needs_renderer()
            visit.validators = {}  # they tell of a page as it came, and whether its scripts' text is the same nobody knows
        await scraper.extraction.expect()
        page = await _fetched(scraper.visitor.read(visit), visit)
        while True:
            fetched_at = datetime.now(UTC)
            if page.answer.status == NOT_MODIFIED:
                ending.outcome = NOT_MODIFIED_OUTCOME
                return _result(visit, page.answer, page.robots, Extract(""), fetched_at)
            reading = await _read(scraper, visit, page)
            if reading.extract.refresh is None:
                return _result(
                    visit,
                    reading.page.answer,
                    reading.page.robots,
                    reading.extract,
                    fetched_at,
                    rendered=reading.rendered,
                )
            # each is a redirect more, and the visitor counts them
            page = await _fetched(scraper.visitor.read_on(reading.page, reading.extract.refresh), visit)


async def execute_upload(scraper: Scraper, visit: Visit, body: bytes, content_type: str) -> ScrapeResult:
    """Read a document that was uploaded, as a page of its kind is read, without a visit to anybody.

    What a page may say to robots, it says to who fetches it; whose document it is has sent this one.

    Parameters
    ----------
    visit
        Of the URL that the document is found under.
    content_type
        What it was said to be, with its charset where it has one.

    Raises
    ------
    ServiceError
        With the codes of the scraper's contract.
    """
    answer = Answer(visit.url, 200, {} if content_type.startswith(UNTOLD) else {"content-type": content_type}, body)
    with counted(visit.mode), extracting(visit):
        extract = await scraper.extraction.extract(
            body, url=visit.url, media_type=answer.media_type, charset=answer.charset, caller=visit.caller
        )
    return _result(visit, answer, UPLOADED, replace(extract, robots=[]), datetime.now(UTC))


async def _read(scraper: Scraper, visit: Visit, page: Page) -> Reading:
    """Return the text of a page, as it came or as a browser builds it."""
    if visit.render is Render.ALWAYS and is_markup(page.answer):
        return await _rendered(scraper, visit, page)
    try:
        return Reading(page, await _extracted(scraper, visit, page))
    except EmptyContentError as nothing:
        if visit.render is not Render.AUTO or not is_markup(page.answer):
            raise
        if scraper.renderer is None:
            raise EmptyContentError(
                f"{nothing.detail}; there is no renderer here that could run its scripts"
            ) from nothing
    return await _rendered(scraper, visit, page)


async def _rendered(scraper: Scraper, visit: Visit, page: Page) -> Reading:
    renderer = scraper.needs_renderer()
    if scraper.obeys_noindex:
        refuse_noindex(rules_of(page.answer.headers.get("x-robots-tag", ""), scraper.agent))
    with rendering(visit):
        made = await renderer.render(scraper.visitor, page)
    try:
        extract = await _extracted(scraper, visit, made.page)
    except EmptyContentError as nothing:
        raise made.failure or nothing from nothing
    return Reading(made.page, made.noted(extract), made.rendered)


async def _fetched(reading: Awaitable[Page], visit: Visit) -> Page:
    with fetching(visit) as span:
        page = await reading
        fetched(span, visit, len(page.answer.body))
    return page


async def _extracted(scraper: Scraper, visit: Visit, page: Page) -> Extract:
    answer = page.answer
    asked = rules_of(answer.headers.get("x-robots-tag", ""), scraper.agent)
    if scraper.obeys_noindex:
        refuse_noindex(asked)
    with extracting(visit):
        extract = await scraper.extraction.extract(
            answer.body,
            url=answer.url,
            media_type=answer.media_type,
            charset=answer.charset,
            refresh=answer.headers.get("refresh"),
            agent=scraper.agent,
            caller=visit.caller,
        )
    if scraper.obeys_noindex:
        refuse_noindex(extract.robots)
    return replace(extract, robots=[*asked, *extract.robots])


def _result(
    visit: Visit,
    answer: Answer,
    robots: RobotsVerdict,
    extract: Extract,
    fetched_at: datetime,
    *,
    rendered: bool = False,
) -> ScrapeResult:
    # of a page that scripts build they tell nothing: they are those of the scripts' frame
    validators = {} if rendered else answer.headers
    return ScrapeResult(
        job_id=visit.job_id,
        url=visit.url,
        final_url=answer.url,
        status_code=answer.status,
        title=extract.title,
        content=extract.content,
        content_type=extract.media_type,
        language=extract.language,
        author=extract.author,
        published_at=extract.published_at,
        canonical_url=extract.canonical_url,
        links=extract.links,
        nofollow_links=extract.nofollow_links,
        links_left_out=extract.links_left_out,
        links_too_long=extract.links_too_long,
        content_hash=hashlib.sha256(extract.content.encode()).hexdigest(),
        etag=_short(validators.get("etag")),
        last_modified=_short(validators.get("last-modified")),
        bytes_fetched=len(answer.body),
        fetched_at=fetched_at,
        robots=robots,
        not_modified=answer.status == NOT_MODIFIED,
        rendered=rendered,
        nofollow=forbids_following(extract.robots),
        pages=[PageStart(number=number, start=start) for number, start in extract.pages],
        extraction=Extraction(
            method=extract.method, kept_share=extract.kept_share, warnings=[*map(ExtractionWarning, extract.warnings)]
        ),
    )


def _short(header: str | None) -> str | None:
    """Return a header that is as long as such headers are; cut, a validator would be another one."""
    return header if header and len(header) <= _HEADER_MAX_CHARACTERS else None
