"""What every `POST /enqueue` takes beside its own fields, and what it answers."""

from typing import Literal

from pydantic import Field

from ml_shared.contracts.base import Identifier, PeerModel, RequestModel, Timestamp
from ml_shared.contracts.values import OwnerName


class StageFields(RequestModel):
    """The orchestrator's own fields of a stage's request. From anyone else they are refused (`403 internal_field`).

    They are together or not at all: `job_id` without `attempt_id` or `owner` is not a hand-out.
    """

    job_id: Identifier | None = Field(default=None, description="internal: the job that this is a stage of")
    attempt_id: Identifier | None = Field(default=None, description="internal: the hand-out that callbacks must name")
    owner: OwnerName | None = Field(default=None, description="internal: whose job it is")
    as_of: Timestamp | None = Field(default=None, description="internal: when the accepted scraping attempt started")
    submitted_at: Timestamp | None = Field(default=None, description="internal: when the job was submitted")


class EnqueueAnswer(PeerModel):
    """`202` of a `POST /enqueue`."""

    job_id: str | None = None
    task_id: str
    status: Literal["queued"] = "queued"
    queue_epoch: str | None = Field(
        default=None, description="names this life of the queue's Redis; another value means that it was wiped"
    )


class PendingResult(PeerModel):
    """`202` of `GET /results/{task_id}` while the task has not ended."""

    task_id: str
    status: Literal["queued", "running"]
