"""Orchestrator: several URLs that are submitted, followed, cancelled and tried again as one."""

from typing import Annotated, Final

from pydantic import Field

from ml_shared.contracts.base import PeerModel, Url
from ml_shared.contracts.jobs import JobOptions
from ml_shared.contracts.values import PeerTimestamp

BATCH_MAX_URLS: Final = 1_000


class BatchRequest(JobOptions):
    """`POST /jobs/batch`: URLs to make searchable, all of them or none."""

    urls: Annotated[list[Url], Field(min_length=1, max_length=BATCH_MAX_URLS)]


class BatchJob(PeerModel):
    """One job of a batch that was taken in."""

    job_id: str
    url: str


class Duplicate(BatchJob):
    """A URL that names the same document as an earlier one of its batch, and that one's job."""

    index: int = Field(description="where in `urls` it stands, from 0")


class BatchAccepted(PeerModel):
    """`202` of `POST /jobs/batch`."""

    batch_id: str
    jobs: list[BatchJob] = Field(description="one a document, in the order of `urls`")
    duplicates: list[Duplicate] = Field(default_factory=list)


class BatchRetried(PeerModel):
    """`202` of `POST /batches/{id}/retry`: a new batch, of what failed in that one."""

    batch_id: str
    retry_of: str
    jobs: list[BatchJob]


class BatchCounts(PeerModel):
    """How many jobs of a batch are in each status."""

    queued: int = 0
    scraping: int = 0
    chunking: int = 0
    embedding: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0


class BatchView(PeerModel):
    """`GET /batches/{id}`. The counts are those of its jobs' rows, at one moment."""

    batch_id: str
    corpus_name: str
    jobs: int
    counts: BatchCounts
    progress: float = Field(description="the share of its jobs that have ended, 0 to 1")
    estimated_end_at: PeerTimestamp | None = Field(
        default=None, description="if it goes on as in the last minutes; absent while nothing of it ended in these"
    )
    cancel_asked_at: PeerTimestamp | None = None
    retry_of: str | None = Field(default=None, description="the batch whose failed jobs these are again")
    submitted_at: PeerTimestamp
    ended_at: PeerTimestamp | None = Field(default=None, description="when the last of its jobs ended, once all have")


class BatchPage(PeerModel):
    """`GET /batches`."""

    items: list[BatchView]
    next_cursor: str | None = None
