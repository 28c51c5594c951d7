"""What a crawl is, as its row and each run's have it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from app.core.crawls.addresses import page_url
from app.core.crawls.scope import Scope, site_of
from ml_shared.contracts.crawls import CrawlRequest, CrawlSource, OnGone
from ml_shared.contracts.scraping import Render
from ml_shared.web.urls import InvalidUrlError

ROBOTS: Final = "/robots.txt"
SITEMAP: Final = "/sitemap.xml"


class Definition(BaseModel):
    """What is asked of a run: its crawl's request, without the URLs of a list."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: CrawlSource
    url: str | None = None
    include: list[str] = []
    exclude: list[str] = []
    subdomains: bool = False
    follow_links: bool = True
    max_pages: int
    max_depth: int
    keep_query: bool = False
    on_gone: OnGone = OnGone.DELETE
    dry_run: bool = False
    render: Render = Render.NEVER

    @classmethod
    def of(cls, request: CrawlRequest) -> Self:
        """Return what a request asks for."""
        asked = request.model_dump(mode="json", include=set(cls.model_fields))
        return cls.model_validate({**asked, "follow_links": request.follows_links})

    def scope(self, urls: Sequence[str] = ()) -> Scope:
        """Return which URLs belong to it.

        Parameters
        ----------
        urls
            Of a `list` its pages, whose sites are all of its.
        """
        begins = [self.url] if self.url is not None else urls
        sites = set()
        for url in begins:
            try:
                sites.add(site_of(page_url(url)))
            except InvalidUrlError:
                continue  # it is told of where it is met
        return Scope(frozenset(sites), self.subdomains, tuple(self.include), tuple(self.exclude))

    def beginnings(self, urls: Sequence[str] = ()) -> list[tuple[str, str, bool]]:
        """Return where a run begins: URLs, each with its kind, and whether it is no matter if there is none.

        Parameters
        ----------
        urls
            Of a `list`.
        """
        if self.source is CrawlSource.LIST:
            return [(url, "page", False) for url in urls]
        url = self.url or ""
        if self.source is CrawlSource.PAGE:
            return [(url, "page", False)]
        if self.source is CrawlSource.FEED:
            return [(url, "links", False)]
        parts = urlsplit(url)
        root = f"{parts.scheme}://{parts.netloc}"
        guessed = [(f"{root}{ROBOTS}", "links", True), (f"{root}{SITEMAP}", "links", True)]
        if self.source is CrawlSource.SITE:
            return [(url, "page", False), *guessed]
        if parts.path in ("", "/"):
            return guessed
        return [(url, "links", False)]  # who names one means that one


def stored(row: Mapping[str, Any]) -> Definition:
    """Return the definition that a row of `crawls` or `runs` has."""
    return Definition.model_validate(row["definition"])
