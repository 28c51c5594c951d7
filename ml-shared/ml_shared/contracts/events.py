"""Orchestrator: what happened to a job, one event after the other."""

from enum import StrEnum

from pydantic import Field

from ml_shared.contracts.base import PeerModel
from ml_shared.contracts.jobs import JobCounts, JobStatus, WaitingReason
from ml_shared.contracts.values import PeerTimestamp
from ml_shared.names import Stage


class JobEventType(StrEnum):
    """What happened."""

    SUBMITTED = "submitted"
    HANDED_OUT = "handed_out"
    STARTED = "started"
    COMMITTING = "committing"
    ADVANCED = "advanced"
    PUT_OFF = "put_off"
    DUE = "due"
    GIVEN_BACK = "given_back"
    SENT_BACK = "sent_back"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class BatchEventType(StrEnum):
    """What a batch's snapshot is."""

    PROGRESS = "progress"
    ENDED = "ended"


class EventWaiting(PeerModel):
    """Why the job is not further since this event."""

    reason: WaitingReason
    not_before: PeerTimestamp | None = Field(default=None, description="of `put_off`: when it is tried again")


class EventError(PeerModel):
    """Why the job was put off, or failed."""

    code: str


class JobEvent(PeerModel):
    """One event of a job: the data of `GET /jobs/{id}/events`.

    Attributes
    ----------
    number
        From 1, without a gap: the event's `id` in the stream.
    """

    number: int
    job_id: str
    type: JobEventType
    at: PeerTimestamp
    status: JobStatus
    stage: Stage = Field(description="the stage that the job is in, waits for, or ended in")
    attempt: int | None = Field(default=None, description="attempts of that stage that were started by then")
    waiting: EventWaiting | None = None
    error: EventError | None = None
    counts: JobCounts = Field(default_factory=JobCounts)
