"""`webhooks`."""

import os
from itertools import islice
from typing import Annotated, Any, Final

import typer

from cloudcix_ml.cli.corpora import Yes, sure
from cloudcix_ml.cli.jobs import Limit
from cloudcix_ml.cli.shell import Shell, command, group
from cloudcix_ml.cli.streams import read_input
from cloudcix_ml.cli.values import time_of
from cloudcix_ml.errors import ConfigurationError
from cloudcix_ml.models.webhooks import DeliveryStatus, WebhookEvent
from cloudcix_ml.webhooks import verify as verify_webhook

SECRET_VARIABLE: Final = "CLOUDCIX_ML_WEBHOOK_SECRET"  # noqa: S105 - where it is, not what it is
MOST_BYTES: Final = 1024 * 1024
Id = Annotated[str, typer.Argument(metavar="WEBHOOK")]
Events = Annotated[list[WebhookEvent], typer.Option("--event", "-e", help="What to tell of; repeat it.")]


def list_webhooks(shell: Shell, limit: Limit = 100) -> None:
    """List your webhooks."""
    webhooks = list(islice(shell.client.webhooks.list(), limit))
    if shell.out.as_json:
        shell.out.data(webhooks)
        return
    rows = (
        (
            one.webhook_id,
            f"paused: {one.pause_reason}" if one.paused else "on",
            one.failing_since,
            ", ".join(one.events),
            one.url,
        )
        for one in webhooks
    )
    shell.out.table(
        ("webhook", "state", "failing since", "events", "url"), rows, wide="url", spare=("failing since", "events")
    )


def create(shell: Shell, url: Annotated[str, typer.Argument(help="What is told.")], event: Events) -> None:
    """Have an address told of some events. The secret that signs them is the result, and is shown this once."""
    made = shell.client.webhooks.create(url, event)
    if shell.out.as_json:
        shell.out.data(made)
        return
    shell.out.note(f"{made.webhook_id} tells {made.url}. Its secret is shown this once:")
    shell.out.text(made.secret)


def rotate(shell: Shell, webhook_id: Id) -> None:
    """Exchange a webhook's secret; for a while both sign. The new one is the result, and is shown this once."""
    made = shell.client.webhooks.rotate(webhook_id)
    if shell.out.as_json:
        shell.out.data(made)
        return
    shell.out.note(f"Until {made.previous_secret_until:%Y-%m-%d %H:%M:%S} the one before signs as well. The new one:")
    shell.out.text(made.secret)


def deliveries(
    shell: Shell,
    webhook_id: Id,
    status: Annotated[DeliveryStatus | None, typer.Option(help="Those that stand there.")] = None,
    limit: Limit = 20,
) -> None:
    """List what a webhook was told, newest first, and what its receiver answered."""
    found = list(islice(shell.client.webhooks.deliveries(webhook_id, status=status), limit))
    if shell.out.as_json:
        shell.out.data(found)
        return
    rows = (
        (
            one.delivery_id,
            one.type,
            one.status,
            one.attempts,
            one.created_at,
            one.response_status or one.error_code,
            one.response_excerpt,
        )
        for one in found
    )
    columns = ("delivery", "event", "status", "attempts", "made (UTC)", "answer", "its text")
    shell.out.table(columns, rows, wide="its text", spare=("made (UTC)", "attempts", "event"))


def test(shell: Shell, webhook_id: Id) -> None:
    """Send a webhook an event of the type webhook.test."""
    sent = shell.client.webhooks.test(webhook_id)
    _done(shell, sent, f"Sent as {sent.delivery_id}: see `cloudcix-ml webhooks deliveries {webhook_id}`.")


def replay(
    shell: Shell,
    webhook_id: Id,
    delivery: Annotated[str | None, typer.Option(help="This delivery.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="All that were made since.")] = None,
    undelivered: Annotated[bool, typer.Option("--undelivered", help="Leave out what has arrived.")] = False,
) -> None:
    """Send again what a webhook was told."""
    at = time_of(since, "--since")
    if (delivery is None) == (at is None):
        raise ConfigurationError("which? Either --delivery ID or --since TIME")
    if delivery is not None:
        _done(shell, shell.client.webhooks.replay_one(webhook_id, delivery), f"{delivery} is sent again.")
        return
    number = 0
    while at is not None:
        sent = shell.client.webhooks.replay(webhook_id, at, undelivered_only=undelivered)
        number += sent.deliveries
        at = sent.next_since if sent.next_since != at else None
    _done(shell, {"deliveries": number}, f"{number} are sent again.")


def pause(shell: Shell, webhook_id: Id) -> None:
    """Tell a webhook nothing until it is resumed."""
    _done(shell, shell.client.webhooks.change(webhook_id, paused=True), f"Paused {webhook_id}.")


def resume(shell: Shell, webhook_id: Id) -> None:
    """Go on telling a webhook that was paused, by whomever."""
    _done(shell, shell.client.webhooks.change(webhook_id, paused=False), f"Resumed {webhook_id}.")


def delete(shell: Shell, webhook_id: Id, yes: Yes = False) -> None:
    """Delete a webhook with its log."""
    sure(shell, f"Delete webhook {webhook_id}?", yes)
    shell.client.webhooks.delete(webhook_id)
    _done(shell, {"deleted": webhook_id}, f"Deleted {webhook_id}.")


def verify(
    shell: Shell,
    header: Annotated[
        list[str], typer.Option("--header", "-H", metavar="NAME: VALUE", help="The three webhook-… headers; repeat it.")
    ],
) -> None:
    """Check a webhook whose body is on standard input; its secret is in CLOUDCIX_ML_WEBHOOK_SECRET."""
    secret = os.environ.get(SECRET_VARIABLE)
    if not secret:
        raise ConfigurationError(f"with which secret? Set {SECRET_VARIABLE}")
    headers = {}
    for one in header:
        name, _, value = one.partition(":")
        headers[name.strip()] = value.strip()
    event = verify_webhook(read_input(MOST_BYTES), headers, secret)
    if shell.out.as_json:
        shell.out.data(event)
    else:
        shell.out.text(f"from the platform: {event.get('type', 'an event')}")


def _done(shell: Shell, answer: Any, text: str) -> None:
    if shell.out.as_json:
        shell.out.data(answer)
    else:
        shell.out.note(text)


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    webhooks = group(app, "webhooks", "Being told when something has happened.")
    command(webhooks)(list_webhooks)
    for one in (create, rotate, deliveries, test, replay, pause, resume, delete, verify):
        command(webhooks, one.__name__)(one)
