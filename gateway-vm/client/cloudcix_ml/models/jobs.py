"""Jobs and batches of them."""

from datetime import datetime
from typing import Any, Final

from pydantic import Field

from cloudcix_ml.models.base import Answered, Body, OpenEnum


class JobStatus(OpenEnum):
    """Where a job stands."""

    QUEUED = "queued"
    SCRAPING = "scraping"
    CHUNKING = "chunking"
    EMBEDDING = "embedding"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED: Final = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})


class Stage(OpenEnum):
    """What is done to a page, one after the other."""

    SCRAPING = "scraping"
    CHUNKING = "chunking"
    EMBEDDING = "embedding"


class WaitingReason(OpenEnum):
    """What an unfinished job waits for."""

    RUNNING = "running"
    QUEUED = "queued"
    HOST_DELAY = "host_delay"
    UPSTREAM = "upstream"
    LEASE = "lease"


class ExtractionWarning(OpenEnum):
    """What may be wrong with a page's text."""

    LOOKS_MISSING = "looks_missing"
    LITTLE_TEXT = "little_text"
    WRONG_CONTENT_TYPE = "wrong_content_type"
    INCOMPLETE = "incomplete"


class Render(OpenEnum):
    """Whether a browser builds a page before its text is taken."""

    NEVER = "never"
    AUTO = "auto"
    ALWAYS = "always"


class PageOutcome(OpenEnum):
    """What became of a document."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    REMOVED = "removed"


class ChunkStrategy(OpenEnum):
    """Where a text is cut."""

    MARKDOWN = "markdown"
    SENTENCE = "sentence"
    FIXED = "fixed"


class ChunkingOptions(Body):
    """How a page's text is cut into chunks; sizes in tokens."""

    max_tokens: int = 512
    overlap_tokens: int = 64
    strategy: ChunkStrategy = ChunkStrategy.MARKDOWN


class JobRequest(Body):
    """A page to be indexed."""

    url: str
    corpus_name: str = "default"
    metadata: dict[str, Any] | None = None
    chunking: ChunkingOptions | None = None
    render: Render = Render.NEVER
    force: bool = False


class BatchRequest(Body):
    """Pages to be indexed together."""

    urls: list[str]
    corpus_name: str = "default"
    metadata: dict[str, Any] | None = None
    chunking: ChunkingOptions | None = None
    render: Render = Render.NEVER
    force: bool = False


class JobAccepted(Answered):
    """A job that was taken in, or steered."""

    job_id: str
    status: JobStatus


class JobRetried(JobAccepted):
    """A new job, in the place of one that failed."""

    retry_of: str


class Waiting(Answered):
    """Why a job is not done yet."""

    reason: WaitingReason
    since: datetime
    position: int | None = None


class StageView(Answered):
    """What one stage did."""

    stage: Stage
    attempts: int
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration_seconds: float | None = None


class JobCounts(Answered):
    """How much a page is, and how much of it had not to be done again."""

    bytes: int | None = None
    chunks: int | None = None
    tokens: int | None = None
    saved_bytes: int | None = None
    saved_chunks: int | None = None


class JobFailure(Answered):
    """Why a job failed."""

    code: str
    message: str
    failed_stage: Stage


class Extraction(Answered):
    """How a page's text was made."""

    method: str
    kept_share: float | None = None
    warnings: list[ExtractionWarning] = Field(default_factory=list)


class Job(Answered):
    """A job as it stands."""

    job_id: str
    url: str
    corpus_name: str
    kind: str = "page"
    status: JobStatus
    outcome: PageOutcome | None = None
    submitted_at: datetime
    ended_at: datetime | None = None
    waiting: Waiting | None = None
    stages: list[StageView] = Field(default_factory=list)
    counts: JobCounts = Field(default_factory=JobCounts)
    error: JobFailure | None = None
    retryable: bool = False
    extraction: Extraction | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    batch_id: str | None = None
    retry_of: str | None = None
    trace_id: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing of it will change any more."""
        return self.status in ENDED


class JobPage(Answered):
    """A page of a list of jobs."""

    items: list[Job]
    next_cursor: str | None = None


class BatchJob(Answered):
    """A job of a batch."""

    job_id: str
    url: str


class Duplicate(BatchJob):
    """A URL that stands in the batch twice: `index` in `urls`, from 0."""

    index: int


class BatchAccepted(Answered):
    """A batch that was taken in: one job a document."""

    batch_id: str
    jobs: list[BatchJob]
    duplicates: list[Duplicate] = Field(default_factory=list)


class BatchRetried(Answered):
    """A new batch, of what had failed in another one."""

    batch_id: str
    retry_of: str
    jobs: list[BatchJob]


class BatchCounts(Answered):
    """How many of a batch's jobs stand where."""

    queued: int = 0
    scraping: int = 0
    chunking: int = 0
    embedding: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0


class Batch(Answered):
    """A batch as it stands; `progress` is the share of its jobs that have ended, 0 to 1."""

    batch_id: str
    corpus_name: str
    jobs: int
    counts: BatchCounts
    progress: float
    submitted_at: datetime
    ended_at: datetime | None = None
    estimated_end_at: datetime | None = None
    cancel_asked_at: datetime | None = None
    retry_of: str | None = None

    @property
    def ended(self) -> bool:
        """Whether all of its jobs have ended."""
        return self.ended_at is not None


class BatchPage(Answered):
    """A page of a list of batches."""

    items: list[Batch]
    next_cursor: str | None = None
