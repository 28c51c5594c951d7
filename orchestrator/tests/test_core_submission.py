"""Taking in jobs, and listing them."""

import asyncio
from uuid import UUID

import pytest
from conftest import Core
from test_core_locks import held, waits_for_a_lock

from app.core.errors import (
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
    JobNotFoundError,
    TooManyOpenJobsError,
)
from app.core.jobs import idempotency
from app.core.jobs.filters import JobFilter
from app.core.jobs.reading import find, find_page
from app.core.jobs.submission import submit
from ml_shared.contracts.embedding import Document
from ml_shared.contracts.jobs import CallbackStatus, JobRequest, JobStatus, WaitingReason
from ml_shared.errors import InvalidError
from ml_shared.names import Stage


async def test_a_new_job_says_why_it_waits(core: Core) -> None:
    job_id = await core.submit("http://Site.test:80/a#part", traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    job = await find(core.pool, "key:a", UUID(job_id))
    assert job.status is JobStatus.QUEUED
    assert job.waiting is not None
    assert job.waiting.reason is WaitingReason.QUEUED
    assert job.trace_id == "a" * 32
    assert job.url == "http://Site.test:80/a#part", "as submitted"
    assert (await core.row(job_id))["host"] == "site.test"


async def test_another_owners_job_is_not_found(core: Core) -> None:
    job_id = await core.submit("http://site.test/", owner="key:a")
    with pytest.raises(JobNotFoundError):
        await find(core.pool, "key:b", UUID(job_id))
    assert (await find_page(core.pool, "key:b", JobFilter(), limit=10, cursor=None)).items == []


async def test_one_job_too_many_is_refused_and_an_ended_one_makes_room(core: Core) -> None:
    for number in range(3):
        await core.submit(f"http://host{number}.test/", max_open_jobs=3)
    with pytest.raises(TooManyOpenJobsError) as refused:
        await core.submit("http://more.test/", max_open_jobs=3)
    assert refused.value.retry_after_seconds
    job, *_ = await core.claim(Stage.SCRAPING)
    await core.complete(job, status=CallbackStatus.FAILED, error_code="http_status")
    assert await core.submit("http://more.test/", max_open_jobs=3)


async def test_submissions_at_once_are_never_more_than_an_owner_may_have(core: Core) -> None:
    made = await asyncio.gather(
        *(core.submit(f"http://host{number % 3}.test/{number}", max_open_jobs=4) for number in range(12)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, TooManyOpenJobsError) for one in made) == 8
    assert await core.pool.fetchval("SELECT count(*) FROM jobs") == 4
    assert await core.pool.fetchval("SELECT open_jobs FROM owners") == 4
    assert await core.pool.fetchval("SELECT count(DISTINCT tag) FROM jobs") == 4, "in an order of their own"


async def test_a_submission_that_was_refused_leaves_no_idempotency_key(core: Core) -> None:
    await core.submit("http://site.test/", max_open_jobs=1)
    with pytest.raises(TooManyOpenJobsError):
        await core.submit("http://site.test/more", idempotency_key="k", max_open_jobs=1)
    assert await core.submit("http://site.test/more", idempotency_key="k", max_open_jobs=2)


async def test_a_repeated_idempotency_key_gets_the_same_job(core: Core) -> None:
    first = await core.submit("http://site.test/", idempotency_key="k")
    assert await core.submit("http://site.test/", idempotency_key="k") == first
    assert await core.submit("http://site.test/", idempotency_key="k", owner="key:b") != first
    assert await core.pool.fetchval("SELECT count(*) FROM jobs WHERE owner = 'key:a'") == 1
    assert await core.pool.fetchval("SELECT open_jobs FROM owners WHERE owner = 'key:a'") == 1


async def test_a_request_with_a_key_waits_for_what_others_have_locked_as_one_without_does(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    await core.submit("http://site.test/")
    monkeypatch.setattr(idempotency, "WAIT", "1ms")
    async with held(core.pool) as other:
        await other.execute("SELECT 1 FROM owners FOR UPDATE")
        waiting = asyncio.create_task(core.submit("http://site.test/", idempotency_key="k"))
        await waits_for_a_lock(core.pool)
        await asyncio.sleep(0.1)
        assert not waiting.done()
    assert await waiting


async def test_an_idempotency_key_with_another_body_is_refused(core: Core) -> None:
    await core.submit("http://site.test/", idempotency_key="k")
    with pytest.raises(IdempotencyKeyReusedError):
        await core.submit("http://site.test/other", idempotency_key="k")


async def test_repeats_at_once_make_one_job(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "WAIT", "60s")  # each waits for those before it, however slow they are
    ids = await asyncio.gather(*(core.submit("http://site.test/", idempotency_key="k") for _ in range(6)))
    assert len(set(ids)) == 1


async def test_a_repeat_while_the_first_is_under_way_is_a_conflict_after_two_seconds(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert idempotency.WAIT == "2s"
    monkeypatch.setattr(idempotency, "WAIT", "100ms")
    async with core.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT INTO idempotency_keys VALUES ('key:a', 'jobs', 'k', 'h', '{}')")
        with pytest.raises(IdempotencyInProgressError):
            await core.submit("http://site.test/", idempotency_key="k")
        await transaction.rollback()


async def test_pages_of_jobs_are_complete_and_without_repeats(core: Core) -> None:
    made = [await core.submit(f"http://host{number}.test/") for number in range(7)]
    seen: list[str] = []
    cursor = None
    for _ in range(4):
        page = await find_page(core.pool, "key:a", JobFilter(), limit=2, cursor=cursor)
        seen += [job.job_id for job in page.items]
        cursor = page.next_cursor
    assert cursor is None
    assert seen == made[::-1]


async def test_jobs_are_filtered_by_state(core: Core) -> None:
    await core.submit("http://a.test/")
    job = await core.claim_one(Stage.SCRAPING)
    await core.complete(job, status=CallbackStatus.FAILED, error_code="http_status", error_message="404")
    await core.submit("http://b.test/")
    failed = await find_page(core.pool, "key:a", JobFilter(status=JobStatus.FAILED), limit=10, cursor=None)
    assert [item.url for item in failed.items] == ["http://a.test/"]
    assert failed.items[0].error is not None
    assert failed.items[0].error.failed_stage is Stage.SCRAPING


async def test_metadata_at_its_limits_comes_back_and_is_taken_by_the_stages(core: Core) -> None:
    metadata = {"floats": [1e19, -1e19, 1e300, 5e-324, -0.0], "integers": [2**64 - 1, -(2**63)], "\ufeff": "\U0001f984"}
    request = JobRequest(url="http://a.test/", metadata=metadata)
    accepted = await submit(core.pool, "key:a", request, traceparent=None, idempotency_key=None, max_open_jobs=9)
    view = await find(core.pool, "key:a", UUID(accepted.job_id))
    assert view.metadata == metadata
    assert Document(url="http://a.test/", metadata=view.metadata).metadata == metadata


@pytest.mark.parametrize("cursor", ["", "x", "W10", "eyJhIjoxfQ", "bm90IGpzb24"])
async def test_a_cursor_that_is_not_ours_is_refused(core: Core, cursor: str) -> None:
    with pytest.raises(InvalidError):
        await find_page(core.pool, "key:a", JobFilter(), limit=10, cursor=cursor)
