"""Webhooks: being told, instead of asking."""

from collections.abc import Sequence
from datetime import datetime

from cloudcix_ml.core.effects import Operation, Request, Stream
from cloudcix_ml.core.exchange import call, exchange
from cloudcix_ml.core.session import Session
from cloudcix_ml.models.webhooks import (
    Delivery,
    DeliveryAccepted,
    DeliveryPage,
    DeliveryStatus,
    ReplayAccepted,
    ReplayRequest,
    Webhook,
    WebhookChange,
    WebhookCreated,
    WebhookEvent,
    WebhookList,
    WebhookRequest,
    WebhookRotated,
)
from cloudcix_ml.operations.requests import ORCHESTRATOR, get, idempotent, listed, path_of, post

WEBHOOKS = f"{ORCHESTRATOR}/webhooks"


def make(
    session: Session, url: str, events: Sequence[WebhookEvent | str], *, idempotency_key: str | None = None
) -> Operation[WebhookCreated]:
    """Have an address told of some events, and return the secret that signs what is sent: it is shown this once.

    A repeat with the same `idempotency_key` gets the webhook that there is, its secret empty: `rotate` gives a new one.
    """
    body = WebhookRequest(url=url, events=[WebhookEvent(event) for event in events])
    # not sent again by itself where nobody knows if it arrived: the answer to the second would have no secret
    request = post(WEBHOOKS, body, headers=idempotent(idempotency_key), repeatable=False)
    return (yield from call(session, request, WebhookCreated))


def read(session: Session, webhook_id: str) -> Operation[Webhook]:
    """Return a webhook as it stands: whether it is paused, and why."""
    return (yield from call(session, get(path_of(WEBHOOKS, webhook_id)), Webhook))


def list_all(session: Session) -> Stream[Webhook]:
    """Go through your webhooks."""
    return listed(session, WEBHOOKS, WebhookList, None)


def change(
    session: Session,
    webhook_id: str,
    *,
    url: str | None = None,
    events: Sequence[WebhookEvent | str] | None = None,
    paused: bool | None = None,
) -> Operation[Webhook]:
    """Change a webhook, pause it or go on with it; what is not said stays as it is."""
    chosen = None if events is None else [WebhookEvent(event) for event in events]
    body = WebhookChange.of({"url": url, "events": chosen, "paused": paused})
    head = {"Content-Type": "application/json"}
    request = Request("PATCH", path_of(WEBHOOKS, webhook_id), headers=head, body=body.sent())
    return (yield from call(session, request, Webhook))


def delete(session: Session, webhook_id: str) -> Operation[None]:
    """Delete a webhook with its log."""
    yield from exchange(session, Request("DELETE", path_of(WEBHOOKS, webhook_id)))


def rotate(session: Session, webhook_id: str, *, idempotency_key: str | None = None) -> Operation[WebhookRotated]:
    """Exchange a webhook's secret; for a while both sign, so that nothing is lost meanwhile.

    A repeat with the same `idempotency_key` changes nothing, and has the secret empty.
    """
    # not sent again by itself where nobody knows if it arrived: the answer to the second would have no secret
    path = path_of(WEBHOOKS, webhook_id, "rotate")
    request = post(path, headers=idempotent(idempotency_key), repeatable=False)
    return (yield from call(session, request, WebhookRotated))


def test(session: Session, webhook_id: str) -> Operation[DeliveryAccepted]:
    """Send a webhook an event of the type `webhook.test`."""
    return (yield from call(session, post(path_of(WEBHOOKS, webhook_id, "test"), repeatable=False), DeliveryAccepted))


def deliveries(
    session: Session, webhook_id: str, *, status: DeliveryStatus | str | None = None, page_size: int | None = None
) -> Stream[Delivery]:
    """Go through what a webhook was told, newest first, with the receiver's answers."""
    return listed(session, path_of(WEBHOOKS, webhook_id, "deliveries"), DeliveryPage, page_size, status=status)


def replay(
    session: Session, webhook_id: str, since: datetime, *, undelivered_only: bool = False
) -> Operation[ReplayAccepted]:
    """Send again what was made since a time; receivers know by its `webhook-id` what they have."""
    body = ReplayRequest(since=since.astimezone(), undelivered_only=undelivered_only)
    return (yield from call(session, post(path_of(WEBHOOKS, webhook_id, "replay"), body), ReplayAccepted))


def replay_one(session: Session, webhook_id: str, delivery_id: str) -> Operation[DeliveryAccepted]:
    """Send one delivery again."""
    path = path_of(WEBHOOKS, webhook_id, "deliveries", delivery_id, "replay")
    return (yield from call(session, post(path), DeliveryAccepted))
