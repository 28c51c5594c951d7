"""What pages a site has, in one answer: those of its sitemaps, and those that the page links to."""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import unquote

from app.core.discovery.listing import Listing
from app.core.discovery.lists import ROBOTS_PATH, execute_links, fetch_list, joined, read_list
from app.core.errors import HostBusyError, RobotsDisallowedError
from app.core.fetching.visiting import Visit
from app.core.telemetry import counted
from ml_shared.contracts.links import LinkList, ListedLink, ListKind, MappedLink, MapRequest, SiteMap
from ml_shared.errors import ServiceError
from ml_shared.names import RequestMode
from ml_shared.web.urls import host_of, normalise_url

if TYPE_CHECKING:
    from app.core.logic import Scraper

SITEMAP_PATH: Final = "/sitemap.xml"
SITEMAPS_DEEP: Final = 3
# indexes of indexes
LISTS_MAX: Final = 50
FOUND_MAX: Final = 20_000
# of a site; four answers of the longest kind, to choose the best of
WARNINGS_MAX: Final = 20
_WORDS: Final = re.compile(r"[^\W_]+")
_T = TypeVar("_T")


async def execute_map(scraper: "Scraper", request: MapRequest, *, caller: str, max_bytes: int) -> SiteMap:
    """Find the pages of a site: in the sitemaps of its robots.txt, in /sitemap.xml, and in the links of a page.

    Where a host may not be asked yet this waits; whoever awaits it has a deadline.

    Parameters
    ----------
    caller
        Who waits for it.
    max_bytes
        Where each document is cut off.

    Raises
    ------
    ServiceError
        Why the page could not be read, where no sitemap gave anything either.
    """
    survey = _Survey(scraper, request, caller, max_bytes)
    failure = await survey.page()
    await survey.sitemaps()
    if failure is not None and not survey.found:
        raise failure
    return await asyncio.to_thread(survey.answer)


@dataclass
class _Survey:
    """A site, as far as it is known."""

    scraper: "Scraper"
    request: MapRequest
    caller: str
    max_bytes: int
    found: dict[str, MappedLink] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    has_more: bool = False

    def __post_init__(self) -> None:
        self._site = _site_of(normalise_url(self.request.url))

    async def page(self) -> ServiceError | None:
        """Take in where the page links to; return why it could not be read, if it could not."""
        try:
            listing = await self._patiently(self.request.url, self._links_of)
        except ServiceError as error:
            if isinstance(error, HostBusyError):
                raise
            self._warn(self.request.url, error)
            return error
        kind = ListKind(listing.kind)
        links = [ListedLink.model_validate({"url": url, "lastmod": lastmod}) for url, lastmod in listing.links]
        if kind is ListKind.PAGE and _site_of(links[0].url) != self._site:
            self._say(
                f"{self.request.url} leads to {links[0].url}, which is another site: to see its pages, map that one"
            )
        self._take(links, kind, truncated=listing.truncated)
        return None

    async def sitemaps(self) -> None:
        """Take in what the site's sitemaps name."""
        waiting = deque((url, 0) for url in await self._beginnings())
        known = {url for url, _ in waiting}
        while waiting and not self._is_full:
            url, depth = waiting.popleft()
            if len(self.read) >= LISTS_MAX:
                self._say(f"there are more than {LISTS_MAX} sitemaps; the rest was not read")
                self.has_more = True
                return
            listed = await self._list(url, is_guessed=url == self._guess)
            if listed is None:
                continue
            self.read.append(url)
            self._take(listed.links, listed.kind or ListKind.SITEMAP, truncated=listed.truncated)
            further = [one for one in listed.sitemaps if one not in known]
            if further and depth >= SITEMAPS_DEEP:
                self._say(f"{url} lies more than {SITEMAPS_DEEP} indexes deep; what it names was not read")
                self.has_more = True
                continue
            known.update(further)
            waiting.extend((one, depth + 1) for one in further)

    @property
    def _is_full(self) -> bool:
        return len(self.found) >= FOUND_MAX

    @property
    def _guess(self) -> str:
        return joined(self.request.url, SITEMAP_PATH)

    async def _beginnings(self) -> list[str]:
        robots = await self._list(joined(self.request.url, ROBOTS_PATH), is_guessed=False)
        return list(dict.fromkeys([*(robots.sitemaps if robots else ()), self._guess]))

    async def _links_of(self, visit: Visit) -> Listing:
        with counted(visit.mode):
            page = await fetch_list(self.scraper, visit, self.max_bytes)
            listing = await read_list(self.scraper, visit, page, self.max_bytes, anchors=True)
            if listing.kind == ListKind.PAGE:
                listing.links.insert(0, (page.answer.url, None))
            return listing

    async def _list(self, url: str, *, is_guessed: bool) -> LinkList | None:
        async def execute(visit: Visit) -> LinkList:
            return await execute_links(self.scraper, visit, max_bytes=self.max_bytes)

        try:
            return await self._patiently(url, execute)
        except ServiceError as error:
            if not is_guessed or isinstance(error, RobotsDisallowedError):
                self._warn(url, error)
            return None

    async def _patiently(self, url: str, read: Callable[[Visit], Awaitable[_T]]) -> _T:
        """Read something, when its host may be asked."""
        while True:
            try:
                return await read(Visit(url, mode=RequestMode.SYNC, caller=self.caller))
            except HostBusyError as busy:
                await asyncio.sleep(busy.retry_after_seconds or 1.0)

    def _take(self, links: list[ListedLink], kind: ListKind, *, truncated: bool) -> None:
        self.has_more |= truncated
        for link in links:
            if _site_of(link.url) != self._site:
                continue
            known = self.found.get(link.url)
            if known is not None:
                known.lastmod = known.lastmod or link.lastmod
            elif self._is_full:
                self.has_more = True
                return
            else:
                self.found[link.url] = MappedLink(url=link.url, lastmod=link.lastmod, source=kind)

    def answer(self) -> SiteMap:
        """Return the links that were asked for, those first that have more of the words."""
        links = list(self.found.values())
        words = set(_WORDS.findall((self.request.search or "").casefold()))
        if words:
            links.sort(key=lambda link: -_likeness(link.url, words))  # which keeps the order of equals
        limit = self.request.limit
        return SiteMap(
            job_id=self.request.job_id,
            url=self.request.url,
            links=links[:limit],
            found=len(links),
            truncated=self.has_more or len(links) > limit,
            lists=self.read,
            warnings=self.warnings,
        )

    def _warn(self, url: str, error: ServiceError) -> None:
        self._say(f"{url}: {error.code}: {error.detail}")

    def _say(self, text: str) -> None:
        if len(self.warnings) < WARNINGS_MAX:
            self.warnings.append(text)


def _likeness(url: str, words: set[str]) -> float:
    """Return how many of the words a URL has; one that is a part of another word counts half."""
    text = unquote(url.partition("://")[2]).casefold()
    whole = words & set(_WORDS.findall(text))
    return len(whole) + sum(0.5 for word in words - whole if word in text)


def _site_of(url: str) -> str:
    return host_of(url).removeprefix("www.")
