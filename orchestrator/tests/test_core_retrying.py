"""Trying again: a new job or batch, once."""

import asyncio
from uuid import UUID, uuid4

import pytest
from conftest import Core
from test_core_batches import pages, submit
from test_core_locks import held, waits_for_a_lock

from app.core.errors import BatchNotFoundError, JobNotFoundError, NotRetryableError, TooManyOpenJobsError
from app.core.jobs import batches, cancelling, retrying
from app.core.jobs.reading import find
from ml_shared.contracts.batches import BatchRetried
from ml_shared.contracts.jobs import CallbackStatus, JobRetried
from ml_shared.names import Stage


async def fail_all(core: Core) -> None:
    for job in await core.claim(Stage.SCRAPING):
        await core.complete(job, status=CallbackStatus.FAILED, error_code="http_status")


async def retry(core: Core, job_id: str, owner: str = "key:a", max_open_jobs: int = 1000) -> JobRetried:
    retried, _ = await retrying.retry(core.pool, owner, UUID(job_id), traceparent=None, max_open_jobs=max_open_jobs)
    return retried


async def retry_batch(core: Core, batch_id: str, owner: str = "key:a", max_open_jobs: int = 1000) -> BatchRetried:
    retried, _ = await retrying.retry_batch(core.pool, owner, UUID(batch_id), max_open_jobs=max_open_jobs)
    return retried


async def test_a_failed_or_cancelled_job_is_tried_again_as_a_new_one_and_a_repeat_gets_the_same(core: Core) -> None:
    failed = await core.submit("http://a.test/x")
    await fail_all(core)
    cancelled = await core.submit("http://b.test/")
    await cancelling.cancel(core.pool, "key:a", UUID(cancelled))
    old = await core.row(UUID(failed))
    again = await retry(core, failed)
    assert (again.retry_of, again.status) == (failed, "queued")
    assert await retry(core, failed) == again
    assert (await retry(core, cancelled)).retry_of == cancelled
    view = await find(core.pool, "key:a", UUID(again.job_id))
    assert (view.url, view.retry_of, view.batch_id) == ("http://a.test/x", failed, None)
    assert await core.row(UUID(failed)) == old, "an ended job never moves"
    assert {job.url for job in await core.claim(Stage.SCRAPING)} == {"http://a.test/x", "http://b.test/"}
    assert await core.pool.fetchval("SELECT open_jobs FROM owners") == 2


async def test_what_is_unfinished_completed_or_anothers_is_not_tried_again(core: Core) -> None:
    job_id = await core.submit("http://a.test/")
    with pytest.raises(NotRetryableError):
        await retry(core, job_id)
    for owner, wanted in (("key:b", job_id), ("key:a", str(uuid4()))):
        with pytest.raises(JobNotFoundError):
            await retry(core, wanted, owner)
    for stage in Stage:
        await core.complete(await core.claim_one(stage))
    with pytest.raises(NotRetryableError):
        await retry(core, job_id)


async def test_a_retry_counts_as_any_job_of_its_owner(core: Core) -> None:
    job_id = await core.submit("http://a.test/")
    await fail_all(core)
    await core.submit("http://b.test/")
    with pytest.raises(TooManyOpenJobsError):
        await retry(core, job_id, max_open_jobs=1)
    assert await core.pool.fetchval("SELECT count(*) FROM jobs") == 2


async def test_retries_at_once_make_one_job(core: Core) -> None:
    job_id = await core.submit("http://a.test/")
    await fail_all(core)
    made = await asyncio.gather(*(retry(core, job_id) for _ in range(6)))
    assert len({one.job_id for one in made}) == 1
    assert await core.pool.fetchval("SELECT open_jobs FROM owners") == 1


async def test_what_failed_of_a_batch_is_tried_again_as_a_batch_and_a_repeat_gets_the_same(core: Core) -> None:
    core.in_flight = 2
    batch = await submit(core, *(f"http://h{number}.test/" for number in range(4)))
    with pytest.raises(NotRetryableError):
        await retry_batch(core, batch.batch_id)
    await fail_all(core)
    again = await retry_batch(core, batch.batch_id)
    assert (again.retry_of, len(again.jobs)) == (batch.batch_id, 2)
    assert await retry_batch(core, batch.batch_id) == again
    view = await batches.find(core.pool, "key:a", UUID(again.batch_id))
    assert (view.retry_of, view.jobs, view.counts.queued) == (batch.batch_id, 2, 2)
    core.in_flight = 10
    await fail_all(core)  # two more of the batch, and both again
    more = await retry_batch(core, batch.batch_id)
    assert more.batch_id != again.batch_id
    assert {job.url for job in more.jobs} | {job.url for job in again.jobs} == {job.url for job in batch.jobs}
    assert len((await retry_batch(core, again.batch_id)).jobs) == 2, "what failed again is tried again as that batch's"
    with pytest.raises(BatchNotFoundError):
        await retry_batch(core, batch.batch_id, owner="key:b")


async def test_retries_of_a_batch_and_of_its_jobs_at_once_make_each_once(core: Core) -> None:
    core.in_flight = 40
    batch = await submit(core, *(f"http://h{number}.test/" for number in range(12)))
    await fail_all(core)
    async with asyncio.timeout(30):
        await asyncio.gather(
            *(retry_batch(core, batch.batch_id) for _ in range(3)),
            *(retry(core, job.job_id) for job in batch.jobs[:4]),
        )
    assert await core.pool.fetchval("SELECT count(*) FROM jobs WHERE retry_of IS NOT NULL") == 12
    assert await core.pool.fetchval("SELECT open_jobs FROM owners") == 12


async def test_a_retry_of_a_batch_waits_for_that_of_its_job_and_leaves_it_out(core: Core) -> None:
    core.in_flight = 40
    batch = await submit(core, "http://a.test/", "http://b.test/")
    await fail_all(core)
    failed = UUID(batch.jobs[0].job_id)
    async with held(core.pool) as one:
        await one.execute("SELECT 1 FROM jobs WHERE id = $1 FOR NO KEY UPDATE", failed)
        whole = asyncio.create_task(retry_batch(core, batch.batch_id))
        await waits_for_a_lock(core.pool)
        await one.execute(
            """INSERT INTO jobs (owner, id, url, host, corpus_name, retry_of, stage, placement, tag) VALUES
               ('key:a', gen_random_uuid(), 'http://a.test/', 'a.test', 'default', $1, 'scraping', 'parked', 7)""",
            failed,
        )
    assert [job.url for job in (await whole).jobs] == ["http://b.test/"]


async def test_a_batch_that_would_be_too_much_is_not_tried_again_in_part(core: Core) -> None:
    core.in_flight = 40
    batch = await submit(core, *pages(7))
    await fail_all(core)
    with pytest.raises(TooManyOpenJobsError):
        await retry_batch(core, batch.batch_id, max_open_jobs=6)
    assert await core.pool.fetchval("SELECT count(*) FROM batches") == 1
    assert len((await retry_batch(core, batch.batch_id, max_open_jobs=7)).jobs) == 7
