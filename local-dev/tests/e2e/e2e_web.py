"""The web, as far as the end-to-end tests need one: pages on as many loopback addresses as there are hosts to be."""

import asyncio
import hashlib
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Self

import httpx
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.servers import free_port, wait_until

NETWORK = "127.77.0.0/16"
HOLD_SECONDS, PASSED_ON_SECONDS = 40.0, 180.0
# a held page answers after this, unless it is told when, and so does the endpoint: nothing waits for ever


def sections(title: str, words: str) -> str:
    """Return a page's text: two sections of real sentences, so that it becomes a few chunks."""
    body = "".join(
        f"<h2>{words} part {part}</h2><p>"
        + " ".join(f"The {words} number {part}.{line} is kept in drawer {part * 100 + line}." for line in range(40))
        + "</p>"
        for part in (1, 2)
    )
    return f"<html lang=en><head><title>{title}</title></head><body><main><h1>{title}</h1>{body}</main></body></html>"


class TestWeb:
    """Hosts `127.77.0.1`, `127.77.0.2`, … on one port, each serving the same pages.

    `pages` maps a path to HTML. A path in `tagged` has an ETag, and its page is not sent to who has it; `answered` has each
    path with the status that it was answered with. A path in `held` answers when its event is set. `hooks` are run, in a thread, when their
    path is asked for.

    Parameters
    ----------
    hosts
        How many there are.
    hold_seconds
        After which a held page answers all the same.
    """

    __test__ = False

    def __init__(self, hosts: int = 20, *, hold_seconds: float = HOLD_SECONDS) -> None:
        self.port = free_port("127.77.0.1")
        self.pages: dict[str, str] = {}
        self.statuses: dict[str, int] = {}
        self.held: dict[str, threading.Event] = {}
        self.hooks: dict[str, Callable[[], None]] = {}
        self.tagged: set[str] = set()
        self.asked: list[str] = []
        self.answered: list[tuple[str, int]] = []
        self._hosts = hosts
        self._hold_seconds = hold_seconds
        self._stack = ExitStack()
        self._app = Starlette(routes=[Route("/{path:path}", self._answer)])

    def __enter__(self) -> Self:
        for number in range(1, self._hosts + 1):
            self._stack.enter_context(ThreadedServer(self._app, host=f"127.77.0.{number}", port=self.port))
        return self

    def __exit__(self, *_: object) -> None:
        for event in self.held.values():
            event.set()
        self._stack.close()

    def url(self, path: str, host: int = 1) -> str:
        return f"http://127.77.0.{host}:{self.port}{path}"

    def add(self, path: str, words: str, host: int = 1, *, held: bool = False) -> str:
        """Put up a page about `words` and return its URL."""
        self.pages[path] = sections(f"About {words}", words)
        if held:
            self.held[path] = threading.Event()
        return self.url(path, host)

    def wait_until_asked(self, path: str, times: int = 1, timeout_seconds: float = 60.0) -> None:
        """Wait until a page has been asked for so many times."""
        if not wait_until(lambda: self.asked.count(path) >= times, timeout_seconds):
            raise AssertionError(f"{path} was asked for {self.asked.count(path)} times, not {times}")

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        self.asked.append(path)
        if path in self.hooks:
            await asyncio.to_thread(self.hooks[path])
        if path in self.held:
            await asyncio.to_thread(self.held[path].wait, self._hold_seconds)
        status = self.statuses.get(path, 200 if path in self.pages else 404)
        html = self.pages.get(path, "<html><body><p>nothing here</p></body></html>")
        headers = {}
        if path in self.tagged:
            headers = {"ETag": f'"{hashlib.sha256(html.encode()).hexdigest()[:16]}"'}
            if request.headers.get("if-none-match") == headers["ETag"]:
                self.answered.append((path, 304))
                return Response(status_code=304, headers=headers)
        self.answered.append((path, status))
        return HTMLResponse(html, status, headers)


class HoldingProxy:
    """Passes requests on to the embedding endpoint, unless it holds them: so a worker can be stopped in mid-batch."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._asking: list[list[str]] = []
        self.open = threading.Event()
        self.open.set()
        self.passages: list[str] = []
        self.app = Starlette(routes=[Route("/{path:path}", self._pass_on, methods=["GET", "POST"])])

    @property
    def waiting(self) -> int:
        """How many requests have not been passed on yet."""
        return len(self._asking)

    def has_waiting(self, words: str) -> bool:
        """Whether a passage with these words has not been passed on yet: others may come of what another test left."""
        return any(words in passage for passages in list(self._asking) for passage in passages)

    async def _pass_on(self, request: Request) -> Response:
        body = await request.body()
        given = orjson.loads(body)["input"] if body else []
        passages = given if isinstance(given, list) else [given]
        self.passages += passages
        self._asking.append(passages)
        try:
            await asyncio.to_thread(self.open.wait, HOLD_SECONDS)
        finally:
            self._asking.remove(passages)
        headers = {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}
        async with httpx.AsyncClient(trust_env=False, timeout=PASSED_ON_SECONDS) as client:
            answer = await client.request(
                request.method, self._target + request.url.path, content=body, headers=headers
            )
        return Response(answer.content, answer.status_code, media_type=answer.headers["content-type"])
