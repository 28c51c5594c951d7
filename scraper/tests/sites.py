"""Websites on loopback that do as a test says, and remember who asked."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ml_shared.testing.http_server import ThreadedServer

Send = Callable[[dict[str, Any]], Awaitable[None]]
Handler = Callable[[Send], Awaitable[None]]
TURNS_TO_ARRIVE = 20
# of the server's loop, after which a connection that was made before them was taken, its request read and its `Hit` noted;
# that takes five


@dataclass(frozen=True)
class Hit:
    """A request that arrived."""

    at: float
    path: str
    headers: Mapping[str, str]


@dataclass
class Site:
    """One site: what it serves, by path and query, and what was asked of it. It has no robots.txt unless told so."""

    pages: dict[str, Handler] = field(default_factory=dict)
    hits: list[Hit] = field(default_factory=list)
    origin: str = ""
    port: int = 0
    _loop: asyncio.AbstractEventLoop | None = None

    def reset(self) -> None:
        """Forget everything; what was sent before this, by somebody who gave it up, is noted with what is forgotten."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(_arrived(), self._loop).result(60)
        self.pages.clear()
        self.hits.clear()

    @property
    def paths(self) -> list[str]:
        return [hit.path for hit in self.hits]

    def url(self, path: str = "/") -> str:
        return self.origin + path

    def page(
        self,
        path: str,
        body: str | bytes = "",
        *,
        status: int = 200,
        content_type: str | None = "text/html; charset=utf-8",
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Serve a page; returns its URL. A header of several lines is sent as so many headers."""
        content = body.encode() if isinstance(body, str) else body
        self.stream(path, [content], status=status, content_type=content_type, headers=headers)
        return self.url(path)

    def html(self, path: str, text: str = "Some words of a page that says something.") -> str:
        """Serve a small page of HTML; returns its URL."""
        return self.page(path, f"<html lang=en><head><title>Page</title></head><body><p>{text}</p></body></html>")

    def held(self, path: str, body: str, until: threading.Event) -> str:
        """Serve a page whose body comes when an event is set; returns its URL."""

        async def handler(send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
            while not until.is_set():
                await asyncio.sleep(0.01)
            await send({"type": "http.response.body", "body": body.encode()})

        self.pages[path] = handler
        return self.url(path)

    def redirect(self, path: str, target: str, status: int = 302) -> str:
        """Redirect; returns the URL that does."""
        return self.page(path, status=status, headers={"location": target})

    def robots(self, text: str | bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Serve a robots.txt."""
        self.page("/robots.txt", text, status=status, content_type="text/plain", headers=headers)

    def stream(
        self,
        path: str,
        parts: Iterable[bytes],
        *,
        pause: float = 0.0,
        status: int = 200,
        content_type: str | None = "text/html",
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Serve a body in parts; returns its URL."""
        sent = [(name.encode(), line.encode()) for name, value in (headers or {}).items() for line in value.split("\n")]
        if content_type is not None:
            sent.append((b"content-type", content_type.encode()))

        async def handler(send: Send) -> None:
            await send({"type": "http.response.start", "status": status, "headers": sent})
            for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
                if pause:
                    await asyncio.sleep(pause)
            await send({"type": "http.response.body", "body": b""})

        self.pages[path] = handler
        return self.url(path)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Send) -> None:
        if scope["type"] == "lifespan":
            self._loop = asyncio.get_running_loop()
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        query = scope["query_string"].decode()
        path = scope["path"] + (f"?{query}" if query else "")
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        self.hits.append(Hit(time.monotonic(), path, headers))
        handler = self.pages.get(path)
        if handler is None:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"not found"})
            return
        await handler(send)


async def _arrived() -> None:
    """Let the loop that this runs on take what is there already: on loopback that is all that anybody has sent."""
    for _ in range(TURNS_TO_ARRIVE):
        await asyncio.sleep(0)


def serve(site: Site, host: str) -> ThreadedServer:
    """Return a server for a site, to be entered."""
    server = ThreadedServer(site, host=host)
    site.origin, site.port = server.url, server.port
    return server
