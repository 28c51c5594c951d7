"""Serves made-up sites: in a thread for tests, one to many hosts, with a count of who asked for what."""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import parse_qs

from ml_shared.testing.http_server import ThreadedServer
from standins.sites.content import changed_paths, etag_of, page_of
from standins.sites.expected import CrawlPlan, expect
from standins.sites.graph import Graph, Kind, Node
from standins.sites.plan import RETRY_AFTER_SECONDS, Mode, Options

CONTROL: Final = "/-/"
"""Where a site is asked about itself and told to change; nothing links there, and it is not counted."""
_BEGAN: Final = datetime(2024, 1, 1, tzinfo=UTC)
_PICTURE: Final = b"\x89PNG\r\n\x1a\n" + bytes(32)
_LOGIN: Final = (
    b"<!doctype html><title>Log in</title><main><h1>Log in</h1><form action=/login method=post><label>Email</label>"
    b"<input name=email><label>Password</label><input type=password name=password><button>Log in</button></form></main>"
)
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = dict[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered to one request."""

    status: int
    body: bytes = b""
    headers: Headers = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class Counts:
    """What was asked for, by path and query; of these how many with a validator, and how many were answered with 304."""

    requests: Counter[str] = field(default_factory=Counter)
    conditional: Counter[str] = field(default_factory=Counter)
    not_modified: Counter[str] = field(default_factory=Counter)

    def clear(self) -> None:
        """Begin anew."""
        for one in (self.requests, self.conditional, self.not_modified):
            one.clear()


class MadeUpSite:
    """One site, and what has happened to it so far. Its attributes may be changed while it is served.

    Attributes
    ----------
    mode
        What has become of the whole site.
    version
        What every page's generator is called: another one changes bytes and validators, and no text.
    counts
        What was asked for.
    origin
        Its address, without a slash at the end, once it is served.
    """

    def __init__(self, options: Options, origin: str = "") -> None:
        self.options = options
        self.graph = Graph(options)
        self.mode = Mode.NORMAL
        self.version = options.version
        self.counts = Counts()
        self.origin = origin
        self._editions: Counter[str] = Counter()
        self._rounds = 0
        self._busied: set[str] = set()

    def url(self, path: str = "/") -> str:
        """Return the URL of a path."""
        return self.origin + path

    def change(self, percent: float) -> list[str]:
        """Give so many of a hundred ordinary pages another text; return which."""
        self._rounds += 1
        paths = changed_paths(self.graph, percent, self._rounds)
        self._editions.update(paths)
        return paths

    def reply(self, path: str, conditions: Headers) -> Reply:
        """Answer a request, and count it.

        Parameters
        ----------
        path
            With its query.
        conditions
            `if-none-match` and `if-modified-since`, where they came.
        """
        self.counts.requests[path] += 1
        if conditions:
            self.counts.conditional[path] += 1
        reply = self._reply(path, conditions)
        if reply.status == 304:
            self.counts.not_modified[path] += 1
        return reply

    def _reply(self, path: str, conditions: Headers) -> Reply:
        if path == "/robots.txt":
            return self._robots() if self.options.robots else Reply(404)
        if self.mode is Mode.ALL_404:
            return Reply(404, b"<h1>Not found</h1>", {"content-type": "text/html"})
        if path.startswith("/sitemap"):
            return self._sitemap(path)
        node = self.graph.node(path)
        if self.mode is Mode.LOGIN and node is not None:
            return Reply(200, _LOGIN, {"content-type": "text/html"})
        if node is None:
            return Reply(404, b"<h1>Not found</h1>", {"content-type": "text/html"})
        return self._of_node(node, conditions)

    def _of_node(self, node: Node, conditions: Headers) -> Reply:
        if node.kind in (Kind.GONE, Kind.MISSING):
            return Reply(410 if node.kind is Kind.GONE else 404, b"<h1>Gone</h1>", {"content-type": "text/html"})
        if node.kind is Kind.REDIRECT:
            return Reply(301, headers={"location": node.target or "/"})
        if node.kind is Kind.PICTURE:
            return Reply(200, _PICTURE, {"content-type": "image/png"})
        if node.kind is Kind.BUSY and node.path not in self._busied:
            self._busied.add(node.path)
            return Reply(429, headers={"retry-after": str(RETRY_AFTER_SECONDS)})
        seconds = self.options.slow_seconds if node.kind is Kind.SLOW else 0.0
        return replace(self._page(node, conditions), seconds=seconds)

    def _page(self, node: Node, conditions: Headers) -> Reply:
        edition = self._editions[node.text_of]
        body = page_of(self.options, node, edition=edition, version=self.version)
        headers = {"content-type": f"text/html; charset={node.charset}"}
        if self.options.etags:
            headers["etag"] = etag_of(body)
        if self.options.last_modified:
            headers["last-modified"] = format_datetime(self._changed(node.text_of), usegmt=True)
        by_etag = conditions.get("if-none-match")
        if by_etag is not None:  # it is the stronger one: the other does not count beside it (RFC 9110, 13.1.3)
            same = by_etag == headers.get("etag")
        else:
            same = "last-modified" in headers and conditions.get("if-modified-since") == headers["last-modified"]
        return Reply(304, headers=headers) if same else Reply(200, body, headers)

    def _changed(self, path: str) -> datetime:
        return _BEGAN + timedelta(days=self._editions[path], seconds=0 if self.version == self.options.version else 1)

    def _robots(self) -> Reply:
        lines = ["User-agent: *", *(f"Disallow: {path}" for path in self.graph.forbidden)]
        if self.options.crawl_delay:
            lines.append(f"Crawl-delay: {self.options.crawl_delay:g}")
        if self.options.sitemap:
            lines.append(f"Sitemap: {self.url(self._sitemap_path)}")
        return Reply(200, "\n".join(lines).encode(), {"content-type": "text/plain"})

    @property
    def _sitemap_path(self) -> str:
        return "/sitemap.xml.gz" if self.options.packed and not self.options.indexed else "/sitemap.xml"

    def _sitemap(self, path: str) -> Reply:
        suffix = ".xml.gz" if self.options.packed else ".xml"
        parts = [f"/sitemap-{number}{suffix}" for number in (1, 2)] if self.options.indexed else []
        if not self.options.sitemap or path not in (self._sitemap_path, *parts):
            return Reply(404)
        listed = [] if self.mode is Mode.EMPTY_SITEMAP else self.graph.listed
        if path in parts:
            listed = listed[parts.index(path) :: 2]
        if parts and path not in parts:
            inside = "".join(f"<sitemap><loc>{self.url(part)}</loc></sitemap>" for part in parts)
            body = f"<sitemapindex>{inside}</sitemapindex>"
        else:
            inside = "".join(
                f"<url><loc>{self.url(one)}</loc><lastmod>{self._changed(one).isoformat()}</lastmod></url>"
                for one in listed
            )
            body = f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{inside}</urlset>'
        is_packed = path.endswith(".gz")
        content = gzip.compress(body.encode(), mtime=0) if is_packed else body.encode()
        return Reply(200, content, {"content-type": "application/gzip" if is_packed else "application/xml"})

    def control(self, what: str, query: str) -> Reply:
        """Answer what a test in another process asks: `counts`, `expected`, `options`, `reset`, `change`, `version`, `mode`."""
        given = {name: values[-1] for name, values in parse_qs(query).items()}
        try:
            told = self._told(what, given)
        except (KeyError, ValueError) as error:
            return Reply(422, f"{what}: {error}".encode(), {"content-type": "text/plain"})
        if told is None:
            return Reply(404)
        return Reply(200, json.dumps(told).encode(), {"content-type": "application/json"})

    def _told(self, what: str, given: dict[str, str]) -> Any:
        if what == "counts":
            counts = self.counts
            told = {"requests": counts.requests, "conditional": counts.conditional}
            return {**told, "not_modified": counts.not_modified}
        if what == "options":
            return asdict(self.options)
        if what == "expected":
            depth = int(given.get("max_depth", 10))
            found = expect(self.graph, CrawlPlan(given.get("source", "site"), max_depth=depth))
            return {
                **asdict(found),
                "alike": [sorted(group) for group in found.alike],
                "never_asked": sorted(found.never_asked),
            }
        if what == "reset":
            self.counts.clear()
            return {}
        if what == "change":
            return {"changed": self.change(float(given["percent"]))}
        if what == "version":
            self.version = given["name"]
            return {"version": self.version}
        if what == "mode":
            self.mode = Mode(given["name"])
            return {"mode": self.mode}
        return None


def application(site_of: Callable[[int], MadeUpSite]) -> Any:
    """Return the ASGI application of sites; which one is asked, its port says."""

    async def serve(scope: dict[str, Any], receive: Any, send: Send) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        site = site_of(scope["server"][1])
        path, query = scope["raw_path"].decode("latin-1").partition("?")[0], scope["query_string"].decode("latin-1")
        if path.startswith(CONTROL):
            reply = site.control(path.removeprefix(CONTROL), query)
        else:
            conditions = {
                name.decode(): value.decode("latin-1")
                for name, value in scope["headers"]
                if name in (b"if-none-match", b"if-modified-since")
            }
            reply = site.reply(f"{path}?{query}" if query else path, conditions)
        if reply.seconds:
            await asyncio.sleep(reply.seconds)
        headers = {"content-length": str(len(reply.body)), **reply.headers}
        pairs = [
            (name.encode(), value.encode("latin-1"))
            for name, value in headers.items()
            if reply.status != 304 or name != "content-length"
        ]
        await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
        await send({"type": "http.response.body", "body": reply.body})

    return serve


@contextmanager
def serving(options: Options, host: str = "127.0.0.1") -> Iterator[MadeUpSite]:
    """Serve a site on a free port of a loopback address, in a thread, until the block ends."""
    site = MadeUpSite(options)
    with ThreadedServer(application(lambda _: site), host=host) as server:
        site.origin = server.url
        yield site


def several(options: Options, origins: Sequence[str]) -> dict[int, MadeUpSite]:
    """Return a site for each origin, unlike each other, by its port."""
    sites = [MadeUpSite(replace(options, host=number), origin) for number, origin in enumerate(origins)]
    return {int(site.origin.rpartition(":")[2]): site for site in sites}
