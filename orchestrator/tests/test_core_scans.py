"""Nothing that is done to jobs reads all of them: counted by PostgreSQL itself, within functions and triggers as well.

A plan of a statement is made for its arguments the first times, and then one for any arguments: all is done by either. Which
statements there are nobody has to list: what is done is what the routes, passes and beat do.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from conftest import Core
from test_core_plans import BATCH, ROWS, crowded, crowded_template  # noqa: F401  fixtures

from app.core.dispatch import claims, recovery
from app.core.jobs import batches, cancelling, reading, retention, retrying, stats
from app.core.jobs.filters import JobFilter
from app.core.jobs.removing import remove_documents
from app.core.notices.sources import BatchSource, JobSource
from app.core.notices.streams import Subject
from ml_shared.contracts.batches import BatchRequest
from ml_shared.contracts.jobs import CallbackStatus, JobStatus, ProgressPhase
from ml_shared.names import Stage

PLANS = ("force_custom_plan", "force_generic_plan")
# for the arguments, and for any
OWNER = "key:a"
MANY_OPEN = 10**6
STAGES = (Stage.SCRAPING, Stage.CHUNKING, Stage.EMBEDDING)


async def scans(connection: Any) -> int:
    await connection.fetchval("SELECT pg_stat_force_next_flush()")
    found: int = await connection.fetchval("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'jobs'")
    return found


class OneConnection:
    """As much of a pool as the core uses, over one connection: what it reads is counted at once, and its plans are kept."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        for name in ("execute", "executemany", "fetch", "fetchrow", "fetchval"):
            setattr(self, name, getattr(connection, name))

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Any]:
        yield self._connection


@pytest.fixture
async def watched(crowded: Core) -> AsyncIterator[Core]:  # noqa: F811
    async with crowded.pool.acquire() as connection:
        yield Core(OneConnection(connection), crowded.content_pool)  # type: ignore[arg-type]


async def a_pass_and_its_reports(core: Core) -> None:
    """One pass of each stage, with every way that a hand-out may go, and every report."""
    for stage in STAGES:
        jobs = await core.claim(stage, high_water=MANY_OPEN)
        assert len(jobs) >= (5 if stage is Stage.SCRAPING else 1)
        done, *others = jobs
        await core.queued(done, queue_epoch=str(uuid4()))
        for phase in ProgressPhase:
            assert await core.started(done, phase)
        content = {} if stage is Stage.EMBEDDING else {"content_ref": "page"}
        moved = await core.complete(done, **content)
        assert not moved.answer.stale
        assert (await core.complete(done, **content)).answer.duplicate
        for job, how in zip(others, HOWS, strict=False):
            await HOWS[how](core, job)


async def _fails(core: Core, job: Any) -> None:
    await core.started(job)
    await core.complete(job, status=CallbackStatus.FAILED, error_code="http_status")


async def _is_deferred(core: Core, job: Any) -> None:
    await core.started(job)
    await core.defer(job, "upstream_error")


async def _is_given_back(core: Core, job: Any) -> None:
    await claims.give_back(core.pool, job, reason="down", base_seconds=0, most_seconds=0)


async def _is_rejected(core: Core, job: Any) -> None:
    assert await claims.reject(core.pool, job, code="no", message="never") is not None


HOWS = {"fails": _fails, "deferred": _is_deferred, "given back": _is_given_back, "rejected": _is_rejected}


async def passes(core: Core) -> None:
    await a_pass_and_its_reports(core)
    await core.expire_leases()
    await core.recover()
    await recovery.seconds_to_next_lane(core.pool)


async def cancels(core: Core) -> None:
    """One job, a few, and as many as are cancelled and tried again in one transaction: of 20,000, a part worth reading all for."""
    one = await core.pool.fetchval(
        "SELECT id FROM jobs WHERE owner = $1 AND ended_at IS NULL ORDER BY submitted_at DESC LIMIT 1", OWNER
    )
    assert await cancelling.cancel(core.pool, OWNER, one)
    for count in (3, cancelling.AT_ONCE):
        request = BatchRequest(urls=[f"http://c{number}.test/" for number in range(count)])
        taken, _ = await batches.submit(core.pool, OWNER, request, idempotency_key=None, max_open_jobs=MANY_OPEN)
        batch = UUID(taken.batch_id)
        assert await cancelling.cancel_batch(core.pool, OWNER, batch) == count
        await cancelling.go_on(core.pool)
        again = UUID(taken.jobs[0].job_id)
        await retrying.retry(core.pool, OWNER, again, traceparent=None, max_open_jobs=MANY_OPEN)
        await core.pool.execute("UPDATE jobs SET status = 'failed' WHERE owner = $1 AND batch_id = $2", OWNER, batch)
        for _ in ("anew", "the same answer"):
            retried, _ = await retrying.retry_batch(core.pool, OWNER, batch, max_open_jobs=MANY_OPEN)
            assert len(retried.jobs) == count - 1


async def lists(core: Core) -> None:
    soon = datetime.now(UTC) - timedelta(minutes=1)
    filters = [
        *(JobFilter(), JobFilter(status=JobStatus.QUEUED), JobFilter(corpus_name="default"), JobFilter(batch_id=BATCH)),
        *(JobFilter(created_after=soon), JobFilter(host="h7.test"), JobFilter(url_prefix="http://h7.test/p/1")),
        *(JobFilter(error_code="code_6"), JobFilter(ended_after=soon)),
    ]
    for wanted in filters:
        page = await reading.find_page(core.pool, OWNER, wanted, limit=5, cursor=None)
        await reading.find_page(core.pool, OWNER, wanted, limit=5, cursor=page.next_cursor)
        for job in page.items[:1]:
            await reading.find(core.pool, OWNER, UUID(job.job_id))
            await reading.find_status(core.pool, OWNER, UUID(job.job_id))
    await batches.find(core.pool, OWNER, BATCH)
    await batches.find_page(core.pool, OWNER, limit=5, cursor=None)
    await stats.read(core.pool, OWNER, 1)


async def events(core: Core) -> None:
    job = await core.pool.fetchval("SELECT id FROM jobs WHERE owner = $1 ORDER BY submitted_at DESC LIMIT 1", OWNER)
    for source, subject in (
        (JobSource(core.pool), Subject(OWNER, job)),
        (BatchSource(core.pool), Subject(OWNER, BATCH)),
    ):
        await source.standing(subject)
        await source.news({subject: 0})
        await source.concerned([job], [subject])


async def removes(core: Core) -> None:
    """Documents that are gone: jobs that begin and end in the last stage."""
    async with core.pool.acquire() as connection, connection.transaction():
        urls = [f"http://h{number}.test/p/{number}" for number in range(500)]
        assert len(await remove_documents(connection, OWNER, "default", urls, None, None)) == 500
    claimed = await core.claim(Stage.EMBEDDING, high_water=MANY_OPEN)
    assert len(claimed) == core.in_flight
    for job in claimed:
        await core.complete(job)


async def retains(core: Core) -> None:
    """A quarter of the rows, as many by the one plan as by the other."""
    left = await core.pool.fetchval("SELECT min(ended_at) FROM jobs WHERE owner = $1", OWNER)
    keep = datetime.now(UTC) - left - timedelta(seconds=ROWS / 4)
    forgotten = await retention.forget(core.pool, jobs_ttl=keep, keys_ttl=keep)
    assert forgotten["jobs"] > retention.AT_ONCE


@pytest.mark.parametrize("done", [passes, cancels, lists, events, removes, retains], ids=lambda done: done.__name__)
async def test_no_statement_reads_all_jobs(watched: Core, done: Any) -> None:
    for plan in PLANS:
        await watched.pool.execute(f"SET plan_cache_mode = {plan}")
        before = await scans(watched.pool)
        await done(watched)
        assert await scans(watched.pool) == before, plan


async def test_a_statement_that_reads_all_jobs_is_seen(watched: Core) -> None:
    before = await scans(watched.pool)
    await watched.pool.fetchval("SELECT count(*) FROM jobs WHERE metadata = '{}'")
    assert await scans(watched.pool) > before
