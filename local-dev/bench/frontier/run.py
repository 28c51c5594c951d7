"""One run of very many pages on one PostgreSQL, pass by pass, with another owner's job now and then."""

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import psutil

from bench.frontier.web import SITEMAP, Web, Workers, sitemap
from bench.orchestrator.passes import MOST_HAND_OUTS, STAGES
from bench.orchestrator.service import Databases, Opened, core
from ml_shared.contracts.crawls import CrawlRequest, CrawlSource
from ml_shared.contracts.jobs import JobRequest
from ml_shared.names import Stage

OWNER: Final = "key:crawler"
NEWCOMER: Final = "key:newcomer"
SLOTS: Final = 32
PASS_EVERY: Final = 50
# pages that come to something between two passes of the run
WINDOW: Final = 200
SHARES: Final = (0.1, 0.5, 0.9)
# of the run, at which another owner's job comes
MEGABYTE: Final = 1e6
_SIZES: Final = """
SELECT relname AS name, pg_total_relation_size(relid)::float8 AS bytes, seq_tup_read, n_live_tup
FROM pg_stat_user_tables ORDER BY 2 DESC
"""
BIG: Final = ("jobs", "run_pages", "crawl_links", "crawl_documents", "run_contents", "validators")


@dataclass
class Times:
    """How long passes of the run, results and looks at it took, in milliseconds, in the order in which they came."""

    passes: list[float] = field(default_factory=list)
    results: list[float] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)


class Simulation:
    """A run of a list of roots whose links are followed, driven until it ends."""

    def __init__(self, opened: Opened, web: Web, say: Callable[[str], None]) -> None:
        self._opened = opened
        self._web = web
        self._say = say
        self._workers = Workers(opened.jobs, web)
        self.times = Times()
        self.waits: list[float] = []
        self._over = 0
        self._process = psutil.Process(os.getpid())
        self.memory: list[float] = []

    async def run(self) -> dict[str, float]:
        """Drive the run to its end; the figures."""
        crawling = crawling_of(self._opened.jobs)
        total = self._web.hosts * self._web.pages
        request = CrawlRequest(
            source=CrawlSource.LIST, urls=self._web.roots, follow_links=True, max_pages=total, corpus_name="simulated"
        )
        began = time.monotonic()
        accepted, _ = await crawling.submit(OWNER, request, traceparent=None, idempotency_key=None)
        begin_seconds = time.monotonic() - began
        self.memory.append(self._process.memory_info().rss)
        shares = [round(share * total) for share in SHARES]
        since = PASS_EVERY
        while True:
            if since >= PASS_EVERY:
                await _timed(self.times.passes, crawling.go_on())
                since = 0
            done = await self._round()
            since = PASS_EVERY if not done else since + done
            self.memory.append(self._process.memory_info().rss)
            while shares and self._over >= shares[0]:
                shares.pop(0)
                self._say(f"{self._over:,} of {total:,} pages after {time.monotonic() - began:.0f} s")
                self.waits.append(await self._newcomer())
                await _timed(self.times.looks, crawling.run(OWNER, accepted.crawl_id, 1))
            if not done and not await self._opened.jobs.fetchval("SELECT count(*) FROM runs WHERE state = 'running'"):
                break
        run = await crawling.run(OWNER, accepted.crawl_id, 1)
        if run.outcomes.new != total:
            raise RuntimeError(f"{total} pages were to be found: {run}")
        seconds = time.monotonic() - began
        return {
            **await self._figures(total),
            "the first 1,000 seeds, s": begin_seconds,
            "pages a second": total / seconds,
        }

    async def _round(self) -> int:
        """Every stage's workers do what they have slots for; how many pages came through the first one."""
        first = 0
        for stage in STAGES:
            jobs = await self._workers.claim(stage, SLOTS)
            for at in range(0, len(jobs), 8):
                await asyncio.gather(*(self._finish(job) for job in jobs[at : at + 8]))
            first += len(jobs) if stage is STAGES[0] else 0
        self._over += first
        return first

    async def _finish(self, job: Any) -> None:
        if job.stage is Stage.SCRAPING:
            await _timed(self.times.results, self._workers.finish(job))
        else:
            await self._workers.finish(job)

    async def _newcomer(self) -> float:
        """Submit another owner's job; its wait in durations of a job, with all slots taken and half of them waiting in the queue."""
        running = await self._workers.claim(Stage.SCRAPING, SLOTS)
        fields = {"traceparent": None, "idempotency_key": None, "max_open_jobs": 10}
        request = JobRequest(url=f"http://newcomer{len(self.waits)}.test/")
        accepted = await core("jobs.submission").submit(self._opened.jobs, NEWCOMER, request, **fields)
        slots = max(len(running), 1)
        for before in range(MOST_HAND_OUTS):
            if running:
                await self._workers.finish(running.pop(0))
                self._over += 1
            handed = await self._workers.claim(Stage.SCRAPING, slots)
            running += handed
            if any(str(job.job_id) == accepted.job_id for job in handed):
                for job in running:
                    await self._workers.finish(job)
                self._over += len(running) - 1
                return (before + 1 + slots / 2) / (slots / 2)
        raise RuntimeError(f"{MOST_HAND_OUTS} hand-outs went before a newcomer's first")

    async def _figures(self, total: int) -> dict[str, float]:
        rows = {row["name"]: row for row in await self._opened.jobs.fetch(_SIZES)}
        size = sum(row["bytes"] for row in rows.values())
        told = {
            "another owner's wait, in durations of a job, worst": max(self.waits),
            "a pass of the run, the last tenth ÷ the first": _growth(self.times.passes),
            "a page's result, the last tenth ÷ the first": _growth(self.times.results),
            "a look at the run, the last ÷ the first": self.times.looks[-1] / self.times.looks[0],
            "rows read by whole scans ÷ pages": sum(rows[name]["seq_tup_read"] for name in BIG) / total,
            "a pass of the run, ms": statistics.median(self.times.passes),
            "a page's result, ms": statistics.median(self.times.results),
            "a look at the run at nine tenths, ms": self.times.looks[-1],
            "memory at its begin, MB": self.memory[0] / MEGABYTE,
            "memory at its most, MB": max(self.memory) / MEGABYTE,
            "database, MB": size / MEGABYTE,
            "database, bytes a page": size / total,
        }
        return told | {f"of it {name}": rows[name]["bytes"] / total for name in list(rows)[:5]}


async def listed_at_once(databases: Databases, pages: int) -> dict[str, float]:
    """Take in a sitemap that names so many pages; how many a second come into the frontier."""
    async with databases.opened() as opened:
        crawling = crawling_of(opened.jobs)
        request = CrawlRequest(source=CrawlSource.SITEMAP, url=SITEMAP, max_pages=100_000, corpus_name="listed")
        await crawling.submit(OWNER, request, traceparent=None, idempotency_key=None)
        workers = Workers(opened.jobs, Web(1, 1), sitemap(pages))
        [job] = await workers.claim(Stage.SCRAPING, 1)
        began = time.monotonic()
        await workers.finish(job)
        seconds = time.monotonic() - began
        there = await opened.jobs.fetchval("SELECT count(*) FROM run_pages WHERE state = 'waiting'")
    if there != pages:
        raise RuntimeError(f"{pages} pages were listed, {there} are in the frontier")
    return {"frontier insertions a second": pages / seconds}


async def simulated(databases: Databases, web: Web, say: Callable[[str], None]) -> dict[str, float]:
    """Simulate a run; the figures."""
    async with databases.opened() as opened:
        return await Simulation(opened, web, say).run()


def crawling_of(pool: Any) -> Any:
    """Return the use cases of crawls, with the service's own window."""
    window = core("crawls.filling").Window(most=WINDOW, max_open_jobs=10_000, lastmod_trust=timedelta(days=7))
    removing = core("jobs.removing")
    return core("crawling").Crawling(pool, window, removing.remove_documents, max_crawls=100, max_open_runs=5)


async def _timed(kept: list[float], doing: Any) -> None:
    began = time.perf_counter()
    await doing
    kept.append((time.perf_counter() - began) * 1e3)


def _growth(times: list[float]) -> float:
    tenth = max(len(times) // 10, 1)
    return statistics.median(times[-tenth:]) / statistics.median(times[:tenth])


def rows_of(figures: dict[str, float]) -> Iterator[tuple[str, float]]:
    """Yield the figures, ratios first."""
    ratios = [name for name in figures if "÷" in name or "in durations" in name]
    yield from ((name, figures[name]) for name in [*ratios, *(name for name in figures if name not in ratios)])
