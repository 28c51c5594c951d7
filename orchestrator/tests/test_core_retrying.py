"""Trying again: a new job or batch, once."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from conftest import Core
from crawl_driver import OWNER, Driver, Page, Site, site_of
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
    assert not view.retryable, "it has not ended"
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


BUSY = ("http_status", "the page's host answered with HTTP status 503")
ROOT = "http://site.test/"


async def ran(core: Core, site: Site, **asked: Any) -> dict[str, str]:
    """Run a crawl of a site, and return the jobs of it that failed, by URL."""
    driver = Driver(core, site)
    await driver.run(await driver.submit(**asked), 1)
    failed = await core.pool.fetch("SELECT url, id FROM jobs WHERE owner = $1 AND status = 'failed'", OWNER)
    return {row["url"]: str(row["id"]) for row in failed}


async def assert_refused(core: Core, job_id: str, why: str) -> None:
    assert not (await find(core.pool, OWNER, UUID(job_id))).retryable
    jobs = await core.pool.fetchval("SELECT count(*) FROM jobs")
    with pytest.raises(NotRetryableError, match=why):
        await retry(core, job_id, OWNER)
    assert await core.pool.fetchval("SELECT count(*) FROM jobs") == jobs


@pytest.mark.parametrize(
    ("source", "lists"),
    [("feed", [ROOT]), ("sitemap", [f"{ROOT}sitemap.xml", f"{ROOT}robots.txt"]), ("site", [f"{ROOT}robots.txt"])],
)
async def test_a_list_of_links_is_not_tried_again_as_if_it_were_a_page(
    core: Core, source: str, lists: list[str]
) -> None:
    site = Site({url: Page(error=BUSY) for url in lists})
    failed = await ran(core, site, source=source)
    for url in lists:
        await assert_refused(core, failed[url], r"POST /crawls/\S+/runs")


async def test_a_page_of_a_dry_run_is_not_tried_again_for_that_would_index_it(core: Core) -> None:
    site = site_of({"/": ["/a"]})
    site[f"{ROOT}a"] = Page(error=BUSY)
    failed = await ran(core, site, dry_run=True)
    await assert_refused(core, failed[f"{ROOT}a"], "dry run")


async def test_a_page_that_a_run_only_reads_for_its_links_is_not_tried_again(core: Core) -> None:
    failed = await ran(core, Site({ROOT: Page(error=BUSY)}), include=["/docs/*"])
    await assert_refused(core, failed[ROOT], "links")


async def test_a_page_of_a_run_that_is_not_kept_any_more_is_not_tried_again(core: Core) -> None:
    failed = await ran(core, Site({ROOT: Page(error=BUSY)}))
    await core.pool.execute("DELETE FROM runs")
    await assert_refused(core, failed[ROOT], "POST /jobs")


async def test_an_upload_is_not_tried_again(core: Core) -> None:
    job_id = await core.submit("http://a.test/")
    await core.pool.execute("UPDATE jobs SET kind = 'upload'")
    await fail_all(core)
    await assert_refused(core, job_id, "send the document again")


@pytest.mark.parametrize("asked", [{}, {"source": "list", "urls": [f"{ROOT}a"], "url": None, "include": ["/a"]}])
async def test_a_page_of_a_run_is_tried_again_by_itself_and_the_next_run_knows_its_document(
    core: Core, asked: dict[str, Any]
) -> None:
    site = site_of({"/": ["/a"]})
    site[f"{ROOT}a"] = Page(error=BUSY)
    driver = Driver(core, site)
    crawl_id = await driver.submit(**asked)
    before = await driver.run(crawl_id, 1)
    failed = await core.pool.fetchval("SELECT id FROM jobs WHERE status = 'failed'")
    assert (await find(core.pool, OWNER, failed)).retryable
    again = await retry(core, str(failed), OWNER)
    site[f"{ROOT}a"] = Page("a text", [f"{ROOT}b"])
    await driver.step()
    row = await core.row(UUID(again.job_id))
    assert (row["status"], row["kind"], row["crawl_id"], row["run"]) == ("completed", "page", None, None)
    assert await driver.crawling.run(OWNER, crawl_id, 1) == before, "the figures of a run stay as they were"
    assert (await driver.crawling.crawl(OWNER, crawl_id)).documents == before.outcomes.new
    await driver.again(crawl_id)
    assert (await driver.outcomes(crawl_id, 2))["/a"] in ("new", "changed", "unchanged")


async def test_a_removal_is_tried_again_as_a_removal(core: Core) -> None:
    failed = await core.submit("http://a.test/")
    await core.pool.execute("UPDATE jobs SET kind = 'remove', stage = 'embedding', placement = 'ready'")
    (job,) = await core.claim(Stage.EMBEDDING)
    await core.complete(job, status=CallbackStatus.FAILED, error_code="embedding_failed")
    assert (await find(core.pool, "key:a", UUID(failed))).retryable
    row = await core.row(UUID((await retry(core, failed)).job_id))
    assert (row["kind"], row["stage"]) == ("remove", "embedding")


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


async def test_a_repeat_says_how_the_new_job_stands_by_now(core: Core) -> None:
    old = await core.submit("http://a.test/")
    await cancelling.cancel(core.pool, "key:a", UUID(old))
    new = await retry(core, old)
    assert new.status == "queued"
    await cancelling.cancel(core.pool, "key:a", UUID(new.job_id))
    again = await retry(core, old)
    assert (again.job_id, again.status) == (new.job_id, "cancelled")
