"""`login` and `logout`."""

import getpass
from itertools import islice
from typing import Annotated

import typer

from cloudcix_ml.cli import settings
from cloudcix_ml.cli.settings import Settings
from cloudcix_ml.cli.shell import Shell, command
from cloudcix_ml.cli.streams import asks, read_input
from cloudcix_ml.client import Client
from cloudcix_ml.core.session import Key, checked_url
from cloudcix_ml.errors import ConfigurationError

MOST_BYTES = 8_192


def login(
    shell: Shell,
    url: Annotated[str | None, typer.Option(help="The gateway's address, as in https://ml.example.com.")] = None,
    check: Annotated[bool, typer.Option(help="Whether the platform is asked if it knows the key.")] = True,
) -> None:
    """Keep the gateway's address and your key, in a file that nobody else can read.

    The key is asked for without being shown, or read from standard input; it is never taken from the command line, where every
    user of the machine could see it.
    """
    asked = asks()
    if url is None:
        url = settings.known_url()
        if asked:
            url = typer.prompt("Address of the gateway", default=url, err=True)
    if not url:
        raise ConfigurationError("which gateway? `cloudcix-ml login --url https://ml.example.com`")
    url = checked_url(url)
    # of bytes, since what is no text is no key either
    given = getpass.getpass("API key (not shown): ") if asked else read_input(MOST_BYTES).decode(errors="replace")
    key = given.strip()
    Key(key)
    with Client(url, key) as client:  # also where it is not asked: it looks at the address
        if check:
            list(islice(client.corpora.list(page_size=1), 1))
    file = settings.save(Settings(url, key))
    if shell.out.as_json:
        shell.out.data({"url": url, "file": str(file), "checked": check})
    else:
        shell.out.note(f"{'The platform knows this key. ' if check else ''}Kept in {file}, for you alone.")


def logout(shell: Shell) -> None:
    """Forget address and key."""
    there = settings.forget()
    if shell.out.as_json:
        shell.out.data({"file": str(settings.path()), "removed": there})
    else:
        shell.out.note("Forgotten." if there else "There was nothing to forget.")


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    command(app, "login")(login)
    command(app, "logout")(logout)
