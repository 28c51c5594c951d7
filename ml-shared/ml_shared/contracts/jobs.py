"""Orchestrator: jobs, and what workers report of them."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from ml_shared.contracts.base import CorpusName, Identifier, Metadata, PeerModel, RequestModel, Timestamp, Url
from ml_shared.contracts.chunking import ChunkingOptions
from ml_shared.contracts.embedding import PageOutcome
from ml_shared.contracts.scraping import Extraction, Render, RenderField
from ml_shared.contracts.values import BigCount, Choice, PeerTimestamp, Stats, Told
from ml_shared.names import Stage

ERROR_MESSAGE_MAX_CHARACTERS = 2_000


class JobStatus(StrEnum):
    """Where a job stands. An ended job never moves."""

    QUEUED = "queued"
    SCRAPING = "scraping"
    CHUNKING = "chunking"
    EMBEDDING = "embedding"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED})


class JobOptions(RequestModel):
    """What is asked of a page, and of each page of a batch alike."""

    corpus_name: CorpusName = "default"
    metadata: Metadata = Field(default_factory=dict)
    chunking: ChunkingOptions = Field(default_factory=ChunkingOptions)
    render: RenderField = Render.NEVER
    force: bool = Field(
        default=False,
        description="fetch and index it whatever is known of it; else a page that has not changed is neither sent, cut nor "
        "embedded again",
    )


class JobRequest(JobOptions):
    """`POST /jobs`: one URL to make searchable."""

    url: Url


class JobAccepted(PeerModel):
    """`202` of `POST /jobs`, and `200` of `POST /jobs/{id}/cancel`."""

    job_id: str
    status: JobStatus


class JobRetried(JobAccepted):
    """`202` of `POST /jobs/{id}/retry`: an ended job never moves, so this is a new one."""

    retry_of: str


class JobKind(StrEnum):
    """What a job is for."""

    PAGE = "page"
    LINKS = "links"
    UPLOAD = "upload"
    REMOVE = "remove"


class WaitingReason(StrEnum):
    """Why an unfinished job is not further."""

    RUNNING = "running"
    QUEUED = "queued"
    HOST_DELAY = "host_delay"
    UPSTREAM = "upstream"
    LEASE = "lease"


class Waiting(PeerModel):
    """Why an unfinished job is not further, and since when."""

    reason: WaitingReason
    since: PeerTimestamp
    position: int | None = Field(default=None, description="estimated number of jobs before it, for `queued`")


class StageView(PeerModel):
    """One stage of a job, as far as it got."""

    stage: Stage
    attempts: int
    started_at: PeerTimestamp | None = None
    ended_at: PeerTimestamp | None = None
    duration_seconds: float | None = None


class JobCounts(PeerModel):
    """What the job amounted to."""

    bytes: int | None = None
    chunks: int | None = None
    tokens: int | None = None
    saved_bytes: int | None = Field(
        default=None, description="bytes that were not fetched: the site said that the page is as it was"
    )
    saved_chunks: int | None = Field(
        default=None, description="chunks that were not embedded: what they say was in the corpus already"
    )


class JobFailure(PeerModel):
    """Why a job failed."""

    code: str
    message: str
    failed_stage: Stage


class JobView(PeerModel):
    """`GET /jobs/{id}`."""

    job_id: str
    kind: str = Field(
        default=JobKind.PAGE,
        description="`page`; `upload`; of a crawl `links`, a list of links that is read, or `remove`, a document whose page is gone",
    )
    url: str
    corpus_name: str
    status: JobStatus
    outcome: PageOutcome | None = Field(
        default=None,
        description="what became of the document, once the job is completed; null if a newer version of it, or its "
        "deletion, came before",
    )
    waiting: Waiting | None = None
    stages: list[StageView] = Field(default_factory=list)
    counts: JobCounts = Field(default_factory=JobCounts)
    extraction: Extraction | None = Field(default=None, description="how the page's text was made, once it is")
    error: JobFailure | None = None
    retryable: bool = Field(
        default=False,
        description="whether it can be tried again: it failed or was cancelled, and is neither an upload nor something that "
        "only a run of its crawl can do",
    )
    metadata: dict[str, Any] = Field(default_factory=dict)
    trace_id: str | None = None
    batch_id: str | None = None
    retry_of: str | None = Field(default=None, description="the ended job that this one is tried again for")
    submitted_at: PeerTimestamp
    ended_at: PeerTimestamp | None = None


class JobPage(PeerModel):
    """`GET /jobs`."""

    items: list[JobView]
    next_cursor: str | None = None


class CallbackStatus(StrEnum):
    """How a stage's attempt ended."""

    SUCCESS = "success"
    FAILED = "failed"
    DEFERRED = "deferred"


class StageCallback(RequestModel):
    """`POST /jobs/{id}/complete`, from the service that runs the stage."""

    attempt_id: Identifier
    stage: Choice[Stage]
    status: Choice[CallbackStatus]
    content_ref: Identifier | None = None
    error_code: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")] | None = None
    error_message: Annotated[Told, Field(max_length=ERROR_MESSAGE_MAX_CHARACTERS)] | None = None
    retry_after_seconds: Annotated[float, Field(ge=0)] | None = None
    host_next_at: Timestamp | None = Field(default=None, description="when the host may be asked again")
    stats: Stats = Field(default_factory=dict)


class CallbackAnswer(PeerModel):
    """`200` of a callback. `duplicate`: this attempt had reported already. `stale`: another attempt has taken over."""

    duplicate: bool = False
    stale: bool = False


class ProgressPhase(StrEnum):
    """Where an attempt stands."""

    STARTED = "started"
    RUNNING = "running"
    COMMITTING = "committing"


class ProgressReport(RequestModel):
    """`POST /jobs/{id}/progress`: starts the run lease, renews it, or announces the write that can't be cancelled."""

    attempt_id: Identifier
    stage: Choice[Stage]
    phase: Choice[ProgressPhase]
    start_id: Identifier | None = Field(
        default=None, description="of `started`, one a delivery of the task: the same again is the same start"
    )
    done: BigCount | None = None
    total: BigCount | None = None


class ProgressAnswer(PeerModel):
    """`200` of a progress report; `409` (code `abandon`) means: drop the task, with no callback."""

    lease_seconds: float


class ContentStored(PeerModel):
    """`200` of `PUT /content`."""

    content_ref: str
    sha256: str
