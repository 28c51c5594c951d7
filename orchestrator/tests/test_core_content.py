"""Content between stages: kept whole, for its own job, and no longer than needed."""

from datetime import timedelta
from uuid import uuid4

import pytest
from conftest import Core

from app.core.content import store as content
from app.core.content.store import PostgresContentStore
from ml_shared.contracts.jobs import CallbackStatus
from ml_shared.errors import InternalError, TooLargeError
from ml_shared.names import Stage


@pytest.fixture
def store(core: Core) -> PostgresContentStore:
    return PostgresContentStore(core.content_pool, max_bytes=100_000)


async def test_content_comes_back_as_it_was_put_and_takes_less_room(store: PostgresContentStore) -> None:
    body = b"the same words again " * 4_000
    stored = await store.put("key:a", uuid4(), uuid4(), Stage.SCRAPING, body)
    found = await store.get(stored.content_ref)
    assert found is not None
    assert (found.body, found.sha256) == (body, stored.sha256)
    assert await store.total_bytes() < len(body) / 10


async def test_putting_twice_in_one_attempt_keeps_one_and_the_same_reference(store: PostgresContentStore) -> None:
    job, attempt = uuid4(), uuid4()
    first = await store.put("key:a", job, attempt, Stage.SCRAPING, b"one")
    second = await store.put("key:a", job, attempt, Stage.SCRAPING, b"two")
    assert first.content_ref == second.content_ref
    found = await store.get(first.content_ref)
    assert found is not None
    assert found.body == b"two"


async def test_the_same_text_of_two_jobs_has_two_references(store: PostgresContentStore) -> None:
    one = await store.put("key:a", uuid4(), uuid4(), Stage.SCRAPING, b"same")
    two = await store.put("key:b", uuid4(), uuid4(), Stage.SCRAPING, b"same")
    assert one.sha256 == two.sha256
    assert one.content_ref != two.content_ref


async def test_content_over_the_limit_is_refused(store: PostgresContentStore) -> None:
    with pytest.raises(TooLargeError):
        await store.put("key:a", uuid4(), uuid4(), Stage.SCRAPING, b"x" * 100_001)


async def test_content_that_lost_its_hash_is_an_error_and_not_an_answer(
    core: Core, store: PostgresContentStore
) -> None:
    stored = await store.put("key:a", uuid4(), uuid4(), Stage.SCRAPING, b"text")
    await core.content_pool.execute("UPDATE content SET sha256 = repeat('0', 64)")
    with pytest.raises(InternalError):
        await store.get(stored.content_ref)


async def test_only_content_of_jobs_that_ended_long_ago_is_purged(core: Core, store: PostgresContentStore) -> None:
    await core.submit("http://a.test/")
    await core.submit("http://b.test/")
    ended, running = await core.claim(Stage.SCRAPING)
    kept = [await store.put(job.owner, job.job_id, job.attempt_id, Stage.SCRAPING, b"x") for job in (ended, running)]
    await core.complete(ended, status=CallbackStatus.FAILED, error_code="http_status")
    assert await content.purge(core.pool, store, timedelta(hours=24)) == 0
    await core.content_pool.execute("UPDATE content SET created_at = now() - interval '30 hours'")
    await core.pool.execute("UPDATE jobs SET ended_at = now() - interval '25 hours' WHERE placement = 'ended'")
    assert await content.purge(core.pool, store, timedelta(hours=24)) == 1
    assert await store.get(kept[0].content_ref) is None
    assert await store.get(kept[1].content_ref) is not None


async def test_a_purge_goes_past_unfinished_jobs_and_takes_all_that_nobody_needs(
    core: Core, store: PostgresContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "PURGE_BATCH", 2)
    for number in range(8):
        await core.submit(f"http://host{number}.test/")
    jobs = await core.claim(Stage.SCRAPING)
    for job in jobs:
        await store.put(job.owner, job.job_id, job.attempt_id, Stage.SCRAPING, b"x")
    for job in jobs[3:]:
        await core.complete(job, status=CallbackStatus.FAILED, error_code="http_status")
    await core.content_pool.execute("UPDATE content SET created_at = created_at - interval '30 hours'")
    await core.pool.execute("UPDATE jobs SET ended_at = now() - interval '25 hours' WHERE placement = 'ended'")
    assert await content.purge(core.pool, store, timedelta(hours=24)) == 5
    assert await core.content_pool.fetchval("SELECT count(*) FROM content") == 3
