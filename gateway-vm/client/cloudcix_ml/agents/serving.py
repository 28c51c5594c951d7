"""Serving the tools: over standard input and output, or over HTTP to this machine alone."""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from cloudcix_ml.agents.guarding import TokenGuard
from cloudcix_ml.agents.tools import server_of
from cloudcix_ml.client import AsyncClient
from cloudcix_ml.errors import ConfigurationError

LOOPBACK: Final = "127.0.0.1"
PATH: Final = "/mcp"
MOST_SESSIONS: Final = 100
MOST_BODY_BYTES: Final = 256 * 1024
IDLE_SECONDS: Final = 1_800.0


@dataclass(frozen=True)
class Door:
    """How a server over HTTP is reached.

    Attributes
    ----------
    port
        0 for a free one.
    token
        What a request has to have.
    token_place
        Where whoever may ask finds it.
    """

    port: int
    token: str = field(repr=False)
    token_place: str


def serve(url: str, key: str, *, door: Door | None, write: bool, say: Callable[[str], None]) -> None:
    """Serve until it is ended: over HTTP if there is a door for it, else over standard input and output."""
    # nothing but the protocol goes to standard output, and no request's text anywhere
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", force=True
    )
    logging.getLogger("mcp").setLevel(logging.ERROR)
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(url, key, door, write=write, say=say))


async def _serve(url: str, key: str, door: Door | None, *, write: bool, say: Callable[[str], None]) -> None:
    async with AsyncClient(url, key) as client:
        server = server_of(client, write=write)
        if door is None:
            await server.run_stdio_async()
            return
        import uvicorn
        from mcp.server.transport_security import TransportSecuritySettings

        bound = _bound(door.port)
        port = bound.getsockname()[1]
        names = [f"{host}:{port}" for host in (LOOPBACK, "localhost")]
        app = server.streamable_http_app(
            streamable_http_path=PATH,
            host=LOOPBACK,
            max_sessions=MOST_SESSIONS,
            max_request_body_size=MOST_BODY_BYTES,
            session_idle_timeout=IDLE_SECONDS,
            # a page in a browser of this machine must not get at it by a name of its own
            transport_security=TransportSecuritySettings(
                allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names]
            ),
        )
        guarded = TokenGuard(app, door.token)
        config = uvicorn.Config(guarded, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=2)
        changing = ", with tools that change something" if write else ""
        say(f"MCP at http://{LOOPBACK}:{port}{PATH}, for this machine alone{changing}")
        say(f"Agents send its token as `Authorization: Bearer …`; it is in {door.token_place}")
        try:
            await uvicorn.Server(config).serve(sockets=[bound])
        finally:
            bound.close()


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
        bound.listen()  # now: whoever is told of it may come at once
    except OSError as error:
        bound.close()
        raise ConfigurationError(f"port {port} can't be had: {error.strerror}; --port 0 takes a free one") from None
    return bound
