"""`webhooks`."""

import os
import sys
from typing import Annotated, Final

import typer

from cloudcix_ml.cli.shell import Shell, command, group
from cloudcix_ml.errors import ConfigurationError
from cloudcix_ml.webhooks import verify as verify_webhook

SECRET_VARIABLE: Final = "CLOUDCIX_ML_WEBHOOK_SECRET"  # noqa: S105 - where it is, not what it is
MOST_BYTES: Final = 1024 * 1024


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
    event = verify_webhook(sys.stdin.buffer.read(MOST_BYTES), headers, secret)
    if shell.out.as_json:
        shell.out.data(event)
    else:
        shell.out.text(f"from the platform: {event.get('type', 'an event')}")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    webhooks = group(app, "webhooks", "Being told when something has happened.")
    command(webhooks, "verify")(verify)
