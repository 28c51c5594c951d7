"""Scraper: the URLs that a site names of itself, in its sitemaps, feeds and robots.txt, and all of them in one answer."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field

from ml_shared.contracts.base import Identifier, PeerModel, RequestModel, Url
from ml_shared.contracts.scraping import IfModifiedSince, IfNoneMatch, RobotsVerdict
from ml_shared.contracts.values import PeerTimestamp

LISTED_MAX: Final = 50_000
"""URLs of one sitemap, as its protocol has it (https://www.sitemaps.org/protocol.html)."""

LIST_MAX_BYTES: Final = 50 * 2**20
"""Of one sitemap, decompressed, as its protocol has it."""

MAPPED_MAX: Final = 5_000
SEARCH_MAX_CHARACTERS: Final = 500


class LinksRequest(RequestModel):
    """`POST /links`. A `job_id` is echoed and nothing more."""

    url: Url
    job_id: Identifier | None = None
    if_none_match: IfNoneMatch = None
    if_modified_since: IfModifiedSince = None


class ListKind(StrEnum):
    """What a document that lists URLs is."""

    SITEMAP = "sitemap"
    SITEMAP_INDEX = "sitemap_index"
    TEXT = "text"
    RSS = "rss"
    ATOM = "atom"
    ROBOTS = "robots"
    PAGE = "page"


class ListedLink(PeerModel):
    """A page that a sitemap or a feed names."""

    url: str = Field(description="absolute, normalised")
    lastmod: PeerTimestamp | None = Field(
        default=None,
        description=(
            "when it changed last, as the list says; the latest moment that this can mean, such as the end of a day. Null if "
            "it says none that can be read"
        ),
    )


class LinkList(PeerModel):
    """A sitemap, a feed, or what a robots.txt or a page says of these: one document, read."""

    job_id: str | None = None
    url: str = Field(description="as submitted")
    final_url: str = Field(description="after redirects")
    kind: ListKind | None = Field(
        default=None, description="`page` for one of HTML, of which only its feeds are told. Null if `not_modified`"
    )
    links: list[ListedLink] = Field(default_factory=list, description="pages, each once, in the list's order")
    sitemaps: list[str] = Field(default_factory=list, description="further lists that it names, each once")
    truncated: bool = Field(default=False, description="whether it names more than is here, or has more than was read")
    warnings: list[str] = Field(
        default_factory=list, description="what could not be read of it, for people: pages may be missing"
    )
    notes: list[str] = Field(
        default_factory=list,
        description="what is not as it should be, for people, such as times that could not be read: no page is missing for it",
    )
    etag: str | None = None
    last_modified: str | None = None
    not_modified: bool = Field(
        default=False,
        description="the list is what the request's validators say; it was not sent, and nothing was read",
    )
    bytes_fetched: int = Field(default=0, description="bytes of the body; those of a .gz file as they came")
    fetched_at: PeerTimestamp | None = None
    robots: RobotsVerdict | None = None


class MapRequest(RequestModel):
    """`POST /map`."""

    url: Url
    limit: Annotated[int, Field(ge=1, le=MAPPED_MAX, description="most links in the answer")] = 1_000
    search: Annotated[str, Field(min_length=1, max_length=SEARCH_MAX_CHARACTERS)] | None = Field(
        default=None, description="words: links whose URLs have more of them come first"
    )
    job_id: Identifier | None = None


class MappedLink(ListedLink):
    """A page of a site, and how it was found."""

    source: ListKind = Field(description="of the document that named it first: `page` for a link of the page itself")


class SiteMap(PeerModel):
    """What a site names of its own pages: those of its sitemaps, and what the page links to."""

    job_id: str | None = None
    url: str = Field(description="as submitted")
    links: list[MappedLink] = Field(description="of the same site (scheme and `www.` do not matter), each once")
    found: int = Field(description="how many there are, those beyond `limit` included")
    truncated: bool = Field(description="whether there are more than `links`, found or not")
    lists: list[str] = Field(default_factory=list, description="sitemaps that were read")
    warnings: list[str] = Field(default_factory=list, description="what could not be read, for people")
