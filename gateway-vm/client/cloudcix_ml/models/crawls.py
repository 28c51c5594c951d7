"""Crawls: what of a site is kept in a corpus, each run of it, and what became of every page."""

from datetime import datetime
from typing import Final

from pydantic import Field

from cloudcix_ml.models.base import Answered, Body, OpenEnum
from cloudcix_ml.models.jobs import ChunkingOptions, ChunkStrategy, Render


class CrawlSource(OpenEnum):
    """Where a run begins."""

    PAGE = "page"
    LIST = "list"
    SITEMAP = "sitemap"
    SITE = "site"
    FEED = "feed"


class OnGone(OpenEnum):
    """What becomes of a document whose page is gone in two runs in a row."""

    DELETE = "delete"
    KEEP = "keep"


class RunOutcome(OpenEnum):
    """What became of a page in a run."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    FAILED = "failed"
    SKIPPED = "skipped"


class RunState(OpenEnum):
    """Where a run stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    FAILED = "failed"
    CANCELLED = "cancelled"


RUN_ENDED: Final = frozenset(RunState) - {RunState.RUNNING}


class RunTrigger(OpenEnum):
    """Why there is a run."""

    SUBMITTED = "submitted"
    REQUESTED = "requested"
    SCHEDULED = "scheduled"


class Schedule(Body):
    """When a crawl is run: `every` so often (`24h`), or by `cron` in a time zone."""

    every: str | None = None
    cron: str | None = None
    timezone: str = "UTC"


class CrawlRequest(Body):
    """What of a site is to be kept in a corpus."""

    source: CrawlSource = CrawlSource.PAGE
    url: str | None = None
    urls: list[str] = Field(default_factory=list)
    corpus_name: str = "default"
    metadata: dict[str, object] | None = None
    chunking: ChunkingOptions | None = None
    render: Render = Render.NEVER
    force: bool = False
    include: list[str] = Field(default_factory=list)
    exclude: list[str] = Field(default_factory=list)
    subdomains: bool = False
    follow_links: bool | None = None
    max_pages: int = 1_000
    max_depth: int = 10
    keep_query: bool = False
    on_gone: OnGone = OnGone.DELETE
    schedule: Schedule | None = None
    dry_run: bool = False


class CrawlPatch(Body):
    """What of a crawl is to be otherwise from the next run on; only what is said is changed.

    `urls`, `metadata` and `chunking` are said whole. Other chunking has every page fetched and cut anew; other metadata goes to
    pages that have not changed without that; what is no more among the `urls` of a list is gone, after two runs.
    """

    include: list[str] | None = None
    exclude: list[str] | None = None
    subdomains: bool | None = None
    max_pages: int | None = None
    max_depth: int | None = None
    keep_query: bool | None = None
    on_gone: OnGone | None = None
    schedule: Schedule | None = None
    urls: list[str] | None = None
    metadata: dict[str, object] | None = None
    chunking: ChunkingOptions | None = None
    render: Render | None = None


class RunRequest(Body):
    """A run now; with `force` everything is fetched and indexed anew."""

    force: bool = False


class RunAccepted(Answered):
    """A run that was begun."""

    crawl_id: str
    run: int


class MissedRun(Answered):
    """A run that was due and did not begin."""

    at: datetime
    reason: str


class ScheduleView(Answered):
    """When a crawl is run."""

    every: str | None = None
    cron: str | None = None
    timezone: str = "UTC"


class ChunkingView(Answered):
    """How a crawl's pages are cut."""

    max_tokens: int = 512
    overlap_tokens: int = 64
    strategy: ChunkStrategy = ChunkStrategy.MARKDOWN


class Crawl(Answered):
    """A crawl as it stands; `listed` are the first hundred `urls` of a list, where one crawl is asked for."""

    crawl_id: str
    corpus_name: str
    source: CrawlSource
    url: str | None = None
    urls: int = 0
    listed: list[str] = Field(default_factory=list)
    metadata: dict[str, object] = Field(default_factory=dict)
    chunking: ChunkingView = Field(default_factory=ChunkingView)
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
    schedule: ScheduleView | None = None
    paused: bool = False
    next_run_at: datetime | None = None
    missed_runs: int = 0
    last_missed: MissedRun | None = None
    last_run: int = 0
    last_state: RunState | None = None
    documents: int = 0
    submitted_at: datetime


class CrawlPage(Answered):
    """A page of a list of crawls."""

    items: list[Crawl]
    next_cursor: str | None = None


class CrawlDeleted(Answered):
    """A crawl that was deleted, and what becomes of its documents."""

    crawl_id: str
    documents: str


class OutcomeCounts(Answered):
    """How many pages of a run came to what."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: int = 0
    skipped: int = 0


class Saved(Answered):
    """What a run did not have to do again."""

    requests: int = 0
    bodies: int = 0
    bytes: int = 0
    embeddings: int = 0
    chunks: int = 0


class RunWarning(Answered):
    """What a reader of a run should know."""

    code: str
    message: str
    url: str | None = None


class Run(Answered):
    """A run of a crawl as it stands; `held` says why it removes nothing until somebody confirms."""

    crawl_id: str
    run: int
    state: RunState
    trigger: RunTrigger
    force: bool = False
    held: str | None = None
    held_documents: int = 0
    pages: int
    waiting: int
    open: int
    outcomes: OutcomeCounts
    reasons: dict[str, dict[str, int]] = Field(default_factory=dict)
    bytes: int = 0
    saved: Saved = Field(default_factory=Saved)
    pages_per_minute: float | None = None
    estimated_end_at: datetime | None = None
    warnings: list[RunWarning] = Field(default_factory=list)
    cancel_asked_at: datetime | None = None
    started_at: datetime
    ended_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing of it will change any more."""
        return self.ended_at is not None or self.state in RUN_ENDED


class RunPage(Answered):
    """A page of a list of runs."""

    items: list[Run]
    next_cursor: str | None = None


class Page(Answered):
    """A page of a run, and what became of it."""

    url: str
    state: str
    outcome: RunOutcome | None = None
    reason: str | None = None
    detail: str | None = None
    depth: int
    found_on: str | None = None
    job_id: str | None = None
    ended_at: datetime | None = None


class PagesPage(Answered):
    """A page of a list of pages."""

    items: list[Page]
    next_cursor: str | None = None
