"""Webhooks: who wants to be told of what, and what they were told."""

from datetime import datetime
from typing import Any

from pydantic import Field

from cloudcix_ml.models.base import Answered, Body, OpenEnum


class WebhookEvent(OpenEnum):
    """What one can be told of."""

    JOB_COMPLETED = "job.completed"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    BATCH_ENDED = "batch.ended"
    RUN_ENDED = "run.ended"
    PAGE_CHANGED = "page.changed"
    PAGE_REMOVED = "page.removed"


class DeliveryStatus(OpenEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    SENDING = "sending"
    HELD = "held"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookRequest(Body):
    """An address that is to be told of some events."""

    url: str
    events: list[WebhookEvent]


class WebhookChange(Body):
    """What of a webhook is to be otherwise; only what is said is changed."""

    url: str | None = None
    events: list[WebhookEvent] | None = None
    paused: bool | None = None


class ReplayRequest(Body):
    """Send again what was made since a time."""

    since: datetime
    undelivered_only: bool = False


class Webhook(Answered):
    """A webhook. Its secret can't be read."""

    webhook_id: str
    url: str
    events: list[str]
    paused: bool
    paused_at: datetime | None = None
    pause_reason: str | None = None
    failing_since: datetime | None = None
    previous_secret_until: datetime | None = None
    created_at: datetime


class WebhookCreated(Webhook):
    """A new webhook, with the secret that signs what is sent: it is shown this once, and a repeat with its key gets none."""

    secret: str = Field(default="", repr=False)


class WebhookRotated(Answered):
    """A webhook's new secret, shown this once, and empty to a repeat; until `previous_secret_until` the one before signs too."""

    webhook_id: str
    secret: str = Field(default="", repr=False)
    previous_secret_until: datetime


class WebhookList(Answered):
    """A page of a list of webhooks."""

    items: list[Webhook]
    next_cursor: str | None = None


class Delivery(Answered):
    """One event that one webhook is told of, and how the last attempt went."""

    delivery_id: str
    type: str
    status: DeliveryStatus
    attempts: int
    response_status: int | None = None
    response_excerpt: str | None = None
    latency_seconds: float | None = None
    error_code: str | None = None
    data: dict[str, Any]
    created_at: datetime
    last_attempt_at: datetime | None = None
    next_attempt_at: datetime | None = None
    ended_at: datetime | None = None


class DeliveryPage(Answered):
    """A page of a list of deliveries."""

    items: list[Delivery]
    next_cursor: str | None = None


class DeliveryAccepted(Answered):
    """A delivery that is sent as soon as possible."""

    delivery_id: str


class ReplayAccepted(Answered):
    """How many deliveries are sent again; `next_since` is where to go on if there are more."""

    deliveries: int
    next_since: datetime | None = None
