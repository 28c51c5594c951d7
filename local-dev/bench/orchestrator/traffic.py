"""Submissions and reports to the API over HTTP, what they leave in memory and tables, and hand-outs to a stage."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import asyncpg
import httpx
import psutil
from pydantic import SecretStr

from bench.orchestrator.passes import FIRST, HIGH_WATER, NEVER_SECONDS, Passes
from bench.orchestrator.service import KEY, SCRAPER_KEY, Databases, api, core
from bench.services import NOWHERE
from ml_shared.clients.orchestrator import OrchestratorClient
from ml_shared.contracts.jobs import CallbackStatus, StageCallback
from ml_shared.names import Service, Stage
from ml_shared.testing.stages import FakeScraper

CLIENTS: Final = 8
ALONE: Final = 50
# single jobs one after the other: a batch, which comes alone as well, is compared with one of them
BATCH: Final = 1_000
HOSTS: Final = 10_000
TIMEOUT_SECONDS: Final = 60.0
MEGABYTE: Final = 2**20
_SIZES: Final = "SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables"


async def _rate(work: Iterable[Callable[[], Awaitable[None]]], clients: int) -> float:
    """Do all of it, several at once; return how many were done a second."""
    waiting, done = iter(work), 0

    async def client() -> None:
        nonlocal done
        for one in waiting:
            await one()
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return done / (time.perf_counter() - began)


def _url(number: int) -> str:
    return f"http://h{number % HOSTS}.test/{number}"


async def over_http(databases: Databases, *, singles: int, batches: int, callbacks: int) -> dict[str, float]:
    """Submit single jobs and batches, then report the ends of some; return rates, memory and bytes."""
    found: dict[str, float] = {}
    with databases.copied() as dsns, api(dsns) as (url, pid):
        headers = {"X-API-Key": KEY}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS) as client:

            async def submit(path: str, body: dict[str, Any]) -> None:
                (await client.post(path, json=body)).raise_for_status()

            def single(number: int) -> Callable[[], Awaitable[None]]:
                return lambda: submit("/jobs", {"url": _url(number)})

            def batch(number: int) -> Callable[[], Awaitable[None]]:
                first = singles + number * BATCH
                return lambda: submit("/jobs/batch", {"urls": [_url(first + place) for place in range(BATCH)]})

            alone = min(ALONE, singles // 2)
            found["one job, s"] = 1 / await _rate((single(number) for number in range(alone)), 1)
            found["single jobs"] = await _rate((single(number) for number in range(alone, singles)), CLIENTS)
            found["memory before, MB"] = psutil.Process(pid).memory_info().rss / MEGABYTE
            found["jobs in batches"] = BATCH * await _rate((batch(number) for number in range(batches)), 1)
            found["memory after, MB"] = psutil.Process(pid).memory_info().rss / MEGABYTE
        found["bytes a job"] = await _bytes(dsns[0]) / (singles + batches * BATCH)
        found["callbacks"] = await _callbacks(dsns, url, callbacks)
    return found


async def _bytes(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval(_SIZES))
    finally:
        await connection.close()


async def _callbacks(dsns: tuple[str, str], url: str, count: int) -> float:
    async with core("database").open_jobs(dsns[0]) as pool:
        jobs = await Passes(pool).claim(FIRST, count)
    if len(jobs) < count:
        raise RuntimeError(f"{len(jobs)} jobs were handed out, not {count}")
    async with OrchestratorClient.connect(url, SecretStr(SCRAPER_KEY)) as client:

        def report(job: Any) -> Callable[[], Awaitable[None]]:
            callback = StageCallback(
                attempt_id=str(job.attempt_id), stage=FIRST, status=CallbackStatus.SUCCESS, content_ref="page"
            )

            async def told() -> None:
                answer = await client.complete(str(job.job_id), callback)
                if answer is None or answer.stale or answer.duplicate:
                    raise RuntimeError("a report of what was just handed out changed nothing")

            return told

        return await _rate(map(report, jobs), CLIENTS)


async def hand_outs(databases: Databases, *, passes: int, slots: int) -> float:
    """Return hand-outs a second through the dispatcher, to a scraper that answers at once; it shares this process."""
    dispatching, content = core("dispatch.dispatching"), core("content.store")
    limits = core("jobs.transitions").Limits(60, 3600, 86_400, 4)
    with FakeScraper() as scraper:
        scraper.max_depth = passes * slots
        addresses = {Service.SCRAPER: scraper.url, Service.CHUNKING: NOWHERE, Service.EMBEDDING: NOWHERE}
        opening = core("dispatch.stage_calls").open_stages(
            addresses, SecretStr(KEY), timeout_seconds=TIMEOUT_SECONDS, max_answer_bytes=MEGABYTE
        )
        async with databases.opened() as opened, opening as stages:
            await opened.fill(2 * passes * slots, owners=100, hosts=2 * passes * slots)
            store = content.PostgresContentStore(opened.content, max_bytes=MEGABYTE)
            in_flight = dict.fromkeys(Stage, 0)
            policy = dispatching.Policy(in_flight, HIGH_WATER, 10**12, NEVER_SECONDS, NEVER_SECONDS)
            dispatcher = dispatching.Dispatcher(opened.jobs, store, stages, policy, limits)
            handed, began = 0, time.perf_counter()
            for _ in range(passes):
                in_flight[FIRST] += slots  # as if as many were done meanwhile, which is another's work
                handed += (await dispatcher.run(FIRST)).handed_out
            seconds = time.perf_counter() - began
        if handed < passes * slots or len(scraper.tasks) != handed:
            raise RuntimeError(f"{handed} jobs were handed out and {len(scraper.tasks)} taken, of {passes * slots}")
    return handed / seconds
