"""What every `POST /enqueue` takes beside its own fields, and what it answers."""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from ml_shared.contracts.base import Identifier, PeerModel, RequestModel, Timestamp
from ml_shared.contracts.values import OwnerName

BATCH_MAX: Final = 64
# hand-outs in one call


class StageFields(RequestModel):
    """The orchestrator's own fields of a stage's request. From anyone else they are refused (`403 internal_field`).

    They are together or not at all: `job_id` without `attempt_id` or `owner` is not a hand-out.
    """

    job_id: Identifier | None = Field(default=None, description="internal: the job that this is a stage of")
    attempt_id: Identifier | None = Field(default=None, description="internal: the hand-out that callbacks must name")
    owner: OwnerName | None = Field(default=None, description="internal: whose job it is")
    as_of: Timestamp | None = Field(default=None, description="internal: when the accepted scraping attempt started")
    submitted_at: Timestamp | None = Field(default=None, description="internal: when the job was submitted")


class HandOutFields(StageFields):
    """What one of several hand-outs in one call can't be without, and what its trace goes on from: there is but one header."""

    job_id: Identifier
    attempt_id: Identifier
    owner: OwnerName
    traceparent: Annotated[str, StringConstraints(max_length=64)] | None = None
    alone: bool = Field(
        default=False, description="internal: it was handed out before, so nothing else is worked on in its process"
    )


class EnqueueAnswer(PeerModel):
    """`202` of a `POST /enqueue`."""

    job_id: str | None = None
    task_id: str
    status: Literal["queued"] = "queued"
    queue_epoch: str | None = Field(
        default=None, description="names this life of the queue's Redis; another value means that it was wiped"
    )


class Refusal(PeerModel):
    """Why one of several hand-outs was not queued: what `POST /enqueue` would have answered."""

    status: int
    code: str
    detail: str
    retry_after_seconds: float | None = None


class EnqueueAnswers(PeerModel):
    """`200` of `POST /enqueue/batch`: of each hand-out what became of it, in their order."""

    answers: list[EnqueueAnswer | Refusal]


class PendingResult(PeerModel):
    """`202` of `GET /results/{task_id}` while the task has not ended."""

    task_id: str
    status: Literal["queued", "running"]
