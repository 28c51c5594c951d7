"""Jobs that remove documents: they begin and end in the last stage, leased and fenced there like any."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from conftest import Core

from app.core.dispatch.hand_outs import Page, embed_request
from app.core.errors import CommittingError
from app.core.jobs import cancelling, reading
from app.core.jobs.filters import JobFilter
from app.core.jobs.removing import remove_documents
from app.core.jobs.retrying import retry
from ml_shared.contracts.embedding import EmbedAction, EnqueueEmbed
from ml_shared.contracts.jobs import ProgressPhase
from ml_shared.names import Stage

OWNER = "key:a"
URL = "http://site.test/gone"


async def remove(core: Core, *urls: str, owner: str = OWNER, **more: Any) -> list[UUID]:
    fields: dict[str, Any] = {"crawl_id": None, "run": None} | more
    async with core.pool.acquire() as connection, connection.transaction():
        return await remove_documents(connection, owner, "docs", urls or [URL], **fields)


async def test_a_removal_is_handed_to_the_last_stage_and_listed_as_what_it_is(core: Core) -> None:
    crawl = uuid4()
    jobs = await remove(core, "HTTP://Site.test/gone#x", URL, "http://b.test/", crawl_id=crawl, run=3)
    assert len(jobs) == 2, "one a document"
    assert await core.claim(Stage.SCRAPING) == []
    first, second = await core.claim(Stage.EMBEDDING)
    request = embed_request(first, Page())
    assert isinstance(request, EnqueueEmbed)
    assert (request.action, request.document.url, request.content_ref) == (EmbedAction.REMOVE, URL, None)
    assert request.as_of is not None
    assert [job.job_id for job in (first, second)] == jobs
    await core.started(first)
    await core.complete(first, stats={"outcome": "removed"})
    view = await reading.find(core.pool, OWNER, jobs[0])
    assert (view.kind, view.status, view.outcome) == ("remove", "completed", "removed")
    page = await reading.find_page(core.pool, OWNER, JobFilter(), limit=10, cursor=None)
    assert {item.kind for item in page.items} == {"remove"}
    row = await core.row(jobs[0])
    assert (row["crawl_id"], row["run"]) == (crawl, 3)
    assert await core.pool.fetchval("SELECT open_jobs FROM owners") == 1


async def test_what_was_known_of_the_page_goes_with_its_document_unless_it_is_younger(core: Core) -> None:
    for url, when in ((URL, "-1 hour"), ("http://site.test/back", "1 hour")):
        await core.pool.execute(
            """INSERT INTO validators (owner, corpus_name, url, content_hash, chunking_hash, looked_at)
               VALUES ($1, 'docs', $2, 'h', 'c', now() + $3::text::interval)""",
            *(OWNER, url, when),
        )
    await remove(core, URL, "http://site.test/back")
    for job in await core.claim(Stage.EMBEDDING):
        await core.complete(job, stats={"superseded": "back" in job.url})
    assert [row["url"] for row in await core.pool.fetch("SELECT url FROM validators")] == ["http://site.test/back"]


async def test_a_removal_is_recovered_cancelled_and_tried_again_like_any_job(core: Core) -> None:
    [job_id] = await remove(core)
    await core.claim_one(Stage.EMBEDDING)
    await core.expire_leases()
    await core.recover()
    job = await core.claim_one(Stage.EMBEDDING)
    assert await core.started(job)
    assert await core.started(job, ProgressPhase.COMMITTING)
    with pytest.raises(CommittingError):
        await cancelling.cancel(core.pool, OWNER, job_id)
    await core.complete(job, status="failed", error_code="store_unavailable")
    retried, new = await retry(core.pool, OWNER, job_id, traceparent=None, max_open_jobs=9)
    assert new
    again = await core.claim_one(Stage.EMBEDDING)
    assert (str(again.job_id), again.kind) == (retried.job_id, "remove")
    [other] = await remove(core, "http://site.test/other")
    await cancelling.cancel(core.pool, OWNER, other)
    assert (await core.row(other))["status"] == "cancelled"


async def test_many_removals_hold_up_neither_another_owner_nor_what_is_ready_before(core: Core) -> None:
    page = UUID(await core.submit("http://page.test/", owner="key:b"))
    await core.complete(await core.claim_one(Stage.SCRAPING))
    await core.complete(await core.claim_one(Stage.CHUNKING))
    await remove(core, *(f"http://site.test/{number}" for number in range(50)))
    await remove(core, *(f"http://site.test/more-{number}" for number in range(50)))
    [other] = await remove(core, owner="key:c")
    order = [job.job_id for job in await core.claim(Stage.EMBEDDING)]
    assert {page, other} <= set(order[:4])
    turns = [
        row["turn"] for row in await core.pool.fetch("SELECT turn FROM jobs WHERE owner = $1 ORDER BY turn", OWNER)
    ]
    assert len(set(turns)) == 100, "a second lot follows the first"
