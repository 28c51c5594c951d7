"""Transactions that meet: none waits for another that waits for it, and no job is lost between them."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from conftest import Core

from ml_shared.names import Stage

APPLICATION = Path(__file__).resolve().parents[1] / "app"


@asynccontextmanager
async def held(pool: asyncpg.Pool) -> AsyncIterator[Any]:
    """Another transaction, open until the block ends."""
    async with pool.acquire() as connection, connection.transaction():
        yield connection


async def waits_for_a_lock(pool: asyncpg.Pool) -> None:
    """Return once a transaction of this database waits for another."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with asyncio.timeout(20):
        while not await pool.fetchval(waiting):
            await asyncio.sleep(0.01)


async def test_a_pass_does_not_wait_for_a_parked_job_that_a_report_has_locked(core: Core) -> None:
    """The report goes on to the lane, which the pass holds: waiting would be a deadlock."""
    job_id = await core.submit("http://one.test/")
    async with held(core.pool) as report:
        await report.execute("SELECT 1 FROM jobs WHERE id = $1 FOR UPDATE", job_id)
        async with asyncio.timeout(20):
            assert await core.claim(Stage.SCRAPING) == []
    (job,) = await core.claim(Stage.SCRAPING)
    assert str(job.job_id) == job_id, "its lane still counts as occupied"


async def test_a_pass_tells_of_a_job_that_was_submitted_while_it_waited(core: Core) -> None:
    """What a pass claims is under a lease: if nobody were told of it, it would lie there until that has run out."""
    first = await core.submit("http://one.test/")
    async with held(core.pool) as another_pass:
        await another_pass.execute("SELECT pg_advisory_xact_lock(hashtext('stage'), hashtext($1))", Stage.SCRAPING)
        waiting = asyncio.create_task(core.claim(Stage.SCRAPING))
        await waits_for_a_lock(core.pool)
        later = await core.submit("http://two.test/")
        await core.pool.execute("UPDATE lanes SET next_at = '-infinity'")  # as of a host that is known for long
    assert {str(job.job_id) for job in await waiting} == {first, later}
    assert await core.pool.fetchval("SELECT count(*) FROM leases") == 2


async def test_the_recovery_holds_no_lane_while_it_waits_for_an_owner(core: Core) -> None:
    """A submission locks its owner and then the lane."""
    last = core.with_limits(max_attempts=1)
    await core.submit("http://a.test/", owner="key:x")
    await core.submit("http://b.test/", owner="key:y")
    for job in await core.claim(Stage.SCRAPING):
        assert await core.started(job)
    await core.expire_leases()
    async with held(core.pool) as submission:
        await submission.execute("UPDATE owners SET weight = weight WHERE owner = 'key:y'")
        recovery = asyncio.create_task(last.recover())
        await waits_for_a_lock(core.pool)
        await submission.execute("UPDATE lanes SET next_at = next_at WHERE host = 'a.test'")
    _, failed = await recovery
    assert len(failed) == 2


async def test_a_wiped_queue_is_noticed_without_holding_the_stage_while_waiting_for_a_lane(core: Core) -> None:
    """A pass locks lanes and then the stage's row."""
    await core.submit("http://a.test/")
    lost = await core.claim_one(Stage.SCRAPING)
    await core.queued(lost, queue_epoch="before", lease_seconds=900)
    await core.submit("http://b.test/")
    other = await core.claim_one(Stage.SCRAPING)
    async with held(core.pool) as one_pass:
        await one_pass.execute("SELECT 1 FROM lanes WHERE host = 'a.test' FOR UPDATE")
        noticing = asyncio.create_task(core.queued(other, queue_epoch="after", lease_seconds=900))
        await waits_for_a_lock(core.pool)
        await one_pass.execute("UPDATE stages SET virtual_time = virtual_time WHERE stage = 'scraping'")
    assert await noticing == 1


async def test_a_hand_out_is_noted_while_a_report_has_its_job_locked(core: Core) -> None:
    """The report goes on to the rows that are noted: waiting for the job would be a deadlock."""
    await core.submit("http://one.test/")
    job = await core.claim_one(Stage.SCRAPING)
    async with held(core.pool) as report:
        await report.execute("SELECT 1 FROM jobs WHERE id = $1 FOR NO KEY UPDATE", job.job_id)
        async with asyncio.timeout(20):
            await core.queued(job, queue_epoch="e", lease_seconds=900, traceparent="t")
        await report.execute("UPDATE job_stages SET attempts = attempts WHERE job_id = $1", job.job_id)
    assert await core.pool.fetchval("SELECT phase FROM leases") == "queue"


async def test_hand_outs_are_noted_while_their_workers_start_and_none_is_lost(core: Core) -> None:
    core.in_flight = 20
    for number in range(20):
        await core.submit(f"http://host{number}.test/")
    jobs = await core.claim(Stage.SCRAPING)
    async with asyncio.timeout(20):
        await asyncio.gather(
            *(
                work
                for job in jobs
                for work in (core.started(job), core.queued(job, queue_epoch="e", lease_seconds=900))
            )
        )
    assert await core.pool.fetchval("SELECT count(*) FROM leases WHERE phase = 'run'") == 20
    assert await core.pool.fetchval("SELECT count(*) FROM job_stages WHERE attempts = 1") == 20


async def test_lanes_are_locked_in_one_order_whatever_a_database_takes_for_alphabetical(core: Core) -> None:
    """`a-b.test` and `ab.test` change places with the database's collation; what Python sorts does not know of one."""
    bare = re.compile(r'ORDER BY host(?! COLLATE "C")')
    for name, source in await core.pool.fetch(
        # of each function the version that is called: those with fewer parameters stay for the version before
        "SELECT DISTINCT ON (proname) proname, prosrc FROM pg_proc WHERE prosrc LIKE '%ORDER BY host%' "
        "ORDER BY proname, pronargs DESC"
    ):
        assert not bare.search(source), name
    for path in APPLICATION.rglob("*.py"):
        assert not bare.search(path.read_text()), path
