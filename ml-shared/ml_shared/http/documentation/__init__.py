"""`/docs`: Swagger UI from files of a pinned package, so that it works in a network without the internet.

FastAPI's own pages load theirs from a CDN. Theirs is also a page with a script in it, which no strict policy takes.
"""

import html
from collections.abc import Awaitable, Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

DOCS_PATH: Final = "/docs"
# and, below it, what the page loads
DOCS_FILES: Final = ("swagger-ui.css", "swagger-ui-bundle.js", "start.js")
PACKAGE: Final = "fastapi_offline"
# carries a build of swagger-ui-dist (Apache-2.0); only its files are used
_FASTAPIS_OWN: Final = frozenset({DOCS_PATH, f"{DOCS_PATH}/oauth2-redirect", "/redoc"})
# Swagger UI draws its icons from data: URLs in its style sheet, and sizes some of its parts by style attributes
_POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; object-src 'none'"
)
_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# every address in it is relative: the page does not have to know the path that the gateway has put before it
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="data:,">
<script src="docs/swagger-ui-bundle.js" defer></script>
<script src="docs/start.js" defer></script>
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page is drawn by a script; <a href="openapi.json">the document</a> itself is plain JSON.</noscript>
</body>
</html>
"""


def serve_documentation(app: FastAPI) -> None:
    """Put pages that need no other host in place of FastAPI's."""
    app.router.routes[:] = [one for one in app.router.routes if getattr(one, "path", None) not in _FASTAPIS_OWN]
    app.router.routes += [
        Route(DOCS_PATH, _page(app), include_in_schema=False),
        *(Route(f"{DOCS_PATH}/{name}", _file(name), include_in_schema=False) for name in DOCS_FILES),
    ]


def _page(app: FastAPI) -> Callable[[Request], Awaitable[Response]]:
    async def page(_: Request) -> Response:
        return HTMLResponse(_PAGE.format(title=html.escape(app.title)), headers=_HEADERS)

    return page


def _file(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def file(request: Request) -> Response:
        response = await _files().get_response(name, request.scope)
        response.headers.update(_HEADERS)
        return response

    return file


@lru_cache(1)
def _files() -> StaticFiles:
    """Return what reads the files, and answers by their validators. Looked for once, by the first who asks."""
    found = find_spec(PACKAGE)  # it is not imported: its code patches nothing of ours
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"{PACKAGE} has the files of {DOCS_PATH}, and is not installed", name=PACKAGE)
    served = StaticFiles(directory=Path(found.submodule_search_locations[0]) / "static", follow_symlink=True)
    served.all_directories.append(Path(__file__).parent)
    return served
