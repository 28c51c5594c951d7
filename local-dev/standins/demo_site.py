"""A small site to index: this project's documentation, with everything around it that a real site has.

    python -m standins.demo_site --host 127.0.0.1 --port 8095

Beside the pages there are a brochure in PDF, a `robots.txt` with a crawl delay and a forbidden folder, a sitemap, a redirect, a
dead link and a file of a kind that is not indexed. `GET /pages.json` lists what should become of each when the site is crawled,
and names a page that JavaScript makes, which no sitemap has.
"""

import hashlib
import html
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from standins.brochure import TITLE, brochure
from standins.documents import REPOSITORY, Document, find_documents, page, render
from standins.serving import arguments_of, serve

CRAWL_DELAY_SECONDS: Final = 0.2
REDIRECT, REDIRECT_TARGET = "/docs/start", "/docs/introduction"
DEAD_LINK: Final = "/docs/retired"
BROCHURE: Final = "/files/brochure.pdf"
PICTURE: Final = "/files/picture.png"
FORBIDDEN: Final = "/private/plans"
SITEMAP: Final = "/sitemap.xml"
SCRIPTED, SCRIPT = "/app/visits", "/app/visits.js"

_PICTURE = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
    b"\x00\x00\x00\nIDATx\x9cc\x00\x01\x00\x00\x05\x00\x01\r\n-\xb4\x00\x00\x00\x00IEND\xaeB`\x82"
)
_PLANS = (
    "<h1>Plans</h1>\n<p>A page that robots.txt forbids. If a search finds this sentence, politeness is broken.</p>\n"
)

_FRAME = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Visiting the machine room</title></head>
<body><div id="root"></div><noscript>You need to enable JavaScript to see this page.</noscript>
<script src="/app/visits.js"></script></body>
</html>
"""
_MAKES_THE_PAGE = """const days = ["Tuesday", "Thursday"];
const main = document.createElement("main");
const add = (name, text) => { const part = document.createElement(name); part.textContent = text; main.append(part); };
add("h1", "Visiting the machine room");
add("p", "This page has no text before its script has run: a browser made of it what you read here.");
add("h2", "When it is open");
for (const day of days) add("p", `On each ${day} a technician leads visitors past the racks, from ten o'clock until noon.`);
add("p", "Groups of more than eight people write to the technician a week before, so that there are badges for all of them.");
document.getElementById("root").append(main);
"""

Handler = Callable[[Request], Awaitable[Response]]


def _expectations(documents: list[Document]) -> list[dict[str, str | None]]:
    """List what a crawl meets. One page is in no sitemap: what redirects to it is."""
    indexed = [(one.path, one.title, "a page of documentation") for one in documents]
    indexed.append((BROCHURE, TITLE, "a PDF"))
    others = (
        (REDIRECT, "Start here", "skipped", "canonical_elsewhere", f"redirects to {REDIRECT_TARGET}"),
        (FORBIDDEN, "Plans", "skipped", "robots_disallowed", "robots.txt forbids it"),
        (DEAD_LINK, "Old release notes", "failed", "gone", "answers 404"),
        (PICTURE, "Picture", "skipped", "unsupported", "is an image"),
    )
    rows = [(path, title, "indexed", None, why) for path, title, why in indexed]
    names = ("path", "title", "outcome", "reason", "why")
    return [dict(zip(names, row, strict=True)) for row in (*rows, *others)]


def _sitemap(origin: str, documents: list[Document]) -> str:
    """Return the sitemap, with what a real one has that should not be there.

    When they last changed it says of the pages of documentation, and not of what else there is: that is asked for by its tag.
    """
    changed = {one.path: datetime.fromtimestamp(one.source.stat().st_mtime, UTC) for one in documents}
    entries = []
    for row in _expectations(documents):
        path = row["path"] or ""
        if path != REDIRECT_TARGET:
            dated = path.startswith("/docs/") and path in changed
            lastmod = f"<lastmod>{changed[path].isoformat(timespec='seconds')}</lastmod>" if dated else ""
            entries.append(f"<url><loc>{html.escape(origin + path)}</loc>{lastmod}</url>\n")
    return f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{"".join(entries)}</urlset>\n'


def _tagged(request: Request, body: str | bytes, media_type: str) -> Response:
    """Return what was asked for, or only that it is as it was."""
    content = body.encode() if isinstance(body, str) else body
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"etag": tag})
    return Response(content, media_type=media_type, headers={"etag": tag})


def build_site(repository: Path = REPOSITORY, *, crawl_delay_seconds: float = CRAWL_DELAY_SECONDS) -> Starlette:
    """Build the site's ASGI application.

    Parameters
    ----------
    repository
        The checkout whose documentation is served.
    crawl_delay_seconds
        What `robots.txt` asks for; 0 leaves the line out.
    """

    async def index(_: Request) -> Response:
        documents = find_documents(repository)
        items = "".join(f'<li><a href="{one.path}">{html.escape(one.title)}</a></li>\n' for one in documents)
        return HTMLResponse(page("Documentation", f"<h1>Documentation</h1>\n<ul>\n{items}</ul>\n", documents))

    async def document_page(request: Request) -> Response:
        documents = find_documents(repository)
        for document in documents:
            if document.path == request.url.path:
                return _tagged(request, page(document.title, render(document, documents), documents), "text/html")
        raise HTTPException(404)

    async def start(_: Request) -> Response:
        return RedirectResponse(REDIRECT_TARGET, status_code=301)

    async def robots(request: Request) -> Response:
        delay = f"Crawl-delay: {crawl_delay_seconds:g}\n" if crawl_delay_seconds else ""
        return PlainTextResponse(f"User-agent: *\n{delay}Disallow: /private/\nSitemap: {_origin(request)}{SITEMAP}\n")

    async def sitemap(request: Request) -> Response:
        return Response(_sitemap(_origin(request), find_documents(repository)), media_type="application/xml")

    async def brochure_file(request: Request) -> Response:
        return _tagged(request, brochure(), "application/pdf")

    async def scripted(_: Request) -> Response:
        return HTMLResponse(_FRAME)

    async def script(_: Request) -> Response:
        return Response(_MAKES_THE_PAGE, media_type="text/javascript")

    async def picture(_: Request) -> Response:
        return Response(_PICTURE, media_type="image/png")

    async def plans(_: Request) -> Response:
        return HTMLResponse(page("Plans", _PLANS, find_documents(repository)))

    async def pages(_: Request) -> Response:
        return JSONResponse({"pages": _expectations(find_documents(repository)), "scripted": SCRIPTED})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def missing(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        body = f"<h1>{status}</h1>\n<p>There is no such page.</p>\n"
        return HTMLResponse(page("Not found", body, find_documents(repository)), status)

    routes: dict[str, Handler] = {
        "/": index,
        "/robots.txt": robots,
        SITEMAP: sitemap,
        "/pages.json": pages,
        "/health": health,
        REDIRECT: start,
        BROCHURE: brochure_file,
        SCRIPTED: scripted,
        SCRIPT: script,
        PICTURE: picture,
        FORBIDDEN: plans,
        "/docs/{name}": document_page,
        "/readme/{name}": document_page,
    }
    return Starlette(
        routes=[Route(path, handler) for path, handler in routes.items()], exception_handlers={HTTPException: missing}
    )


def _origin(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def main() -> int:
    """Serve until a signal ends it."""
    parser = arguments_of("standins.demo_site", __doc__)
    parser.add_argument("--crawl-delay", type=float, default=CRAWL_DELAY_SECONDS, help="seconds; 0 for none")
    arguments = parser.parse_args()
    app = build_site(crawl_delay_seconds=arguments.crawl_delay)
    return serve(app, "demo site", arguments.host, arguments.port)


if __name__ == "__main__":
    sys.exit(main())
