"""A small site to index: this project's documentation, with everything around it that a real site has.

    python -m standins.demo_site --host 127.0.0.1 --port 8095

Beside the pages there are a brochure in PDF, a page that JavaScript makes, a `robots.txt` with a crawl delay and a forbidden folder, a redirect, a dead
link and a file of a kind that is not indexed. `GET /pages.json` lists what should become of each.
"""

import html
import sys
from collections.abc import Awaitable, Callable
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


def _expectations(documents: list[Document]) -> list[dict[str, str | bool | None]]:
    """List what to submit; `by_script`: what is nothing without a browser. The redirect stands for its target, which two addresses would otherwise index twice."""
    rows: list[dict[str, str | bool | None]] = []
    for document in documents:
        path, why = document.path, "a page of documentation"
        if path == REDIRECT_TARGET:
            path, why = REDIRECT, f"redirects to {REDIRECT_TARGET}, a page of documentation"
        rows.append({"path": path, "title": document.title, "outcome": "completed", "error_code": None, "why": why})
    rows.append({"path": BROCHURE, "title": TITLE, "outcome": "completed", "error_code": None, "why": "a PDF"})
    refused = (
        (FORBIDDEN, "Plans", "robots_disallowed", "robots.txt forbids it"),
        (DEAD_LINK, "Old release notes", "http_status", "answers 404"),
        (PICTURE, "Picture", "unsupported_content_type", "is an image"),
    )
    for path, title, code, why in refused:
        rows.append({"path": path, "title": title, "outcome": "failed", "error_code": code, "why": why})
    made = {"path": SCRIPTED, "title": "Visiting the machine room", "outcome": "completed", "error_code": None}
    # the last one: while a browser makes it, no other page of the site has its turn
    rows.append({**made, "why": "a page that JavaScript makes", "by_script": True})
    return rows


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
                return HTMLResponse(page(document.title, render(document, documents), documents))
        raise HTTPException(404)

    async def start(_: Request) -> Response:
        return RedirectResponse(REDIRECT_TARGET, status_code=301)

    async def robots(_: Request) -> Response:
        delay = f"Crawl-delay: {crawl_delay_seconds:g}\n" if crawl_delay_seconds else ""
        return PlainTextResponse(f"User-agent: *\n{delay}Disallow: /private/\n")

    async def brochure_file(_: Request) -> Response:
        return Response(brochure(), media_type="application/pdf")

    async def scripted(_: Request) -> Response:
        return HTMLResponse(_FRAME)

    async def script(_: Request) -> Response:
        return Response(_MAKES_THE_PAGE, media_type="text/javascript")

    async def picture(_: Request) -> Response:
        return Response(_PICTURE, media_type="image/png")

    async def plans(_: Request) -> Response:
        return HTMLResponse(page("Plans", _PLANS, find_documents(repository)))

    async def pages(_: Request) -> Response:
        return JSONResponse({"pages": _expectations(find_documents(repository))})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def missing(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        body = f"<h1>{status}</h1>\n<p>There is no such page.</p>\n"
        return HTMLResponse(page("Not found", body, find_documents(repository)), status)

    routes: dict[str, Handler] = {
        "/": index,
        "/robots.txt": robots,
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


def main() -> int:
    """Serve until a signal ends it."""
    parser = arguments_of("standins.demo_site", __doc__)
    parser.add_argument("--crawl-delay", type=float, default=CRAWL_DELAY_SECONDS, help="seconds; 0 for none")
    arguments = parser.parse_args()
    app = build_site(crawl_delay_seconds=arguments.crawl_delay)
    return serve(app, "demo site", arguments.host, arguments.port)


if __name__ == "__main__":
    sys.exit(main())
