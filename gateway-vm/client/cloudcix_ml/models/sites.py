"""What a site has, without fetching all of it."""

from datetime import datetime

from pydantic import Field

from cloudcix_ml.models.base import Answered, Body, OpenEnum


class ListKind(OpenEnum):
    """What a link was found in."""

    SITEMAP = "sitemap"
    SITEMAP_INDEX = "sitemap_index"
    TEXT = "text"
    RSS = "rss"
    ATOM = "atom"
    ROBOTS = "robots"
    PAGE = "page"


class MapRequest(Body):
    """A site whose pages are to be listed."""

    url: str
    limit: int = 1_000
    search: str | None = None
    job_id: str | None = None


class MappedLink(Answered):
    """A page of a site, and when it changed last, as its sitemap says."""

    url: str
    source: ListKind
    lastmod: datetime | None = None


class SiteMap(Answered):
    """A site's pages, as its sitemaps, feeds and first page tell of them; `lists` are the sitemaps that were read."""

    url: str
    links: list[MappedLink]
    found: int
    truncated: bool
    lists: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)
    job_id: str | None = None
