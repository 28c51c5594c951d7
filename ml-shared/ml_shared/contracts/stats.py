"""Orchestrator: how an owner's jobs stand, and what became of them lately."""

from pydantic import Field

from ml_shared.contracts.base import PeerModel
from ml_shared.contracts.jobs import WaitingReason
from ml_shared.contracts.values import PeerTimestamp
from ml_shared.names import Stage


class StatsBucket(PeerModel):
    """What happened within one step of time."""

    at: PeerTimestamp = Field(description="when it begins")
    submitted: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    open: int = Field(default=0, description="jobs that were unfinished at its end")
    chunks: int = Field(default=0, description="of the jobs that completed in it")
    tokens: int = Field(default=0, description="of the jobs that completed in it")


class StatsOpen(PeerModel):
    """Unfinished jobs, by where they stand."""

    queued: int = 0
    scraping: int = 0
    chunking: int = 0
    embedding: int = 0


class StatsWaiting(PeerModel):
    """Unfinished jobs of one stage that are not further for one reason."""

    stage: Stage
    reason: WaitingReason
    jobs: int
    since: PeerTimestamp = Field(description="of the one that has waited longest")


class StatsFailure(PeerModel):
    """Jobs that failed in one stage with one code."""

    code: str
    failed_stage: Stage
    jobs: int


class StatsView(PeerModel):
    """`GET /stats`."""

    since: PeerTimestamp
    step_seconds: int
    complete: bool = Field(description="false: so many jobs ended that `since` is later than was asked for")
    open: StatsOpen
    buckets: list[StatsBucket]
    waiting: list[StatsWaiting] = Field(description="the most jobs first")
    failures: list[StatsFailure] = Field(description="the most frequent first, at most 20")
