"""Runs among crashes, repeats and others at the same rows: nothing is lost, nothing comes twice, nobody waits for ever."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import pytest
from conftest import Core, copied, open_core
from crawl_driver import OWNER, Driver, Site, site_of
from test_core_locks import held
from test_core_plans import scans

from app.core.crawls import passing, runs
from app.core.crawls.pages import PageFilter, page_statement
from app.core.jobs import transitions
from ml_shared.contracts.crawls import RunOutcome, RunState
from ml_shared.names import Stage
from ml_shared.testing.servers import PostgresServer


class CrashError(Exception):
    """What happens to a process that is killed, as far as a test of its own process can have it."""


def dense(count: int) -> Site:
    """Every page leads to every other one."""
    links = [f"/p{number}" for number in range(count)]
    return site_of({"/": links, **{link: [*reversed(links)] for link in links}})


async def test_a_crash_between_a_result_and_its_links_leaves_neither_and_the_report_comes_again(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(core, site_of({"/": ["/a", "/b"], "/a": [], "/b": []}))
    crawl_id = await driver.submit()
    job = await core.claim_one(Stage.SCRAPING)

    async def crash(*_: Any) -> None:
        raise CrashError

    with monkeypatch.context() as patch:
        patch.setattr(transitions, "take_links", crash)
        with pytest.raises(CrashError):
            await driver.scraped(job)
    assert (await core.row(job.job_id))["placement"] == "leased"
    assert await core.pool.fetchval("SELECT count(*) FROM run_pages") == 1
    await driver.scraped(job)
    assert await core.pool.fetchval("SELECT count(*) FROM run_pages") == 3
    assert (await driver.scraped(job)).answer.duplicate
    assert await core.pool.fetchval("SELECT count(*) FROM run_pages") == 3
    assert (await driver.run(crawl_id, 1)).outcomes.new == 3


async def test_a_report_of_a_lost_attempt_adds_no_links(core: Core) -> None:
    driver = Driver(core, site_of({"/": ["/a"], "/a": []}))
    await driver.submit()
    lost = await core.claim_one(Stage.SCRAPING)
    await core.expire_leases()
    await core.recover()
    again = await core.claim_one(Stage.SCRAPING)
    assert (await driver.scraped(lost)).answer.stale
    assert await core.pool.fetchval("SELECT count(*) FROM run_pages") == 1
    await driver.scraped(again)
    assert await core.pool.fetchval("SELECT count(*) FROM run_pages") == 2


async def test_a_pass_that_breaks_off_is_made_again_and_a_page_is_asked_for_once(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = dense(12)
    driver = Driver(core, site)
    crawl_id = await driver.submit()
    settle, broken = passing.settle, 0

    async def breaks(*arguments: Any, **more: Any) -> Any:
        nonlocal broken
        settled = await settle(*arguments, **more)
        broken += 1
        if broken % 2:
            raise CrashError
        return settled

    monkeypatch.setattr(passing, "settle", breaks)
    for _ in range(60):
        try:
            await driver.step()
        except CrashError:
            continue
    run = await driver.crawling.run(OWNER, crawl_id, 1)
    assert (run.state, run.outcomes.new, broken > 4) == (RunState.COMPLETED, 13, True)
    assert set(site.asked.values()) == {1}


async def test_results_passes_and_a_cancel_at_once_never_wait_for_each_other(core: Core) -> None:
    """Each page leads to all others, so every report is after the same rows, and so are the passes."""
    driver = Driver(core, dense(30))
    core.in_flight = 30
    crawl_ids = [await driver.submit() for _ in range(2)]
    await driver.step()
    for _ in range(4):
        await core.pool.execute("UPDATE lanes SET next_at = now()")
        await driver.crawling.go_on()
        jobs = [job for _ in range(6) for job in await free_lanes_and_claim(core)]
        async with asyncio.timeout(30):
            await asyncio.gather(*(driver.scraped(job) for job in jobs), *(driver.crawling.go_on() for _ in range(3)))
    async with asyncio.timeout(30):
        await asyncio.gather(
            driver.crawling.cancel(OWNER, crawl_ids[0], 1),
            driver.crawling.go_on(),
            driver.crawling.cancel(OWNER, crawl_ids[0], 1),
        )
    assert (await driver.run(crawl_ids[0], 1)).state is RunState.CANCELLED
    assert (await driver.run(crawl_ids[1], 1)).outcomes.new == 31
    assert await core.pool.fetchval("SELECT open_jobs FROM owners") == 0


async def free_lanes_and_claim(core: Core) -> list[Any]:
    """As if hosts bore any number of requests at once."""
    await core.pool.execute("UPDATE lanes SET holder = NULL, next_at = now()")
    return await core.claim(Stage.SCRAPING)


async def test_who_passes_a_run_is_alone_and_others_go_on_without_waiting(core: Core) -> None:
    driver = Driver(core, site_of({"/": []}))
    crawl_id = await driver.submit()
    other = await driver.submit()
    async with held(core.pool) as somebody:
        await somebody.execute("SELECT 1 FROM runs WHERE crawl_id = $1 FOR UPDATE", UUID(crawl_id))
        async with asyncio.timeout(20):
            assert (await driver.run(other, 1)).state is RunState.COMPLETED
        assert (await driver.crawling.run(OWNER, crawl_id, 1)).state is RunState.RUNNING
    assert (await driver.run(crawl_id, 1)).state is RunState.COMPLETED


async def test_runs_beyond_those_that_one_pass_of_all_takes_have_their_turn_in_the_next(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passing, "RUNS_AT_ONCE", 2)
    driver, waiting = Driver(core, site_of({"/": []})), Driver(core, Site(), max_open_jobs=0)
    older = [await waiting.submit(f"http://{number}.test/") for number in range(4)]
    newest = await driver.submit()
    (job,) = await core.claim(Stage.SCRAPING)
    await driver.scraped(job)
    for stage in (Stage.CHUNKING, Stage.EMBEDDING):
        await core.complete(await core.claim_one(stage))
    for _ in range(3):
        assert (await driver.crawling.run(OWNER, newest, 1)).outcomes.new == 0
        await waiting.crawling.go_on()
    assert (await driver.crawling.run(OWNER, newest, 1)).outcomes.new == 1
    assert [(await waiting.crawling.run(OWNER, crawl_id, 1)).waiting for crawl_id in older] == [1] * 4


async def crowd(core: Core) -> UUID:
    """Give a database many pages of a run, and of other runs."""
    driver = Driver(core, site_of({"/": []}))
    crawl_id = UUID(await driver.submit())
    await core.pool.execute(
        """INSERT INTO run_pages (crawl_id, run, url_hash, url, host, state, depth, pattern, patience, outcome, reason, nth)
           SELECT CASE WHEN n % 10 = 0 THEN $1::uuid ELSE gen_random_uuid() END, 1, decode(md5(n::text), 'hex'),
               'http://site.test/p/' || n, 'site.test', CASE WHEN n % 3 = 0 THEN 'waiting' ELSE 'ended' END, n % 9, n % 7, 50,
               CASE WHEN n % 3 > 0 THEN 'skipped' END, CASE WHEN n % 3 > 0 THEN 'trap' END, n
           FROM generate_series(1, 30000) n""",
        crawl_id,
    )
    await core.pool.execute("ANALYZE")
    return crawl_id


@pytest.fixture(scope="module")
def crowded_databases(
    postgres_server: PostgresServer, migrated_databases: tuple[str, str]
) -> Iterator[tuple[tuple[str, str], UUID]]:
    async def fill(databases: tuple[str, str]) -> UUID:
        async with open_core(databases) as core:
            return await crowd(core)

    with copied(postgres_server, migrated_databases) as databases:
        yield databases, asyncio.run(fill(databases))


@pytest.fixture
async def crowded(crowded_databases: tuple[tuple[str, str], UUID]) -> AsyncIterator[tuple[Core, UUID]]:
    """A core with many pages of a run, and of other runs, that tests share, since they only look at it."""
    databases, crawl_id = crowded_databases
    async with open_core(databases) as core:
        yield core, crawl_id


def named(plan: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    yield from scans(plan)


@pytest.mark.parametrize(
    "wanted",
    [
        PageFilter(),
        PageFilter(outcome=RunOutcome.SKIPPED),
        PageFilter(outcome=RunOutcome.SKIPPED, reason="trap"),
        PageFilter(reason="trap"),
        PageFilter(url_prefix="http://site.test/p/1"),
    ],
    ids=["all", "outcome", "outcome and reason", "reason", "url"],
)
async def test_lists_of_pages_and_runs_are_read_by_index(crowded: tuple[Core, UUID], wanted: PageFilter) -> None:
    core, crawl_id = crowded
    statement, arguments = page_statement(crawl_id, 1, wanted, 7, 50)
    run = (f"{runs._COUNTED} WHERE runs.crawl_id = $1 AND runs.run = $2", [crawl_id, 1])
    for text, given in ((statement, arguments), run):
        told = await core.pool.fetchval(f"EXPLAIN (FORMAT JSON) {text}", *given)
        found = list(named(json.loads(told)[0]["Plan"]))
        assert ("Seq Scan", "run_pages", "") not in found, found
