"""Small web sites to index: many hosts on one machine, each page with text of its own."""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route

from ml_shared.testing.http_server import ThreadedServer

PARAGRAPHS = 6
WORDS_OF_A_PARAGRAPH = 110
WORDS = [
    "the",
    "a",
    "of",
    "to",
    "in",
    "and",
    "for",
    "with",
    "from",
    "that",
    "this",
    "each",
    "which",
    "when",
    "where",
    "before",
    "after",
    "server",
    "client",
    "request",
    "answer",
    "record",
    "table",
    "index",
    "query",
    "page",
    "host",
    "network",
    "address",
    "route",
    "packet",
    "volume",
    "disk",
    "memory",
    "process",
    "thread",
    "queue",
    "worker",
    "schedule",
    "deploy",
    "restore",
    "backup",
    "cluster",
    "region",
    "tenant",
    "account",
    "invoice",
    "balance",
    "limit",
    "quota",
    "token",
    "signature",
    "secret",
    "audit",
    "report",
    "graph",
    "metric",
    "trace",
    "latency",
    "throughput",
    "error",
    "retry",
    "timeout",
    "lease",
    "lock",
    "transaction",
    "commit",
    "replica",
]


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


def _site(host: int) -> Starlette:
    async def page(request: Request) -> HTMLResponse:
        return HTMLResponse(page_text(host, int(request.path_params["number"])))

    async def robots(_: Request) -> PlainTextResponse:
        return PlainTextResponse("User-agent: *\nAllow: /\n")

    return Starlette(routes=[Route("/robots.txt", robots), Route("/pages/{number:int}", page)])


@contextmanager
def serve_sites(hosts: int) -> Iterator[list[ThreadedServer]]:
    """Serve that many sites, each on a port of its own: a port makes a host, as far as politeness goes."""
    with ExitStack() as stack:
        yield [stack.enter_context(ThreadedServer(_site(host))) for host in range(hosts)]
