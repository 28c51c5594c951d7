"""A site that is made up, and a fleet that fetches it at once: what a run comes to, without the services around it."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from conftest import Core

from app.core.crawling import Crawling
from app.core.crawls.filling import Window
from app.core.crawls.taking import read_page
from app.core.dispatch.hand_outs import HandOut
from app.core.dispatch.pipeline import definition_of
from app.core.jobs import transitions
from ml_shared.contracts.crawls import CrawlRequest, RunOutcome, RunRequest, RunView
from ml_shared.contracts.jobs import CallbackStatus, StageCallback
from ml_shared.contracts.looks import Look
from ml_shared.contracts.scraping import RobotsVerdict, ScrapeResult
from ml_shared.names import Stage

OWNER = "key:a"
AT_ONCE = 8
# as many as the core hands out
_OPEN_LANES = "UPDATE lanes SET next_at = now()"
_FREE_LANES = "UPDATE lanes SET next_at = now(), holder = NULL"


@dataclass
class Page:
    """What a URL answers: a text with links, or an error; `lists` is what a sitemap or feed has."""

    text: str = ""
    links: list[str] = field(default_factory=list)
    canonical: str | None = None
    final_url: str | None = None
    nofollow: bool = False
    etag: bool = False
    error: tuple[str, str] | None = None
    lists: dict[str, Any] | None = None


def gone(status: int = 404) -> Page:
    return Page(error=("http_status", f"the page's host answered with HTTP status {status}"))


class Site(dict[str, Page]):
    """Pages by URL; what is not there is not found."""

    def __init__(self, pages: dict[str, Page] | None = None) -> None:
        super().__init__(pages or {})
        self.asked: Counter[str] = Counter()

    def answer(self, url: str, kind: str) -> Page:
        self.asked[url] += 1
        page = self.get(url, gone())
        return gone() if kind == "links" and page.lists is None and page.error is None else page


class Driver:
    """Drives runs of one owner over a site."""

    def __init__(self, core: Core, site: Site, **window: Any) -> None:
        self.core = core
        self.site = site
        self.removed: list[str] = []
        self.embedded: Counter[str] = Counter()
        self.touched: Counter[str] = Counter()
        self.missing: set[str] = set()  # documents that are not there, or would be made otherwise now
        self.superseded: set[str] = set()  # of which somebody has written a newer version meanwhile
        fields = {"most": 200, "max_open_jobs": 1_000, "lastmod_trust": timedelta(days=7)} | window
        self.crawling = Crawling(core.pool, Window(**fields), self._remove, max_crawls=100, max_open_runs=5)

    async def submit(self, url: str | None = "http://site.test/", **more: Any) -> str:
        request = CrawlRequest.model_validate({"url": url, **more} if url else more)
        accepted, _ = await self.crawling.submit(OWNER, request, traceparent=None, idempotency_key=None)
        return accepted.crawl_id

    async def run(self, crawl_id: str, number: int, *, steps: int = 1_000) -> RunView:
        """Work until the run has ended."""
        for _ in range(steps):
            view = await self.crawling.run(OWNER, crawl_id, number)
            if view.ended_at is not None:
                return view
            await self.step(at_once=AT_ONCE)
        raise AssertionError(f"still {view}")

    async def again(self, crawl_id: str, *, force: bool = False) -> RunView:
        """Run a crawl once more."""
        accepted, _ = await self.crawling.run_now(
            OWNER, crawl_id, RunRequest(force=force), traceparent=None, idempotency_key=None
        )
        return await self.run(crawl_id, accepted.run)

    async def step(self, *, at_once: int = 1) -> None:
        """Everything that can happen now happens, where hosts bear so many requests at once."""
        await self.crawling.go_on()
        jobs: list[HandOut] = []
        for _ in range(at_once):
            await self.core.pool.execute(_FREE_LANES if jobs else _OPEN_LANES)
            claimed = await self.core.claim(Stage.SCRAPING, high_water=1_000_000)
            if not claimed:
                break
            jobs += claimed
        for job in jobs:
            await self.scraped(job)
        for stage in (Stage.CHUNKING, Stage.EMBEDDING):
            for job in await self.core.claim(stage, high_water=1_000_000):
                self.embedded[job.url] += stage is Stage.EMBEDDING and not job.unchanged
                self.touched[job.url] += job.unchanged
                if job.unchanged and job.url in self.missing:
                    await self.core.complete(job, status=CallbackStatus.DEFERRED, error_code="content_missing")
                else:
                    newer = stage is Stage.EMBEDDING and job.url in self.superseded
                    await self.core.complete(job, stats={"superseded": True} if newer else {})

    async def scraped(self, job: HandOut) -> transitions.Transition:
        page = self.site.answer(job.url, job.kind)
        if page.error is not None:
            return await self.core.complete(
                job, status=CallbackStatus.FAILED, error_code=page.error[0], error_message=page.error[1]
            )
        digest = hashlib.sha256(page.text.encode()).hexdigest()
        not_modified = page.etag and (job.known or {}).get("etag") == digest
        body = None if not_modified else written(job, page)
        look = Look(not_modified=not_modified, etag=digest if page.etag else None, content_hash=digest)

        async def read() -> bytes | None:
            return body

        crawled = await read_page(self.core.pool, job.job_id, read, not_modified=not_modified)
        callback = StageCallback(
            attempt_id=str(job.attempt_id),
            stage=job.stage,
            status=CallbackStatus.SUCCESS,
            stats={"look": look.model_dump(mode="json"), "bytes": 0 if not_modified else len(page.text)},
        )
        return await transitions.complete(
            self.core.pool, job.job_id, definition_of(job.stage), callback, self.core.limits, crawled=crawled
        )

    async def outcomes(self, crawl_id: str, run: int) -> dict[str, str]:
        """What became of each page: `new`, `skipped: trap`, …"""
        rows = await self.core.pool.fetch(
            "SELECT url, outcome, reason FROM run_pages WHERE crawl_id = $1 AND run = $2 AND kind = 'page'",
            *(UUID(crawl_id), run),
        )
        return {
            row["url"].removeprefix("http://site.test"): row["outcome"]
            + (f": {row['reason']}" if row["reason"] else "")
            for row in rows
        }

    async def _remove(
        self,
        connection: Any,
        owner: str,
        corpus_name: str,
        urls: list[str],
        crawl_id: UUID | None,
        run: int | None,
        *,
        as_of: datetime | None = None,
    ) -> list[UUID]:
        """Removals that are done at once."""
        self.removed += urls
        rows = await connection.fetch(
            """INSERT INTO jobs (owner, id, url, host, corpus_name, stage, status, placement, tag, ended_at, kind, as_of)
               SELECT $1, gen_random_uuid(), url, 'h', $2, 'embedding', 'completed', 'ended', 0, now(), 'remove', coalesce($4, now())
               FROM unnest($3::text[]) WITH ORDINALITY AS gone(url, nth) ORDER BY nth RETURNING id""",
            *(owner, corpus_name, urls, as_of),
        )
        return [row["id"] for row in rows]


def written(job: HandOut, page: Page) -> bytes:
    if page.lists is not None:
        return orjson.dumps({"url": job.url, "final_url": job.url, **page.lists})
    return (
        ScrapeResult(
            url=job.url,
            final_url=page.final_url or job.url,
            status_code=200,
            content=page.text,
            content_type="text/html",
            canonical_url=page.canonical,
            links=page.links,
            content_hash=hashlib.sha256(page.text.encode()).hexdigest(),
            bytes_fetched=len(page.text),
            fetched_at=datetime.now(UTC),
            robots=RobotsVerdict(allowed=True),
            nofollow=page.nofollow,
        )
        .model_dump_json()
        .encode()
    )


def site_of(links: dict[str, list[str]]) -> Site:
    """A site whose pages have texts of their own."""
    return Site(
        {
            f"http://site.test{path}": Page(f"the text of {path}", [f"http://site.test{to}" for to in leads])
            for path, leads in links.items()
        }
    )


__all__ = ["OWNER", "Driver", "Page", "RunOutcome", "Site", "gone", "site_of"]
