"""Crawls: a site, or a part of it, kept in a corpus. A time that it is done is a run: `runs`."""

from collections.abc import Mapping, Sequence
from typing import Any

from cloudcix_ml.core.effects import Operation, Request, Stream
from cloudcix_ml.core.exchange import call, removal
from cloudcix_ml.core.session import Session
from cloudcix_ml.models.crawls import (
    Crawl,
    CrawlDeleted,
    CrawlPage,
    CrawlPatch,
    CrawlRequest,
    CrawlSource,
    OnGone,
    RunAccepted,
    RunRequest,
    Schedule,
)
from cloudcix_ml.models.jobs import ChunkingOptions, Render
from cloudcix_ml.operations.requests import ORCHESTRATOR, create, get, listed, params_of, path_of, post

CRAWLS = f"{ORCHESTRATOR}/crawls"


def crawl(
    session: Session,
    url: str | None = None,
    *,
    source: CrawlSource | str | None = None,
    urls: Sequence[str] | None = None,
    corpus_name: str = "default",
    metadata: Mapping[str, Any] | None = None,
    chunking: ChunkingOptions | None = None,
    render: Render | str | None = None,
    force: bool | None = None,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    subdomains: bool | None = None,
    follow_links: bool | None = None,
    max_pages: int | None = None,
    max_depth: int | None = None,
    keep_query: bool | None = None,
    on_gone: OnGone | str | None = None,
    schedule: Schedule | None = None,
    dry_run: bool | None = None,
    idempotency_key: str | None = None,
) -> Operation[RunAccepted]:
    """Have a site's pages kept in a corpus, and return the first run at once.

    Parameters
    ----------
    url
        Where it begins: a page, a site, a sitemap, a feed.
    source
        What `url` is: `site` unless said; `list` for `urls`.
    render
        Whether a browser runs the pages' scripts first: `auto` does where there is no text without.
    force
        Fetch and index everything whatever is known of it.
    include, exclude
        Globs on the path: of the first one has to match, of the second none may.
    subdomains
        Whether hosts below the site's belong to it.
    follow_links
        Whether links of pages are followed.
    max_pages, max_depth
        How many pages at most, and how many links deep.
    keep_query
        Whether tracking parameters stay in URLs.
    on_gone
        Whether documents whose pages are gone are deleted or kept.
    schedule
        When it is done again: `Schedule(every="24h")`.
    dry_run
        Find the pages, and index none.
    """
    said = {
        "source": source or (CrawlSource.LIST if urls else CrawlSource.SITE),
        "url": url,
        "urls": urls and list(urls),
        "corpus_name": corpus_name,
        "metadata": metadata,
        "chunking": chunking,
        "render": render,
        "force": force,
        "include": include and list(include),
        "exclude": exclude and list(exclude),
        "subdomains": subdomains,
        "follow_links": follow_links,
        "max_pages": max_pages,
        "max_depth": max_depth,
        "keep_query": keep_query,
        "on_gone": on_gone,
        "schedule": schedule,
        "dry_run": dry_run,
    }
    return (yield from call(session, create(CRAWLS, CrawlRequest.of(said), idempotency_key), RunAccepted))


def read(session: Session, crawl_id: str) -> Operation[Crawl]:
    """Return a crawl as it stands."""
    return (yield from call(session, get(path_of(CRAWLS, crawl_id)), Crawl))


def list_all(session: Session, *, page_size: int | None = None) -> Stream[Crawl]:
    """Go through your crawls, newest first."""
    return listed(session, CRAWLS, CrawlPage, page_size)


def change(session: Session, crawl_id: str, patch: CrawlPatch) -> Operation[Crawl]:
    """Change a crawl from its next run on; what the patch does not say stays as it is."""
    request = Request(
        "PATCH", path_of(CRAWLS, crawl_id), headers={"Content-Type": "application/json"}, body=patch.sent()
    )
    return (yield from call(session, request, Crawl))


def delete(session: Session, crawl_id: str, *, documents: str | None = None) -> Operation[CrawlDeleted]:
    """Delete a crawl, and with `documents="delete"` what it brought into its corpus."""
    request = Request("DELETE", path_of(CRAWLS, crawl_id), params_of({"documents": documents}))
    done = CrawlDeleted(crawl_id=crawl_id, documents=documents or OnGone.KEEP)
    return (yield from removal(session, request, done))


def pause(session: Session, crawl_id: str) -> Operation[Crawl]:
    """Begin no run by the schedule until it is resumed."""
    return (yield from call(session, post(path_of(CRAWLS, crawl_id, "pause")), Crawl))


def resume(session: Session, crawl_id: str) -> Operation[Crawl]:
    """Go on with the schedule."""
    return (yield from call(session, post(path_of(CRAWLS, crawl_id, "resume")), Crawl))


def run(
    session: Session, crawl_id: str, *, force: bool = False, idempotency_key: str | None = None
) -> Operation[RunAccepted]:
    """Do a crawl again, now; with `force` everything is fetched and indexed anew."""
    request = create(path_of(CRAWLS, crawl_id, "runs"), RunRequest(force=force), idempotency_key)
    return (yield from call(session, request, RunAccepted))
