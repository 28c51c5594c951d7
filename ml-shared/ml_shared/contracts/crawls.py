"""Orchestrator: what is to be kept in a corpus of a site, each run of it, and what became of every page."""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from ml_shared.contracts.base import Metadata, PeerModel, RequestModel, Url
from ml_shared.contracts.chunking import ChunkingOptions
from ml_shared.contracts.jobs import JobOptions
from ml_shared.contracts.scraping import Render
from ml_shared.contracts.values import Choice, PeerTimestamp

MAX_PAGES: Final = 100_000
MAX_DEPTH: Final = 50
MAX_LISTED_URLS: Final = 10_000
LISTED_SHOWN: Final = 100
MAX_GLOBS: Final = 100
GLOB_MAX_CHARACTERS: Final = 500
CRON_MAX_CHARACTERS: Final = 100
ZONE_MAX_CHARACTERS: Final = 64


class CrawlSource(StrEnum):
    """Where a run begins."""

    PAGE = "page"
    LIST = "list"
    SITEMAP = "sitemap"
    SITE = "site"
    FEED = "feed"


class OnGone(StrEnum):
    """What becomes of a document whose page is gone in two runs in a row."""

    DELETE = "delete"
    KEEP = "keep"


class RunOutcome(StrEnum):
    """What became of a page in a run."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    FAILED = "failed"
    SKIPPED = "skipped"


class SkipReason(StrEnum):
    """Why a URL that was met is not in the corpus under its own name."""

    OUT_OF_SCOPE = "out_of_scope"
    EXCLUDED = "excluded"
    ROBOTS_DISALLOWED = "robots_disallowed"
    NOFOLLOW = "nofollow"
    NOINDEX = "noindex"
    TOO_DEEP = "too_deep"
    OVER_LIMIT = "over_limit"
    DUPLICATE_CONTENT = "duplicate_content"
    CANONICAL_ELSEWHERE = "canonical_elsewhere"
    TRAP = "trap"
    UNSUPPORTED = "unsupported"
    CANCELLED = "cancelled"


class RunState(StrEnum):
    """Where a run stands. An ended run never moves."""

    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunTrigger(StrEnum):
    """Why there is a run."""

    SUBMITTED = "submitted"
    REQUESTED = "requested"
    SCHEDULED = "scheduled"


def _check_glob(glob: str) -> str:
    if "\0" in glob:
        raise ValueError("contains a NUL character, which no path has")
    if not glob.startswith(("/", "*")):
        raise ValueError("a glob is matched with a whole path: begin it with / or *, as in /docs/*")
    return glob


Glob = Annotated[str, StringConstraints(min_length=1, max_length=GLOB_MAX_CHARACTERS), AfterValidator(_check_glob)]
"""A pattern of paths: `*` is any characters, slashes too, `?` is one; the path as it stands in a normalised URL."""

Globs = Annotated[list[Glob], Field(max_length=MAX_GLOBS)]
MaxPages = Annotated[
    int, Field(ge=1, le=MAX_PAGES, description="most pages that a run asks for; the rest is `over_limit`")
]
MaxDepth = Annotated[
    int, Field(ge=0, le=MAX_DEPTH, description="most links from where a run begins to a page; the rest is `too_deep`")
]


class Schedule(RequestModel):
    """When a crawl is run: `every` so often, or by `cron` in a time zone."""

    every: Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}[mhdw]$")] | None = Field(
        default=None,
        description="minutes, hours, days or weeks: `30m`, `24h`, `7d`, `2w`; the first time is so long after the schedule is given",
    )
    cron: Annotated[str, StringConstraints(pattern=rf"^[ -~]{{9,{CRON_MAX_CHARACTERS}}}$")] | None = Field(
        default=None, description="five fields: minute, hour, day of the month, month, day of the week"
    )
    timezone: Annotated[str, StringConstraints(pattern=rf"^[A-Za-z0-9_+/-]{{1,{ZONE_MAX_CHARACTERS}}}$")] = Field(
        default="UTC", description="of `cron`, as the IANA database has it: `Europe/Dublin`"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.every is None) == (self.cron is None):
            raise ValueError("give either `every` or `cron`")
        return self


class CrawlRequest(JobOptions):
    """`POST /crawls`: pages of a site to keep in a corpus, now and by a schedule."""

    source: Choice[CrawlSource] = CrawlSource.PAGE
    url: Url | None = Field(
        default=None,
        description="where it begins: a page, a site, a sitemap (or the site that has one), a feed; not for a `list`",
    )
    urls: Annotated[list[Url], Field(max_length=MAX_LISTED_URLS)] = Field(
        default_factory=list, description="of a `list`: its pages, and no others"
    )
    include: Globs = Field(
        default_factory=list, description="globs on the path of which one has to match, if there are any"
    )
    exclude: Globs = Field(default_factory=list, description="globs on the path of which none may match; they win")
    subdomains: bool = Field(default=False, description="whether hosts below the site's belong to it")
    follow_links: bool | None = Field(
        default=None, description="whether links of pages are followed: by default those of a `page` and a `site`"
    )
    max_pages: MaxPages = 1_000
    max_depth: MaxDepth = 10
    keep_query: bool = Field(default=False, description="whether tracking parameters and session ids stay in URLs")
    on_gone: Choice[OnGone] = Field(
        default=OnGone.DELETE,
        description=(
            "what becomes of a document whose page is gone in two runs in a row: it answers 404 or 410, or a run that met "
            "everything did not meet it. What a `feed` names no more stays"
        ),
    )
    schedule: Schedule | None = None
    dry_run: bool = Field(default=False, description="find the pages, and index none")

    @model_validator(mode="after")
    def _has_a_beginning(self) -> Self:
        if self.source is CrawlSource.LIST:
            if self.url is not None or not self.urls:
                raise ValueError("a `list` has `urls`, at least one, and no `url`")
        elif self.url is None or self.urls:
            raise ValueError(f"a `{self.source}` has one `url`, and no `urls`")
        if self.dry_run and self.schedule is not None:
            raise ValueError("a dry run has no schedule: it keeps nothing in a corpus")
        return self

    @property
    def follows_links(self) -> bool:
        """Whether links of pages are followed."""
        if self.follow_links is None:
            return self.source in (CrawlSource.PAGE, CrawlSource.SITE)
        return self.follow_links


class CrawlPatch(RequestModel):
    """`PATCH /crawls/{id}`: what is to be otherwise from the next run on. What is left out stays as it is."""

    include: Globs | None = None
    exclude: Globs | None = None
    subdomains: bool | None = None
    max_pages: MaxPages | None = None
    max_depth: MaxDepth | None = None
    keep_query: bool | None = None
    on_gone: Choice[OnGone] | None = None
    schedule: Schedule | None = Field(default=None, description="`null` takes the schedule away")
    urls: Annotated[list[Url], Field(min_length=1, max_length=MAX_LISTED_URLS)] | None = Field(
        default=None,
        description="of a `list`: all of its pages; what is not among them any more is gone, after two runs",
    )
    metadata: Metadata | None = Field(
        default=None, description="all of it, for every page; one that has not changed gets it without being embedded"
    )
    chunking: ChunkingOptions | None = Field(
        default=None,
        description="all of it, what it leaves out is as it is by default; every page is then fetched and cut anew",
    )
    render: Choice[Render] | None = Field(
        default=None,
        description="whether a browser runs the pages' scripts first: `auto` does for a page that holds no text without",
    )


class RunRequest(RequestModel):
    """`POST /crawls/{id}/runs`: a run now."""

    force: bool = Field(default=False, description="fetch and index every page anew, whatever is known of it")


class RunAccepted(PeerModel):
    """`202` of `POST /crawls` and of `POST /crawls/{id}/runs`."""

    crawl_id: str
    run: int


class MissedRun(PeerModel):
    """A run that was due and did not begin."""

    at: PeerTimestamp
    reason: str = Field(description="`still_running`: the one before had not ended; `too_many_open_runs`")


class CrawlView(PeerModel):
    """`GET /crawls/{id}`."""

    crawl_id: str
    corpus_name: str
    source: CrawlSource
    url: str | None = None
    urls: int = Field(default=0, description="how many pages a `list` has")
    listed: list[str] = Field(
        default_factory=list,
        description=f"the first {LISTED_SHOWN} of them, where one crawl is asked for; the pages of a run have all that it began with",
    )
    metadata: dict[str, Any] = Field(default_factory=dict, description="of every page")
    chunking: ChunkingOptions = Field(default_factory=ChunkingOptions)
    render: Render = Render.NEVER
    include: list[str] = Field(default_factory=list)
    exclude: list[str] = Field(default_factory=list)
    subdomains: bool = False
    follow_links: bool = True
    max_pages: int
    max_depth: int
    keep_query: bool = False
    on_gone: OnGone = OnGone.DELETE
    dry_run: bool = False
    schedule: Schedule | None = None
    paused: bool = False
    next_run_at: PeerTimestamp | None = None
    missed_runs: int = 0
    last_missed: MissedRun | None = None
    last_run: int = 0
    last_state: RunState | None = None
    documents: int = Field(default=0, description="pages of it that are in the corpus")
    submitted_at: PeerTimestamp


class CrawlPage(PeerModel):
    """`GET /crawls`."""

    items: list[CrawlView]
    next_cursor: str | None = None


class CrawlDeleted(PeerModel):
    """`202` of `DELETE /crawls/{id}`: it is gone from lists at once, and its documents go one after the other."""

    crawl_id: str
    documents: Literal["delete", "keep"]


class OutcomeCounts(PeerModel):
    """How many pages of a run came to what."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: int = 0
    skipped: int = 0


class Saved(PeerModel):
    """What a run did not have to do again."""

    requests: int = Field(default=0, description="pages that were not asked for, because of their sitemap's `lastmod`")
    bodies: int = Field(default=0, description="pages of which the site said that they are as they were")
    bytes: int = Field(default=0, description="what these would have been, as far as it is known")
    embeddings: int = Field(default=0, description="pages that were not embedded anew")
    chunks: int = Field(default=0, description="chunks that were not embedded, since they were there")


class RunWarning(PeerModel):
    """What a reader of a run should know."""

    code: str
    message: str
    url: str | None = None


class RunView(PeerModel):
    """`GET /crawls/{id}/runs/{n}`. The counts are those of its pages' rows, at one moment."""

    crawl_id: str
    run: int
    state: RunState
    trigger: RunTrigger
    force: bool = False
    held: Literal["mass_deletion"] | None = Field(
        default=None,
        description="`mass_deletion`: more than a third of the pages are gone, and none is removed unless confirmed",
    )
    held_documents: int = Field(default=0, description="how many would be removed")
    pages: int = Field(description="pages that were asked for so far, or are under way")
    waiting: int = Field(description="pages that are known and not asked for yet")
    open: int = Field(description="pages under way")
    outcomes: OutcomeCounts
    reasons: dict[str, dict[str, int]] = Field(
        default_factory=dict, description="of `skipped`, `failed` and `removed`: how many by reason"
    )
    bytes: int = Field(default=0, description="what was fetched")
    saved: Saved = Field(default_factory=Saved)
    pages_per_minute: float | None = Field(default=None, description="in the last minutes; of an ended run in all")
    estimated_end_at: PeerTimestamp | None = Field(
        default=None, description="if it goes on as in the last minutes and finds no more; absent while nothing tells"
    )
    warnings: list[RunWarning] = Field(default_factory=list)
    cancel_asked_at: PeerTimestamp | None = None
    started_at: PeerTimestamp
    ended_at: PeerTimestamp | None = None


class RunPage(PeerModel):
    """`GET /crawls/{id}/runs`."""

    items: list[RunView]
    next_cursor: str | None = None


class PageView(PeerModel):
    """A page of a run."""

    url: str
    state: Literal["waiting", "open", "ended"]
    outcome: RunOutcome | None = None
    reason: str | None = Field(
        default=None, description="why it was skipped, failed or removed; or nothing was fetched"
    )
    detail: str | None = Field(default=None, description="the URL that is the document instead, or what went wrong")
    depth: int
    found_on: str | None = Field(default=None, description="the page or sitemap that led to it first")
    job_id: str | None = None
    ended_at: PeerTimestamp | None = None


class PagesPage(PeerModel):
    """`GET /crawls/{id}/runs/{n}/pages`."""

    items: list[PageView]
    next_cursor: str | None = None
