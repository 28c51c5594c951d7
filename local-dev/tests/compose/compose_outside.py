"""What lies outside the fleet, on this machine and where containers reach it: Membership, the endpoint, the web."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from tests.e2e.e2e_web import HoldingProxy, sections

from ml_shared.testing.guard import forget_process, watch_process
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.servers import wait_until

LOCAL_DEV = Path(__file__).resolve().parents[2]
HOLD_SECONDS = 60.0
READY_SECONDS = 60.0


class Web:
    """A site whose pages are there at once or, when they are `held`, once they are let go; `told` is what was sent to it."""

    def __init__(self, host: str, port: int) -> None:
        self.pages: dict[str, str] = {}
        self.held: dict[str, threading.Event] = {}
        self.asked: list[str] = []
        self.told: list[tuple[str, dict[str, Any]]] = []
        routes = [Route("/{path:path}", self._answer), Route("/{path:path}", self._take, methods=["POST"])]
        self._server = ThreadedServer(Starlette(routes=routes), host=host, port=port)

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self._server.__exit__(None, None, None)

    def add(self, path: str, words: str, more: str = "", *, held: bool = False) -> str:
        """Put up a page about `words`, with more HTML in its text, and return its URL."""
        self.pages[path] = sections(f"About {words}", words).replace("</main>", f"{more}</main>")
        if held:
            self.held[path] = threading.Event()
        return self.url(path)

    def put(self, path: str, page: str) -> str:
        """Put up a page as it is, and return its URL."""
        self.pages[path] = page
        return self.url(path)

    def hold(self, path: str) -> threading.Event:
        """Have a page that is up wait for the event that is returned."""
        return self.held.setdefault(path, threading.Event())

    def let_go(self) -> None:
        for event in self.held.values():
            event.set()

    def url(self, path: str) -> str:
        return self._server.url + path

    def wait_until_asked(self, path: str, timeout_seconds: float = 60.0) -> None:
        assert wait_until(lambda: path in self.asked, timeout_seconds), f"nobody asked for {path}"

    async def _take(self, request: Request) -> Response:
        self.told.append((request.url.path, await request.json()))
        return Response(status_code=204)

    def _answer(self, request: Request) -> Response:
        # no coroutine: each request waits on a thread of its own
        path = request.url.path
        self.asked.append(path)
        if path in self.held:
            self.held[path].wait(HOLD_SECONDS)
        return HTMLResponse(self.pages.get(path, "<p>nothing here</p>"), 200 if path in self.pages else 404)


@contextmanager
def standin(module: str, host: str, port: int, *arguments: str, log: Path, **environment: str) -> Iterator[str]:
    """One of the stand-ins as a process of its own; its URL."""
    command = [sys.executable, "-m", f"standins.{module}", "--host", host, "--port", str(port), *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=LOCAL_DEV, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    watch_process(process.pid)
    try:
        wait_until(lambda: process.poll() is not None or "ready on" in log.read_text(), READY_SECONDS)
        assert "ready on" in log.read_text(), f"the {module} stand-in did not start: {log.read_text()}"
        yield f"http://{host}:{port}"
    finally:
        process.terminate()
        process.wait(30)
        forget_process(process.pid)


class Outside:
    """All of it, at one address of this machine."""

    def __init__(self, host: str, first_port: int, folder: Path, keys_file: Path, endpoint_key: str) -> None:
        self.host = host
        self.membership_port, self.endpoint_port, self.proxy_port, self.site_port, self.web_port = range(
            first_port, first_port + 5
        )
        self.membership = f"http://{host}:{self.membership_port}"
        self.endpoint = f"http://{host}:{self.endpoint_port}"
        self.proxied_endpoint = f"http://{host}:{self.proxy_port}"
        self.site = f"http://{host}:{self.site_port}"
        self.proxy = HoldingProxy(self.endpoint)
        self._folder, self._keys_file, self._endpoint_key = folder, keys_file, endpoint_key
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            enter, host, folder = opened.enter_context, self.host, self._folder
            keys = ("--keys", str(self._keys_file))
            enter(standin("membership", host, self.membership_port, *keys, log=folder / "membership.log"))
            enter(
                standin(
                    "endpoint",
                    host,
                    self.endpoint_port,
                    log=folder / "endpoint.log",
                    ENDPOINT_API_KEY=self._endpoint_key,
                )
            )
            enter(standin("demo_site", host, self.site_port, log=folder / "demo-site.log"))
            enter(ThreadedServer(self.proxy.app, host=host, port=self.proxy_port))
            self.web = enter(Web(host, self.web_port))
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.proxy.open.set()
        self._opened.close()
