"""Scraper: one page in, Markdown and metadata out."""

from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from ml_shared.contracts.base import Identifier, PeerModel, RequestModel, Url
from ml_shared.contracts.chunking import MAX_PAGES, PageStart
from ml_shared.contracts.queueing import BATCH_MAX, HandOutFields, StageFields
from ml_shared.contracts.values import Choice, PeerTimestamp

METHOD_MAX_CHARACTERS: Final = 60
_HEADER_VALUE: Final = r"^[!-~\u0080-\u00ff](?:[ -~\u0080-\u00ff]*[!-~\u0080-\u00ff])?$"
VALIDATOR_MAX_CHARACTERS: Final = 500
LINKS_MAX: Final = 5_000
"""Links of a page that are told; how many more there are is counted."""


class ScrapePurpose(StrEnum):
    """What a document is read for."""

    PAGE = "page"
    LINKS = "links"


class Render(StrEnum):
    """Whether a browser builds a page before its text is taken."""

    NEVER = "never"
    AUTO = "auto"
    ALWAYS = "always"


class ExtractionWarning(StrEnum):
    """What a reader of the text should know. It is no error: the text is the page's."""

    LOOKS_MISSING = "looks_missing"
    LITTLE_TEXT = "little_text"
    WRONG_CONTENT_TYPE = "wrong_content_type"
    INCOMPLETE = "incomplete"


_KNOWN_WARNINGS: Final = frozenset(ExtractionWarning)


def _known_once(warnings: Any) -> Any:
    """Leave out warnings of a later version: they are no reason to lose a page."""
    if not isinstance(warnings, list):
        return warnings
    return list(
        dict.fromkeys(warning for warning in warnings if isinstance(warning, str) and warning in _KNOWN_WARNINGS)
    )


Validator = Annotated[str, Field(min_length=1, max_length=VALIDATOR_MAX_CHARACTERS, pattern=_HEADER_VALUE)]
"""What a site gave to recognise a page's state by: sent back to it as it came, in a header."""

IfNoneMatch = Annotated[
    Validator | None, Field(description="the page's `etag` of last time: if it is still that, `not_modified`")
]
IfModifiedSince = Annotated[
    Validator | None, Field(description="the page's `last_modified` of last time, where it has no `etag`")
]

Purpose = Annotated[
    Choice[ScrapePurpose],
    Field(
        description=(
            "`page`: its text, answered as a `ScrapeResult`. `links`: what a sitemap, a feed or a robots.txt names, answered as "
            "a `LinkList`"
        )
    ),
]


RenderField = Annotated[
    Choice[Render],
    Field(
        description="whether a browser runs the page's scripts first: `auto` does for a page that holds no text without"
    ),
]


class ScrapeRequest(RequestModel):
    """`POST /scrape`. A `job_id` is echoed and nothing more."""

    url: Url
    job_id: Identifier | None = None
    if_none_match: IfNoneMatch = None
    if_modified_since: IfModifiedSince = None
    render: RenderField = Render.NEVER


class EnqueueScrape(StageFields):
    """`POST /enqueue` on the scraper."""

    url: Url
    if_none_match: IfNoneMatch = None
    if_modified_since: IfModifiedSince = None
    purpose: Purpose = ScrapePurpose.PAGE
    render: RenderField = Render.NEVER
    content_ref: Identifier | None = Field(
        default=None, description="internal: what was uploaded, to be read instead of fetched"
    )
    upload_type: Annotated[str, Field(max_length=255)] | None = Field(
        default=None, description="internal: the content type that it was uploaded with"
    )


class ScrapeHandOut(HandOutFields, EnqueueScrape):
    """One of several hand-outs."""


class EnqueueScrapes(RequestModel):
    """`POST /enqueue/batch` on the scraper."""

    hand_outs: Annotated[list[ScrapeHandOut], Field(min_length=1, max_length=BATCH_MAX)]


class RobotsVerdict(PeerModel):
    """What the site's robots.txt said of this page."""

    allowed: bool
    rule: str | None = Field(default=None, description="the line that decided, if one did")
    crawl_delay: float | None = Field(default=None, description="seconds between requests that the site asks for")
    robots_hash: str | None = Field(default=None, description="SHA-256 of the robots.txt; null when there is none")


class Extraction(PeerModel):
    """How a page's text was made, and how far to trust it."""

    method: Annotated[str, Field(max_length=METHOD_MAX_CHARACTERS)] = Field(description="how the text was found")
    kept_share: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="share of the words that the page shows which the text has, roughly; of a book of its chapters, if some are not read",
    )
    warnings: Annotated[
        list[ExtractionWarning], BeforeValidator(_known_once), Field(max_length=len(ExtractionWarning))
    ] = Field(
        default_factory=list,
        description=(
            "`looks_missing`: it reads like a page that says that there is no such page; `little_text`: a dozen words or "
            "less; `wrong_content_type`: it was read as what its bytes are, not as what its header says; `incomplete`: "
            "something that the rendered page is made of did not come, for want of time or room, or chapters of a book are "
            "encrypted or missing"
        ),
    )


class ScrapeResult(PeerModel):
    """A page that was fetched and read."""

    job_id: str | None = None
    url: str = Field(description="as submitted")
    final_url: str = Field(description="after redirects")
    status_code: int
    title: str | None = None
    content: str = Field(description="Markdown; for text/plain the text itself; empty if `not_modified`")
    content_type: str = Field(description="media type that it was read as, without parameters")
    language: str | None = None
    author: str | None = None
    published_at: str | None = Field(default=None, description="as the page gives it, RFC 3339 date or date-time")
    canonical_url: str | None = None
    links: list[str] = Field(
        default_factory=list,
        description=f"where it leads: absolute, each once, in the page's order, at most {LINKS_MAX}",
    )
    nofollow_links: list[str] = Field(
        default_factory=list, description="those of `links` that the page has with `rel=nofollow` alone"
    )
    links_left_out: int = Field(default=0, description="how many more addresses it links to than `links` has")
    links_too_long: int = Field(
        default=0, description="how many of them are longer than a URL may be, and are not told"
    )
    content_hash: str = Field(description="SHA-256 of content, hexadecimal")
    etag: str | None = None
    last_modified: str | None = None
    bytes_fetched: int = Field(description="bytes of the decoded body")
    fetched_at: PeerTimestamp
    robots: RobotsVerdict
    not_modified: bool = Field(
        default=False,
        description="the page is what the request's validators say; it was not sent, and nothing was read",
    )
    nofollow: bool = Field(default=False, description="the page asks robots not to follow any of its links")
    rendered: bool = Field(default=False, description="a browser built the page; then it has no validators")
    pages: Annotated[list[PageStart], Field(max_length=MAX_PAGES)] = Field(
        default_factory=list, description="of a document with pages or slides: where each that has text begins"
    )
    extraction: Extraction | None = Field(default=None, description="null from versions that did not tell")
