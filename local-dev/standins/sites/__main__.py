"""Serve made-up sites, each on a port of its own, until a signal or the end of standard input.

One line of JSON says where they are, when they can be reached: `{"origins": ["http://127.0.0.1:…", …]}`. Each tells of
itself and can be changed under `/-/`: `expected?source=site`, `counts`, `options`, `reset`, `change?percent=2`,
`version?name=2`, `mode?name=all_404`.
"""

import argparse
import json
import socket
import sys
import threading
from dataclasses import fields
from typing import Any

import uvicorn

from standins.serving import BACKLOG
from standins.sites.plan import Options, Shape
from standins.sites.server import application, several


def main() -> int:
    """Serve until a signal, or until whoever started this is gone."""
    chosen = _arguments()
    given = {one.name: getattr(chosen, one.name) for one in fields(Options) if one.name != "host"}
    given = {name: value for name, value in given.items() if value is not None}
    try:
        options = Options.plain(**given) if chosen.plain else Options(**given)
    except ValueError as error:
        print(f"sites: {error}", file=sys.stderr)
        return 2
    listeners = [_listener(chosen.host, chosen.port + number if chosen.port else 0) for number in range(chosen.hosts)]
    origins = [f"http://{chosen.host}:{listener.getsockname()[1]}" for listener in listeners]
    sites = several(options, origins)
    config = uvicorn.Config(
        application(sites.__getitem__), log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    if chosen.until_input_ends:
        threading.Thread(target=_wait_for_the_end, args=(server,), daemon=True).start()
    print(json.dumps({"origins": origins}), flush=True)
    try:
        server.run(sockets=listeners)
    except KeyboardInterrupt:
        return 130
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m standins.sites", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="of the first; 0 for free ones")
    parser.add_argument("--hosts", type=int, default=1, help="how many sites, unlike each other")
    parser.add_argument("--plain", action="store_true", help="ordinary pages and nothing else, but for what is given")
    parser.add_argument("--until-input-ends", action="store_true", help="end with standard input as well")
    for one in fields(Options):
        if one.name == "host":
            continue
        name, default = f"--{one.name.replace('_', '-')}", one.default
        if isinstance(default, bool):
            parser.add_argument(name, action=argparse.BooleanOptionalAction, default=None)
        else:
            more: dict[str, Any] = {"choices": list(Shape)} if one.name == "shape" else {}
            parser.add_argument(name, type=type(default), default=None, help=f"({default})", **more)
    return parser.parse_args()


def _listener(host: str, port: int) -> socket.socket:
    # the protocol is named, or asyncio sets no TCP_NODELAY and each answer waits 40 ms for an acknowledgement
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    return listener


def _wait_for_the_end(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
