"""Reading one document that lists URLs, the way a page is read: robots.txt first, at its host's pace, to the same bounds."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

from app.core.discovery.listing import Gathering, Listing
from app.core.errors import NotAListError
from app.core.fetching.requests import BodyRule
from app.core.fetching.visiting import NOT_MODIFIED, Page, Visit
from app.core.telemetry import NOT_MODIFIED as NOT_MODIFIED_OUTCOME
from app.core.telemetry import counted, extracting, fetched, fetching
from ml_shared.contracts.links import LIST_MAX_BYTES, LinkList, ListedLink, ListKind
from ml_shared.web.urls import normalise_url

if TYPE_CHECKING:
    from app.core.logic import Scraper

ROBOTS_PATH: Final = "/robots.txt"
_VALIDATOR_MAX_CHARACTERS: Final = 500


async def execute_links(scraper: "Scraper", visit: Visit, *, max_bytes: int = LIST_MAX_BYTES) -> LinkList:
    """Read a sitemap, a feed, or what a site's robots.txt names as its sitemaps.

    Parameters
    ----------
    visit
        What to read; afterwards, however it ended, `visit.host_next_at` says when its host may be asked again.
    max_bytes
        Where a longer document is cut off, as it came; one that is packed is cut off at `LIST_MAX_BYTES` as well.

    Raises
    ------
    NotAListError
        If it is nothing of the kind.
    ServiceError
        With the codes of the scraper's contract.
    """
    with counted(visit.mode) as ending:
        if is_robots(visit.url):
            return await _robots_sitemaps(scraper, visit)
        page = await fetch_list(scraper, visit, max_bytes)
        if page.answer.status == NOT_MODIFIED:
            ending.outcome = NOT_MODIFIED_OUTCOME
            return _answer(visit, page, Listing(kind=""))
        listing = await read_list(scraper, visit, page, max_bytes)
        if listing.kind == ListKind.PAGE and not listing.sitemaps:
            raise NotAListError("it is neither a sitemap nor a feed, but a page of HTML, and it names no feed")
        return _answer(visit, page, listing)


def is_robots(url: str) -> bool:
    """Whether a URL is that of a site's robots.txt."""
    return urlsplit(normalise_url(url)).path == ROBOTS_PATH


async def fetch_list(scraper: "Scraper", visit: Visit, max_bytes: int) -> Page:
    """Fetch a document of any kind, cut off where it is too long."""
    await scraper.extraction.expect()
    with fetching(visit) as span:
        page = await scraper.visitor.read(visit, BodyRule(max_bytes, cut=True))
        fetched(span, visit, len(page.answer.body))
    return page


async def read_list(scraper: "Scraper", visit: Visit, page: Page, max_bytes: int, *, anchors: bool = False) -> Listing:
    """Return what a document lists; with `anchors` also where a page of HTML links to."""
    answer = page.answer
    with extracting(visit):
        return await scraper.extraction.read_list(
            answer.body,
            url=answer.url,
            charset=answer.charset,
            cut=len(answer.body) >= max_bytes,
            anchors=anchors,
            caller=visit.caller,
        )


async def _robots_sitemaps(scraper: "Scraper", visit: Visit) -> LinkList:
    url = normalise_url(visit.url)
    with fetching(visit):
        verdict, named = await scraper.visitor.sitemaps(visit)
    gathering = Gathering(ListKind.ROBOTS.value, url)
    for address in named:
        gathering.sitemap(address)
    listing = gathering.finished()
    return LinkList(
        job_id=visit.job_id,
        url=visit.url,
        final_url=url,
        kind=ListKind.ROBOTS,
        sitemaps=listing.sitemaps,
        warnings=listing.warnings,
        notes=listing.notes,
        bytes_fetched=visit.bytes_received,
        fetched_at=datetime.now(UTC),
        robots=verdict,
    )


def _answer(visit: Visit, page: Page, listing: Listing) -> LinkList:
    answer = page.answer
    return LinkList(
        job_id=visit.job_id,
        url=visit.url,
        final_url=answer.url,
        kind=ListKind(listing.kind) if listing.kind else None,
        links=[
            ListedLink(url=url, lastmod=datetime.fromisoformat(lastmod) if lastmod else None)
            for url, lastmod in listing.links
        ],
        sitemaps=listing.sitemaps,
        truncated=listing.truncated,
        warnings=listing.warnings,
        notes=listing.notes,
        etag=_validator(answer.headers.get("etag")),
        last_modified=_validator(answer.headers.get("last-modified")),
        not_modified=answer.status == NOT_MODIFIED,
        bytes_fetched=len(answer.body),
        fetched_at=datetime.now(UTC),
        robots=page.robots,
    )


def _validator(header: str | None) -> str | None:
    return header if header and len(header) <= _VALIDATOR_MAX_CHARACTERS else None


def joined(url: str, path: str) -> str:
    """Return the address of something at the root of a URL's site."""
    return urljoin(normalise_url(url), path)
