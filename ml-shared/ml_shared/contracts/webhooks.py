"""Orchestrator: where owners want to be told of what becomes of their jobs, and what they were told."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from ml_shared.contracts.base import PeerModel, RequestModel, Url
from ml_shared.contracts.values import Choice, PeerTimestamp, Timestamp


class WebhookEvent(StrEnum):
    """What one can be told of."""

    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    BATCH_ENDED = "batch.ended"
    RUN_ENDED = "run.ended"
    PAGE_CHANGED = "page.changed"
    PAGE_REMOVED = "page.removed"


TEST_EVENT = "webhook.test"
"""What `POST /webhooks/{id}/test` sends, whatever the webhook is for."""


def _check_once(events: list[WebhookEvent]) -> list[WebhookEvent]:
    if len(set(events)) < len(events):
        raise ValueError("name each event once")
    return events


Events = Annotated[
    list[Choice[WebhookEvent]], Field(min_length=1, max_length=len(WebhookEvent)), AfterValidator(_check_once)
]


class WebhookRequest(RequestModel):
    """`POST /webhooks`: an address that is to be told of some events."""

    url: Url
    events: Events


class WebhookChange(RequestModel):
    """`PATCH /webhooks/{id}`: what is left out stays as it is."""

    url: Url | None = None
    events: Events | None = None
    paused: bool | None = Field(default=None, description="`false` resumes what was paused, by whomever")


class WebhookView(PeerModel):
    """A webhook. Its secret can't be read."""

    webhook_id: str
    url: str
    events: list[str]
    paused: bool
    paused_at: PeerTimestamp | None = None
    pause_reason: str | None = Field(
        default=None, description="`asked`, or the error that it had for a day, or `gone` (it answered 410)"
    )
    failing_since: PeerTimestamp | None = Field(default=None, description="since when nothing has arrived there")
    previous_secret_until: PeerTimestamp | None = Field(
        default=None, description="until when the secret before the present one signs as well"
    )
    created_at: PeerTimestamp


class WebhookCreated(WebhookView):
    """`201` of `POST /webhooks`."""

    secret: str = Field(repr=False, description="signs what is sent, as Standard Webhooks has it; shown this once")


class WebhookRotated(PeerModel):
    """`200` of `POST /webhooks/{id}/rotate`: until `previous_secret_until` both secrets sign."""

    webhook_id: str
    secret: str = Field(default="", repr=False, description="shown this once: the answer to a repeat has none")
    previous_secret_until: PeerTimestamp


class WebhookList(PeerModel):
    """`GET /webhooks`: all of an owner's."""

    items: list[WebhookView]
    next_cursor: str | None = None


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    SENDING = "sending"
    HELD = "held"
    DELIVERED = "delivered"
    FAILED = "failed"


class DeliveryView(PeerModel):
    """One event that one webhook is told of, and how the last attempt went."""

    delivery_id: str = Field(description="the `webhook-id` that the receiver gets, however often it is sent")
    type: str
    status: DeliveryStatus
    attempts: int
    response_status: int | None = Field(default=None, description="HTTP status of the receiver's last answer")
    response_excerpt: str | None = Field(default=None, description="its first 500 characters")
    latency_seconds: float | None = None
    error_code: str | None = Field(default=None, description="why the last attempt did not arrive")
    data: dict[str, Any]
    created_at: PeerTimestamp
    last_attempt_at: PeerTimestamp | None = None
    next_attempt_at: PeerTimestamp | None = None
    ended_at: PeerTimestamp | None = None


class DeliveryPage(PeerModel):
    """`GET /webhooks/{id}/deliveries`, newest first."""

    items: list[DeliveryView]
    next_cursor: str | None = None


class DeliveryAccepted(PeerModel):
    """`202`: it is sent as soon as possible."""

    delivery_id: str


class ReplayRequest(RequestModel):
    """`POST /webhooks/{id}/replay`: send again what was made since a time."""

    since: Timestamp
    undelivered_only: bool = Field(default=False, description="leave out what has arrived before")


class ReplayAccepted(PeerModel):
    """`202` of a replay."""

    deliveries: int = Field(description="how many are sent again")
    next_since: PeerTimestamp | None = Field(
        default=None, description="where there are more of them: the `since` with which to go on"
    )
