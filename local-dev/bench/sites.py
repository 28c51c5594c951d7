"""Small web sites to index: many hosts on one machine, each page with text of its own.

    python -m bench.sites 50

serves them in a process of its own until its standard input ends, and prints their ports as JSON.
"""

import asyncio
import json
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import uvicorn
from fleet.layout import LOCAL_DEV
from standins.words import WORDS
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route

PARAGRAPHS = 6
WORDS_OF_A_PARAGRAPH = 110
SLOW_SECONDS: Final = 0.05
# what a page under /slow/ takes
HOST: Final = "127.0.0.1"
BACKLOG: Final = 512


def page_text(host: int, number: int) -> str:
    """Return a page as HTML: the same for the same numbers, and unlike every other."""
    chosen = random.Random(f"{host}/{number}")  # noqa: S311 - words, not secrets
    title = f"Page {number} of host {host}"
    paragraphs = [
        f"<h2>Section {section} of {title}</h2><p>"
        + " ".join(chosen.choices(WORDS, k=WORDS_OF_A_PARAGRAPH)).capitalize()
        + ".</p>"
        for section in range(1, PARAGRAPHS + 1)
    ]
    body = f"<main><h1>{title}</h1>{''.join(paragraphs)}</main>"
    return f"<!doctype html><html lang=en><head><title>{title}</title></head><body>{body}</body></html>"


@dataclass(frozen=True)
class Site:
    """One host: a port makes one, as far as politeness goes."""

    port: int

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    def page(self, number: int, *, slow: bool = False) -> str:
        """Return a page's URL; a slow one takes `SLOW_SECONDS`."""
        return f"{self.url}/{'slow' if slow else 'pages'}/{number}"


@contextmanager
def serve_sites(hosts: int) -> Iterator[tuple[list[Site], int]]:
    """Serve that many sites until the block ends, and say which process does."""
    command = [sys.executable, "-m", "bench.sites", str(hosts)]
    with subprocess.Popen(command, cwd=LOCAL_DEV, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both were asked for")
        ports = json.loads(process.stdout.readline())
        try:
            yield [Site(port) for port in ports], process.pid
        finally:
            process.stdin.close()


def _application(ports: list[int]) -> Starlette:
    host_of = {port: host for host, port in enumerate(ports)}
    text = lru_cache(maxsize=4096)(page_text)

    def answer(request: Request) -> HTMLResponse:
        return HTMLResponse(text(host_of[request.url.port or 0], int(request.path_params["number"])))

    async def page(request: Request) -> HTMLResponse:
        return answer(request)

    async def slow(request: Request) -> HTMLResponse:
        await asyncio.sleep(SLOW_SECONDS)
        return answer(request)

    async def robots(_: Request) -> PlainTextResponse:
        return PlainTextResponse("User-agent: *\nAllow: /\n")

    routes = [Route("/robots.txt", robots), Route("/pages/{number:int}", page), Route("/slow/{number:int}", slow)]
    return Starlette(routes=routes)


def _listener() -> socket.socket:
    # the protocol is named, or asyncio sets no TCP_NODELAY and each answer waits 40 ms for an acknowledgement
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind((HOST, 0))
    listener.listen(BACKLOG)
    return listener


def main(hosts: int) -> None:
    """Serve until standard input ends, which is also when whoever started this is gone."""
    listeners = [_listener() for _ in range(hosts)]
    ports = [listener.getsockname()[1] for listener in listeners]
    config = uvicorn.Config(_application(ports), log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)

    def wait_for_the_end() -> None:
        sys.stdin.read()
        server.should_exit = True

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    print(json.dumps(ports), flush=True)
    server.run(sockets=listeners)


if __name__ == "__main__":
    main(int(sys.argv[1]))
