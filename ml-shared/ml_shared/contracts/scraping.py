"""Scraper: one page in, Markdown and metadata out."""

from pydantic import Field

from ml_shared.contracts.base import Identifier, PeerModel, RequestModel, Url
from ml_shared.contracts.queueing import StageFields
from ml_shared.contracts.values import PeerTimestamp


class ScrapeRequest(RequestModel):
    """`POST /scrape`. A `job_id` is echoed and nothing more."""

    url: Url
    job_id: Identifier | None = None


class EnqueueScrape(StageFields):
    """`POST /enqueue` on the scraper."""

    url: Url


class RobotsVerdict(PeerModel):
    """What the site's robots.txt said of this page."""

    allowed: bool
    rule: str | None = Field(default=None, description="the line that decided, if one did")
    crawl_delay: float | None = Field(default=None, description="seconds between requests that the site asks for")
    robots_hash: str | None = Field(default=None, description="SHA-256 of the robots.txt; null when there is none")


class ScrapeResult(PeerModel):
    """A page that was fetched and read."""

    job_id: str | None = None
    url: str = Field(description="as submitted")
    final_url: str = Field(description="after redirects")
    status_code: int
    title: str | None = None
    content: str = Field(description="Markdown; for text/plain the text itself")
    content_type: str = Field(description="media type, without parameters")
    language: str | None = None
    author: str | None = None
    published_at: str | None = Field(default=None, description="as the page gives it, RFC 3339 date or date-time")
    canonical_url: str | None = None
    links: list[str] = Field(default_factory=list)
    content_hash: str = Field(description="SHA-256 of content, hexadecimal")
    etag: str | None = None
    last_modified: str | None = None
    bytes_fetched: int = Field(description="bytes of the decoded body")
    fetched_at: PeerTimestamp
    robots: RobotsVerdict
