"""Hosts of which each page is answered at once, and the workers that fetch, cut and embed them at once."""

import hashlib
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from bench.orchestrator.passes import HIGH_WATER, NEVER_SECONDS
from bench.orchestrator.service import core
from ml_shared.contracts.jobs import CallbackStatus, StageCallback
from ml_shared.contracts.links import LinkList
from ml_shared.contracts.looks import Look
from ml_shared.contracts.scraping import RobotsVerdict, ScrapeResult
from ml_shared.names import Stage

LINKS: Final = 10
# of a page that is no root, to others of its host
BYTES: Final = 20_000
CHUNKS: Final = 8
SITEMAP: Final = "http://listed.test/sitemap.xml"


@dataclass(frozen=True)
class Web:
    """Hosts with as many pages each; a root links to all pages of its host, a page to some of them."""

    hosts: int
    pages: int

    @property
    def roots(self) -> list[str]:
        """Where a crawl of all of them begins."""
        return [f"http://h{host}.test/" for host in range(self.hosts)]

    def result(self, url: str) -> ScrapeResult:
        """Return what the scraper makes of a page."""
        root = url[: url.index("/", len("http://")) + 1]
        numbers: Any = range(1, self.pages)
        if url != root and self.pages > LINKS:
            numbers = random.Random(url).sample(numbers, LINKS)  # noqa: S311 - pages, not secrets
        return ScrapeResult(
            url=url,
            final_url=url,
            status_code=200,
            content=url,
            content_type="text/html",
            links=[root, *(f"{root}pages/{number}" for number in numbers)],
            content_hash=hashlib.sha256(url.encode()).hexdigest(),
            bytes_fetched=BYTES,
            fetched_at=datetime.now(UTC),
            robots=RobotsVerdict(allowed=True),
        )


def sitemap(pages: int) -> bytes:
    """Return what the scraper makes of a sitemap, as it is kept."""
    links = [{"url": f"http://listed.test/pages/{number}"} for number in range(pages)]
    return LinkList.model_validate({"url": SITEMAP, "final_url": SITEMAP, "links": links}).model_dump_json().encode()


class Workers:
    """Stand-ins of all stages' workers: each job that a pass hands out is reported as done at once, as the contracts have it."""

    def __init__(self, pool: Any, web: Web, listed: bytes = b"") -> None:
        self._pool = pool
        self._web = web
        self._listed = listed
        self._claims = core("dispatch.claims")
        self._definition_of = core("dispatch.pipeline").definition_of
        self._transitions = core("jobs.transitions")
        self._taking = core("crawls.taking")
        self._limits = self._transitions.Limits(60, 3600, 86_400, 4)

    async def claim(self, stage: Stage, slots: int) -> list[Any]:
        """Make a pass of a stage as far as its commit."""
        definition = self._definition_of(stage)
        fields = {"in_flight": slots, "high_water": HIGH_WATER, "lease_seconds": NEVER_SECONDS}
        jobs: list[Any] = await self._claims.claim(self._pool, definition, **fields)
        return jobs

    async def finish(self, job: Any) -> None:
        """Report what a stage made of a job."""
        crawled, reference = None, None
        if job.stage is Stage.SCRAPING:
            crawled, stats, reference = *await self._scraped(job), "page"
        elif job.stage is Stage.CHUNKING:
            stats, reference = {"chunks": CHUNKS, "tokens": 100 * CHUNKS}, "chunks"
        else:
            stats = {"outcome": "new", "reused": 0, "chunks": CHUNKS, "tokens": 100 * CHUNKS}
        callback = StageCallback(
            attempt_id=str(job.attempt_id),
            stage=job.stage,
            status=CallbackStatus.SUCCESS,
            content_ref=reference,
            stats=stats,
        )
        done = await self._transitions.complete(
            self._pool, job.job_id, self._definition_of(job.stage), callback, self._limits, crawled=crawled
        )
        if done.answer.stale or done.answer.duplicate:
            raise RuntimeError("a report of what was just handed out changed nothing")

    async def _scraped(self, job: Any) -> tuple[Any, dict[str, Any]]:
        page = self._web.result(job.url) if job.kind == "page" else None
        body = self._listed if page is None else page.model_dump_json().encode()

        async def read() -> bytes:
            return body

        crawled = await self._taking.read_page(self._pool, job.job_id, read, not_modified=False)
        look = Look(etag='"1"', content_hash=page.content_hash if page is not None else None)
        return crawled, {"look": look.model_dump(mode="json"), "bytes": BYTES}
