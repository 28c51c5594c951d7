"""What happened to a job, one event after the other."""

from datetime import datetime
from typing import Final

from pydantic import Field

from cloudcix_ml.models.base import Answered, OpenEnum
from cloudcix_ml.models.jobs import JobCounts, JobStatus, Stage, WaitingReason


class JobEventType(OpenEnum):
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


LAST: Final = frozenset({JobEventType.COMPLETED, JobEventType.FAILED, JobEventType.CANCELLED})


class EventWaiting(Answered):
    """Why the job is not further since this event."""

    reason: WaitingReason
    not_before: datetime | None = None


class EventError(Answered):
    """Why the job was put off, or failed."""

    code: str


class JobEvent(Answered):
    """One event of a job; their numbers are from 1, without a gap."""

    number: int
    job_id: str
    type: JobEventType
    at: datetime
    status: JobStatus
    stage: Stage
    attempt: int | None = None
    waiting: EventWaiting | None = None
    error: EventError | None = None
    counts: JobCounts = Field(default_factory=JobCounts)

    @property
    def ended(self) -> bool:
        """Whether it is the job's last one."""
        return self.type in LAST
