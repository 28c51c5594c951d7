"""What is known of a page: kept when its job completes, told to the next scrape, and worth nothing where it does not hold."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from conftest import Core

from app.core.dispatch.hand_outs import HandOut, embed_request, scrape_request
from app.core.dispatch.hand_outs import Page as KeptPage
from app.core.jobs import reading, submission, validators
from app.core.jobs.inserting import Asked, NewJob, insert_jobs
from app.core.jobs.retrying import retry
from ml_shared.contracts.embedding import EmbedAction, EnqueueEmbed
from ml_shared.contracts.jobs import JobRequest, JobView
from ml_shared.contracts.scraping import EnqueueScrape, Render
from ml_shared.names import Stage

URL = "http://site.test/page"
OWNER = "key:a"
FIRST, SECOND = "1" * 64, "2" * 64
CHUNKING = JobRequest(url=URL).chunking.model_dump(mode="json")
NO_PAGE = KeptPage()


async def submit(core: Core, url: str = URL, **asked: Any) -> UUID:
    request = JobRequest(url=url, corpus_name="docs", **asked)
    more: dict[str, Any] = {"traceparent": None, "idempotency_key": None, "max_open_jobs": 1_000}
    return UUID((await submission.submit(core.pool, OWNER, request, **more)).job_id)


def look(content_hash: str | None = FIRST, **fields: Any) -> dict[str, Any]:
    said = {"title": "T", "content_type": "text/html", "content_hash": content_hash}
    return {"bytes": 100, "look": {"content_hash": content_hash, "document": said, **fields}}


NOT_MODIFIED = {"bytes": 0, "look": {"not_modified": True, "document": {}}}


async def next_of(core: Core, stage: Stage) -> HandOut:
    """Claim the only job of a stage whose host may be asked again, and start it."""
    await core.time_has_come()
    job = await core.claim_one(stage)
    await core.started(job)
    return job


async def scraped(core: Core, stats: dict[str, Any]) -> HandOut:
    job = await next_of(core, Stage.SCRAPING)
    await core.complete(job, stats=stats)
    return job


async def indexed(core: Core, stats: dict[str, Any] | None = None, **asked: Any) -> JobView:
    """Take the page through all stages."""
    job_id = await submit(core, **asked)
    await scraped(core, stats or look(etag='"a"', last_modified="Thu, 01 Jan 2026 00:00:00 GMT"))
    await core.complete(await next_of(core, Stage.CHUNKING), stats={"chunks": 3, "tokens": 9})
    done = {"chunks": 3, "tokens": 9, "outcome": "new", "reused": 0}
    await core.complete(await next_of(core, Stage.EMBEDDING), stats=done)
    return await reading.find(core.pool, OWNER, job_id)


async def touched(core: Core) -> None:
    done = {"chunks": 3, "tokens": 9, "outcome": "unchanged", "reused": 3}
    await core.complete(await next_of(core, Stage.EMBEDDING), stats=done)


def sent(job: HandOut) -> tuple[str | None, str | None]:
    request = scrape_request(job, NO_PAGE)
    assert isinstance(request, EnqueueScrape)
    return request.if_none_match, request.if_modified_since


async def kept(core: Core) -> list[tuple[Any, ...]]:
    rows = await core.pool.fetch("SELECT url, etag, content_hash, bytes FROM validators ORDER BY url")
    return [tuple(row) for row in rows]


async def test_a_page_that_was_not_sent_again_passes_the_last_stage_only(core: Core) -> None:
    assert (await indexed(core)).outcome == "new"
    job_id = await submit(core, "HTTP://Site.test:80/page#part", metadata={"a": 1})
    scraping = await scraped(core, NOT_MODIFIED)
    assert sent(scraping) == ('"a"', None)
    assert await core.claim(Stage.CHUNKING) == []
    job = await next_of(core, Stage.EMBEDDING)
    request = embed_request(job, NO_PAGE)
    assert isinstance(request, EnqueueEmbed)
    assert (request.action, request.document.content_hash, request.document.title) == (EmbedAction.TOUCH, FIRST, None)
    assert (request.content_ref, request.document.metadata) == (None, {"a": 1})
    await core.complete(job, stats={"chunks": 3, "tokens": 9, "outcome": "unchanged", "reused": 3})
    view = await reading.find(core.pool, OWNER, job_id)
    assert (view.status, view.outcome, view.kind) == ("completed", "unchanged", "page")
    assert view.counts.model_dump() == {"bytes": 0, "chunks": 3, "tokens": 9, "saved_bytes": 100, "saved_chunks": 3}
    assert [stage.stage for stage in view.stages] == [Stage.SCRAPING, Stage.EMBEDDING]
    assert await kept(core) == [(URL, '"a"', FIRST, 100)]


async def test_a_page_with_the_same_text_is_touched_and_what_it_says_of_itself_goes_along(core: Core) -> None:
    await indexed(core, look())
    job_id = await submit(core)
    assert sent(await scraped(core, look(etag='"b"'))) == (None, None)
    job = await next_of(core, Stage.EMBEDDING)
    request = embed_request(job, NO_PAGE)
    assert isinstance(request, EnqueueEmbed)
    assert (request.action, request.document.title) == (EmbedAction.TOUCH, "T")
    await core.complete(job, stats={"chunks": 3, "tokens": 9, "outcome": "unchanged", "reused": 3})
    counts = (await reading.find(core.pool, OWNER, job_id)).counts
    assert (counts.saved_bytes, counts.saved_chunks) == (None, 3), "its bytes were fetched"
    assert await kept(core) == [(URL, '"b"', FIRST, 100)]


async def test_a_time_is_sent_where_a_site_gives_no_tag(core: Core) -> None:
    await indexed(core, look(last_modified="Thu, 01 Jan 2026 00:00:00 GMT", etag="no\nheader"))
    await submit(core)
    assert sent(await core.claim_one(Stage.SCRAPING)) == (None, "Thu, 01 Jan 2026 00:00:00 GMT")


async def test_a_page_that_a_browser_may_build_is_known_by_its_text_alone(core: Core) -> None:
    await indexed(core)
    await submit(core, render=Render.AUTO)
    assert sent(await scraped(core, look())) == (None, None)
    assert (await core.claim_one(Stage.EMBEDDING)).unchanged


async def test_another_text_is_cut_and_is_what_is_known_afterwards(core: Core) -> None:
    await indexed(core)
    await indexed(core, look(SECOND, etag='"b"'))
    assert await kept(core) == [(URL, '"b"', SECOND, 100)]


@pytest.mark.parametrize(
    "asked",
    [{"force": True}, {"chunking": {"max_tokens": 64, "overlap_tokens": 0}}, {"url": "http://site.test/other"}],
    ids=["force", "chunking", "page"],
)
async def test_what_is_known_is_left_out_where_it_says_nothing_of_what_is_asked(
    core: Core, asked: dict[str, Any]
) -> None:
    await indexed(core)
    await submit(core, **asked)
    job = await scraped(core, look())
    assert (job.known, sent(job)) == (None, (None, None))
    assert await core.claim_one(Stage.CHUNKING)


async def test_another_owner_or_corpus_knows_nothing_of_it(core: Core) -> None:
    await indexed(core)
    other = {"metadata": {}, "chunking": CHUNKING}
    for owner, corpus in (("key:b", "docs"), (OWNER, "other")):
        job = NewJob(UUID(int=len(corpus)), URL, f"{owner}.test", None, document_url=URL)
        await insert_jobs(core.pool, owner, [job], Asked(corpus, **other), max_open_jobs=9)
    assert [job.known for job in await core.claim(Stage.SCRAPING)] == [None, None]


async def test_a_touch_that_finds_another_document_sends_the_page_back_once_and_uncounted(core: Core) -> None:
    await indexed(core)
    limited = core.with_limits(max_attempts=1)
    job_id = await submit(core)
    await scraped(core, NOT_MODIFIED)
    await limited.defer(await next_of(core, Stage.EMBEDDING), "content_missing")
    row = await core.row(job_id)
    assert (row["stage"], row["placement"], row["unchanged"], row["afresh"]) == ("scraping", "parked", False, True)
    again = await scraped(core, look())
    assert sent(again) == (None, None)
    await core.complete(await next_of(core, Stage.CHUNKING), content_ref="c", stats={"chunks": 3, "tokens": 9})
    job = await next_of(core, Stage.EMBEDDING)
    request = embed_request(job, NO_PAGE)
    assert isinstance(request, EnqueueEmbed)
    assert request.action is EmbedAction.INDEX
    await core.complete(job, stats={"chunks": 3, "tokens": 9, "outcome": "new"})
    assert (await reading.find(core.pool, OWNER, job_id)).outcome == "new"


async def test_what_was_superseded_is_not_remembered_and_has_no_outcome(core: Core) -> None:
    job_id = await submit(core)
    await scraped(core, look(etag='"a"'))
    await core.complete(await next_of(core, Stage.CHUNKING), stats={"chunks": 3, "tokens": 9})
    await core.complete(await next_of(core, Stage.EMBEDDING), stats={"superseded": True})
    assert (await core.row(job_id))["superseded"]
    assert (await reading.find(core.pool, OWNER, job_id)).outcome is None
    assert await kept(core) == []


async def test_an_older_look_that_comes_late_is_not_remembered(core: Core) -> None:
    for _ in range(2):
        await submit(core)
    older = await scraped(core, look(FIRST, etag='"a"'))
    newer = await scraped(core, look(SECOND, etag='"b"'))
    for job in await core.claim(Stage.CHUNKING):
        await core.complete(job)
    embedding = {job.job_id: job for job in await core.claim(Stage.EMBEDDING)}
    for job in (newer, older):
        await core.complete(embedding[job.job_id], stats={"chunks": 1, "tokens": 1, "outcome": "changed"})
    assert await kept(core) == [(URL, '"b"', SECOND, 100)]


async def test_a_look_of_an_earlier_version_leaves_the_page_to_be_looked_at_whole(core: Core) -> None:
    await indexed(core, {"bytes": 10})
    assert await kept(core) == []
    await submit(core)
    assert (await core.claim_one(Stage.SCRAPING)).known is None


async def test_what_is_tried_again_is_forced_as_it_was(core: Core) -> None:
    job_id = await submit(core, force=True)
    await core.complete(await next_of(core, Stage.SCRAPING), status="failed", error_code="http_status")
    retried, _ = await retry(core.pool, OWNER, job_id, traceparent=None, max_open_jobs=9)
    assert (await core.row(UUID(retried.job_id)))["afresh"]


async def test_a_sitemap_is_believed_for_a_while_if_it_says_that_a_page_is_older_than_our_look(core: Core) -> None:
    await indexed(core)
    looked_at = await core.pool.fetchval("SELECT looked_at FROM validators")
    second = timedelta(seconds=1)

    async def skipped(lastmod: Any, chunking: Any = CHUNKING, trust: timedelta = timedelta(days=7)) -> set[str]:
        asked = {URL: lastmod, "http://site.test/unknown": lastmod}
        return await validators.unmodified(core.pool, OWNER, "docs", asked, chunking, trust=trust)

    assert await skipped(looked_at - second) == {URL}
    assert await skipped(looked_at + second) == set()
    assert await skipped(looked_at - second, CHUNKING | {"max_tokens": 64}) == set()
    await core.pool.execute("UPDATE validators SET looked_at = looked_at - interval '8 days'")
    assert await skipped(looked_at - timedelta(days=30)) == set(), "it was not looked at for longer"
    assert await skipped(looked_at - timedelta(days=30), trust=timedelta(days=9)) == {URL}


async def test_what_nobody_asks_for_any_more_is_forgotten_a_batch_at_a_time(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validators, "FORGET_BATCH", 2)
    await core.pool.execute(
        """INSERT INTO validators (owner, corpus_name, url, content_hash, chunking_hash, looked_at)
           SELECT 'key:a', 'docs', n::text, 'h', 'c', now() - make_interval(days => n) FROM generate_series(1, 10) n"""
    )
    assert await validators.forget(core.pool, timedelta(days=4, hours=1)) == 6
    assert await core.pool.fetchval("SELECT count(*) FROM validators") == 4
