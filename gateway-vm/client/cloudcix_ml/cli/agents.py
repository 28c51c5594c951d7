"""`mcp`."""

from enum import StrEnum
from typing import Annotated

import typer

from cloudcix_ml.cli import settings
from cloudcix_ml.cli.exits import Exit
from cloudcix_ml.cli.shell import Shell, command
from cloudcix_ml.cli.streams import for_a_conversation
from cloudcix_ml.errors import ConfigurationError


class Carrier(StrEnum):
    """How agents talk to the server."""

    STDIO = "stdio"
    HTTP = "http"


def mcp(
    shell: Shell,
    transport: Annotated[
        Carrier, typer.Option(help="Over standard input and output, or over HTTP on loopback.")
    ] = Carrier.STDIO,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of http; 0 for a free one.")] = 8765,
    write: Annotated[
        bool, typer.Option("--write", help="Offer the tools that change something, too: index_page and crawl_site.")
    ] = False,
) -> int:
    """Serve your corpora to agents that speak the Model Context Protocol; read-only unless you say --write.

    Over http a request needs a token: CLOUDCIX_ML_MCP_TOKEN, else the one that is made the first time and kept for you alone.
    """
    try:
        from cloudcix_ml.agents.serving import Door, serve
    except ModuleNotFoundError as error:
        # whichever it is: the SDK is no package alone, and what it brings may be the first that is missed
        if (error.name or "").partition(".")[0] == "cloudcix_ml":
            raise
        raise ConfigurationError(
            "the MCP server takes more packages than the command line: pip install 'cloudcix-ml[mcp]'"
        ) from None
    url, key = shell.place()
    if transport is Carrier.STDIO:
        for_a_conversation()
    door = Door(port, *settings.mcp_token()) if transport is Carrier.HTTP else None
    serve(url, key, door=door, write=write, say=shell.out.note)
    return Exit.GOOD


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    command(app, "mcp")(mcp)
