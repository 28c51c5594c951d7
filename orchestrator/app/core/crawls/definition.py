"""What a crawl is, as its row and each run's have it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict

from app.core.crawls.addresses import page_url
from app.core.crawls.scope import Scope, site_of
from ml_shared.contracts.crawls import CrawlRequest, CrawlSource, OnGone, SkipReason
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

    def scope(self, urls: Sequence[str]) -> Scope:
        """Return which URLs belong to it.

        Parameters
        ----------
        urls
            Of a `list` its pages, whose sites are all of its: without them nothing belongs to it. Of anything else none.
        """
        sites = self._sites([self.url] if self.url is not None else urls)
        return Scope(sites, self.subdomains, tuple(self.include), tuple(self.exclude))

    @staticmethod
    def _sites(begins: Sequence[str]) -> frozenset[str]:
        sites = set()
        for url in begins:
            try:
                sites.add(site_of(page_url(url)))
            except InvalidUrlError:
                continue  # it is told of where it is met
        return frozenset(sites)

    def leads_further(
        self, before: "Definition", urls: Sequence[str], urls_before: Sequence[str], forgotten: Collection[str]
    ) -> bool:
        """Say whether links may lead to pages now of which nothing was remembered under the definition before.

        Parameters
        ----------
        urls, urls_before
            Of a `list`.
        forgotten
            Why runs left out URLs of which they kept no row. What has a row is met again by its hash.
        """
        if not self.follow_links:
            return False
        bounds = {
            SkipReason.OVER_LIMIT: self.max_pages > before.max_pages,
            SkipReason.TOO_DEEP: self.max_depth > before.max_depth,
            SkipReason.EXCLUDED: (self.include, self.exclude) != (before.include, before.exclude),
        }
        return (
            (self.subdomains and not before.subdomains)
            or (self.keep_query and not before.keep_query)
            or (urls != urls_before and not self.scope(urls).sites <= before.scope(urls_before).sites)
            or any(widened and reason in forgotten for reason, widened in bounds.items())
        )

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


class RunDefinition(Definition):
    """What a run was begun with: its crawl may be changed meanwhile, which counts from the next run on.

    Attributes
    ----------
    metadata, chunking
        Of its pages. `None`: the crawl's, of a run that was begun before they were kept with it.
    sites
        Of a `list` whose its pages are, when it began. `None`: those of the crawl's URLs.
    """

    metadata: dict[str, Any] | None = None
    chunking: dict[str, Any] | None = None
    sites: list[str] | None = None

    @classmethod
    def begun(cls, crawl: Mapping[str, Any]) -> Self:
        """Return what a run of a crawl's row that begins now is begun with."""
        definition = stored(crawl)
        sites = sorted(cls._sites(crawl["urls"])) if definition.source is CrawlSource.LIST else None
        return cls(**dict(definition), metadata=crawl["metadata"], chunking=crawl["chunking"], sites=sites)

    @property
    def needs_urls(self) -> bool:
        """Whether the URLs of a list are needed to say what its scope is."""
        return self.source is CrawlSource.LIST and self.sites is None

    def scope(self, urls: Sequence[str]) -> Scope:
        """Return which URLs belong to it, by the sites that it began with."""
        scope = super().scope(urls)
        return scope if self.sites is None else replace(scope, sites=frozenset(self.sites))


def stored(row: Mapping[str, Any]) -> Definition:
    """Return the definition that a row of `crawls` has."""
    return Definition.model_validate(row["definition"])


def begun_with(row: Mapping[str, Any]) -> RunDefinition:
    """Return the definition that a row of `runs` has."""
    return RunDefinition.model_validate(row["definition"])
