"""How each stand-in is served: one process, one line when it is ready, an orderly end on SIGINT and SIGTERM."""

import argparse
import socket
import sys
from typing import Any

import uvicorn

BACKLOG = 512


def arguments_of(module: str, description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the two arguments that every stand-in takes."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 for a free one")
    return parser


def serve(app: Any, name: str, host: str, port: int) -> int:
    """Serve an ASGI application until a signal; return the exit status."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            print(f"{name}: cannot listen on {host}:{port}: {error.strerror}", file=sys.stderr)
            return 1
        listener.listen(BACKLOG)  # from here on connections wait, so the line below is true
        print(f"{name} ready on http://{host}:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3)
        try:
            uvicorn.Server(config).run(sockets=[listener])
        except KeyboardInterrupt:  # an orderly end: it sends itself the signal again when everything is closed
            return 130
    return 0
