"""Batches: all or nothing, one job a document, counted from rows."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from conftest import Core
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from test_core_locks import held, waits_for_a_lock

from app.core.errors import BatchNotFoundError, IdempotencyKeyReusedError, TooManyOpenJobsError
from app.core.jobs import batches
from app.core.jobs.filters import JobFilter
from app.core.jobs.reading import find, find_page
from ml_shared.contracts.batches import BatchAccepted, BatchRequest
from ml_shared.contracts.jobs import CallbackStatus
from ml_shared.errors import InvalidError
from ml_shared.names import Stage


async def submit(core: Core, *urls: str, owner: str = "key:a", **more: Any) -> BatchAccepted:
    fields: dict[str, Any] = {"idempotency_key": None, "max_open_jobs": 1000} | more
    accepted, _ = await batches.submit(core.pool, owner, BatchRequest(urls=list(urls)), **fields)
    return accepted


def pages(count: int) -> list[str]:
    return [f"http://site{number % 7}.test/{number}" for number in range(count)]


async def test_a_batch_is_a_job_a_document_and_the_answer_says_which_urls_were_the_same(core: Core) -> None:
    urls = ["http://a.test/", "http://b.test/x", "HTTP://A.test:80/#part", "http://b.test/y/../x", "http://c.test/"]
    accepted = await submit(core, *urls)
    assert [job.url for job in accepted.jobs] == ["http://a.test/", "http://b.test/x", "http://c.test/"]
    assert [(same.index, same.job_id) for same in accepted.duplicates] == [
        (2, accepted.jobs[0].job_id),
        (3, accepted.jobs[1].job_id),
    ]
    assert await core.pool.fetchval("SELECT count(*) FROM jobs") == 3
    job = await find(core.pool, "key:a", UUID(accepted.jobs[1].job_id))
    assert (job.batch_id, job.url) == (accepted.batch_id, "http://b.test/x")


async def test_a_batch_that_does_not_fit_is_refused_whole_and_takes_no_tags(core: Core) -> None:
    await core.submit("http://one.test/")
    before = await core.pool.fetchrow("SELECT * FROM owners")
    for owner in ("key:a", "key:new"):
        with pytest.raises(TooManyOpenJobsError):
            await submit(core, *pages(5), owner=owner, max_open_jobs=4 if owner == "key:new" else 5)
    assert await core.pool.fetchval("SELECT count(*) FROM jobs") == 1
    assert await core.pool.fetchval("SELECT count(*) FROM batches") == 0
    assert await core.pool.fetch("SELECT * FROM owners") == [before]
    assert await submit(core, *pages(5), max_open_jobs=6)


async def test_a_url_that_nothing_can_be_fetched_from_refuses_the_batch_and_is_named(core: Core) -> None:
    with pytest.raises(InvalidError) as refused:
        await submit(core, "http://a.test/", "ftp://b.test/")
    assert (refused.value.code, "urls.1" in refused.value.detail) == ("blocked_scheme", True)
    assert await core.pool.fetchval("SELECT count(*) FROM jobs") == 0


async def test_the_jobs_of_a_batch_are_handed_out_in_their_order_and_take_turns_with_others(core: Core) -> None:
    core.in_flight = 1
    urls = [f"http://big.test/{number}" for number in range(4)]
    await submit(core, *urls)
    await core.submit("http://big.test/other", owner="key:b")
    seen = []
    for _ in range(5):
        job = await core.claim_one(Stage.SCRAPING)
        seen.append(job.url)
        await core.complete(job, status=CallbackStatus.FAILED, error_code="http_status")
    assert [url for url in seen if url in urls] == urls
    assert seen.index("http://big.test/other") <= 1


async def test_batches_at_once_are_never_more_than_an_owner_may_have_and_lock_lanes_in_one_order(core: Core) -> None:
    urls = pages(20)
    async with asyncio.timeout(30):
        made = await asyncio.gather(
            *(
                submit(core, *(urls if number % 2 else reversed(urls)), owner=f"key:{number % 3}", max_open_jobs=40)
                for number in range(12)
            ),
            return_exceptions=True,
        )
    assert sum(isinstance(one, BatchAccepted) for one in made) == 6
    assert sum(isinstance(one, TooManyOpenJobsError) for one in made) == 6
    assert [row[0] for row in await core.pool.fetch("SELECT open_jobs FROM owners")] == [40, 40, 40]
    assert await core.pool.fetchval("SELECT count(DISTINCT (owner, tag)) FROM jobs") == 120


async def test_a_batch_locks_lanes_in_the_order_that_everybody_keeps(core: Core) -> None:
    """Waiting for the first of them it holds no other: whoever has that one may go on to the rest."""
    hosts = [f"h{number:02}.test" for number in range(30)]
    urls = [f"http://{host}/" for host in hosts]
    await submit(core, *urls, owner="key:b")
    async with held(core.pool) as other:
        await other.execute("SELECT 1 FROM lanes WHERE host = $1 FOR UPDATE", hosts[0])
        submitting = asyncio.create_task(submit(core, *urls[15:], *urls[:15]))
        await waits_for_a_lock(core.pool)
        await other.execute("SELECT 1 FROM lanes WHERE host = ANY($1) FOR UPDATE", hosts)
    assert len((await submitting).jobs) == 30


async def test_a_repeated_key_gets_the_same_batch_and_another_body_is_refused(core: Core) -> None:
    first = await submit(core, *pages(3), idempotency_key="k")
    assert await submit(core, *pages(3), idempotency_key="k") == first
    assert await core.pool.fetchval("SELECT count(*) FROM jobs") == 3
    with pytest.raises(IdempotencyKeyReusedError):
        await submit(core, *pages(4), idempotency_key="k")
    assert await core.submit("http://site.test/", idempotency_key="k"), "a key is one route's"


async def test_each_job_of_a_batch_has_a_trace_of_its_own_linked_to_the_request(
    core: Core, spans: InMemorySpanExporter
) -> None:
    with trace.get_tracer(__name__).start_as_current_span("request") as request:
        accepted = await submit(core, *pages(3))
    roots = {span.context.trace_id: span for span in spans.get_finished_spans() if span.name == "job.submit"}
    assert len(roots) == 3
    for job in accepted.jobs:
        view = await find(core.pool, "key:a", UUID(job.job_id))
        root = roots[int(view.trace_id or "", 16)]
        assert root.parent is None
        assert [link.context for link in root.links] == [request.get_span_context()]
        assert (root.attributes or {})["job.id"] == job.job_id


async def test_a_batch_is_counted_from_its_rows_and_says_when_it_may_end(core: Core) -> None:
    accepted = await submit(core, *(f"http://h{number}.test/" for number in range(4)))
    batch = await batches.find(core.pool, "key:a", UUID(accepted.batch_id))
    assert (batch.jobs, batch.counts.queued, batch.progress, batch.estimated_end_at) == (4, 4, 0, None)
    first, second, *_ = await core.claim(Stage.SCRAPING)
    await core.complete(first, status=CallbackStatus.FAILED, error_code="http_status")
    await core.complete(second)
    await core.pool.execute("UPDATE batches SET submitted_at = now() - interval '60 seconds'")
    batch = await batches.find(core.pool, "key:a", UUID(accepted.batch_id))
    assert (batch.counts.failed, batch.counts.chunking, batch.progress, batch.ended_at) == (1, 1, 0.25, None)
    assert batch.estimated_end_at is not None
    left = (batch.estimated_end_at - datetime.now(UTC)).total_seconds()
    assert 150 < left < 300, "one in a minute, or in a little more by now, and three are left"
    await core.pool.execute("UPDATE jobs SET ended_at = now() - interval '10 minutes' WHERE placement = 'ended'")
    batch = await batches.find(core.pool, "key:a", UUID(accepted.batch_id))
    assert batch.estimated_end_at is None, "nothing of it ended in the last minutes"


async def test_pages_of_batches_are_complete_and_another_owners_are_not_found(core: Core) -> None:
    made = [(await submit(core, f"http://h{number}.test/")).batch_id for number in range(5)]
    seen: list[str] = []
    cursor = None
    for _ in range(3):
        page = await batches.find_page(core.pool, "key:a", limit=2, cursor=cursor)
        seen += [batch.batch_id for batch in page.items]
        cursor = page.next_cursor
    assert (seen, cursor) == (made[::-1], None)
    assert (await batches.find_page(core.pool, "key:b", limit=2, cursor=None)).items == []
    with pytest.raises(BatchNotFoundError):
        await batches.find(core.pool, "key:b", UUID(made[0]))


async def test_jobs_are_listed_by_batch_host_url_error_and_end(core: Core) -> None:
    batch = await submit(core, "http://a.test/x/1", "http://a.test/x%2F", "https://b.test:8080/é")
    await core.submit("http://a.test/y")
    job, *_ = await core.claim(Stage.SCRAPING)
    await core.complete(job, status=CallbackStatus.FAILED, error_code="dns_failed")
    long_ago, just_now = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(minutes=1)

    async def urls(**wanted: Any) -> set[str]:
        found = await find_page(core.pool, "key:a", JobFilter(**wanted), limit=10, cursor=None)
        return {item.url for item in found.items}

    assert await urls(batch_id=UUID(batch.batch_id)) == {job.url for job in batch.jobs}
    assert await urls(host="b.test:8080") == {"https://b.test:8080/é"}
    assert await urls(host="a.test", batch_id=UUID(batch.batch_id)) == {"http://a.test/x/1", "http://a.test/x%2F"}
    assert await urls(url_prefix="http://a.test/x/") == {"http://a.test/x/1"}
    assert await urls(url_prefix="http://a.test/x%") == {"http://a.test/x%2F"}, "no wildcard"
    assert await urls(url_prefix="https://b.test:8080/é") == {"https://b.test:8080/é"}
    assert await urls(error_code="dns_failed") == {job.url} == await urls(ended_after=long_ago)
    assert await urls(ended_after=just_now) == set() == await urls(error_code="http_status")


async def test_a_prefix_longer_than_the_index_has_is_compared_whole(core: Core) -> None:
    long = "http://a.test/" + "é" * 300
    await submit(core, long + "1", long + "2")
    for prefix, found in ((long, 2), (long + "1", 1), ("\U0010ffff" * 300, 0)):
        page = await find_page(core.pool, "key:a", JobFilter(url_prefix=prefix), limit=10, cursor=None)
        assert len(page.items) == found
