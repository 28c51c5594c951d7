"""Passes against stages that answer in every way there is."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from conftest import Core, Fleet
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr

from app.core.content.store import PostgresContentStore
from app.core.dispatch import claims, dispatching
from app.core.dispatch.dispatching import Dispatcher, Policy
from app.core.dispatch.hand_outs import HandOut
from app.core.dispatch.stage_calls import StageClient, open_stages
from app.core.jobs import batches, cancelling, retrying, submission
from app.core.jobs.reading import find
from app.core.metrics import JOBS_ENDED
from ml_shared.contracts.batches import BatchRequest
from ml_shared.contracts.jobs import CallbackStatus, JobRequest, WaitingReason
from ml_shared.contracts.scraping import Render
from ml_shared.names import Stage
from ml_shared.testing.stages import a_page

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.fixture(autouse=True)
def _pauses_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage pauses until the test ends its pause: the first one, of a second, can be over before it is looked at."""
    monkeypatch.setattr(dispatching, "PAUSE_BASE_SECONDS", dispatching.PAUSE_MOST_SECONDS)


@pytest.fixture
async def stages(fleet: Fleet) -> AsyncIterator[StageClient]:
    async with open_stages(
        fleet.addresses, SecretStr("own-key"), timeout_seconds=20, max_answer_bytes=1_000_000
    ) as opened:
        yield opened


def build(core: Core, stages: StageClient, high_water_bytes: int = 10**9) -> tuple[Dispatcher, PostgresContentStore]:
    content = PostgresContentStore(core.content_pool, max_bytes=1_000_000)
    policy = Policy(dict.fromkeys(Stage, 4), 1000, high_water_bytes, 30, 900)
    return Dispatcher(core.pool, content, stages, policy, core.limits), content


@pytest.fixture
def dispatcher(core: Core, stages: StageClient) -> Dispatcher:
    return build(core, stages)[0]


async def scraped(core: Core, content: PostgresContentStore, **page: object) -> UUID:
    """A job whose page has been fetched."""
    await core.submit("http://site.test/a", traceparent=TRACE)
    job = await core.claim_one(Stage.SCRAPING)
    body = a_page("http://site.test/a", **page).model_dump_json().encode()
    stored = await content.put(job.owner, job.job_id, job.attempt_id, Stage.SCRAPING, body)
    await core.complete(job, content_ref=stored.content_ref)
    return job.job_id


async def test_how_a_page_is_to_be_built_goes_to_the_scraper_also_when_it_is_tried_again(
    core: Core, dispatcher: Dispatcher, fleet: Fleet
) -> None:
    single_page = JobRequest(url="http://a.test/", render=Render.ALWAYS)
    single = (
        await submission.submit(
            core.pool, "key:a", single_page, traceparent=None, idempotency_key=None, max_open_jobs=10
        )
    ).job_id
    await batches.submit(
        core.pool,
        "key:a",
        BatchRequest(urls=["http://b.test/"], render=Render.AUTO),
        idempotency_key=None,
        max_open_jobs=10,
    )
    await core.submit("http://c.test/")
    await cancelling.cancel(core.pool, "key:a", UUID(single))
    await retrying.retry(core.pool, "key:a", UUID(single), traceparent=None, max_open_jobs=10)
    await dispatcher.run(Stage.SCRAPING)
    asked = {hand_out["url"]: hand_out["render"] for call in fleet.scraper.calls for hand_out in _hand_outs(call.body)}
    assert asked == {"http://a.test/": "always", "http://b.test/": "auto", "http://c.test/": "never"}


def _hand_outs(body: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body.get("hand_outs", [body])
    return found


async def test_a_hand_out_carries_the_attempt_and_the_jobs_own_trace(
    core: Core, dispatcher: Dispatcher, fleet: Fleet, spans: InMemorySpanExporter
) -> None:
    job_id = await core.submit("http://site.test/a", traceparent=TRACE)
    assert (await dispatcher.run(Stage.SCRAPING)).handed_out == 1
    (call,) = fleet.scraper.calls
    row = await core.row(job_id)
    assert call.path == "/enqueue"
    assert call.headers["x-api-key"] == "own-key"
    assert call.headers["traceparent"].split("-")[1] == "a" * 32
    assert (call.body["job_id"], call.body["attempt_id"]) == (job_id, str(row["attempt_id"]))
    assert (call.body["url"], call.body["owner"]) == ("http://site.test/a", "key:a")
    (span,) = [span for span in spans.get_finished_spans() if span.name == "dispatch.job"]
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "b" * 16
    assert span.attributes is not None
    assert span.attributes["job.id"] == job_id
    lease = await core.pool.fetchrow("SELECT phase, queue_epoch FROM leases")
    assert tuple(lease) == ("queue", fleet.scraper.queue_epoch)


async def test_a_later_attempts_span_links_to_the_earlier_one(
    core: Core, dispatcher: Dispatcher, spans: InMemorySpanExporter
) -> None:
    await core.submit("http://site.test/a", traceparent=TRACE)
    for _ in range(2):
        await dispatcher.run(Stage.SCRAPING)
        await core.expire_leases()
        await core.recover()
    first, second = [span for span in spans.get_finished_spans() if span.name == "dispatch.job"]
    assert first.context is not None
    assert first.context.span_id in [link.context.span_id for link in second.links]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_a_stage_that_can_not_be_used_gets_no_more_and_the_job_is_given_back(
    core: Core, dispatcher: Dispatcher, fleet: Fleet, status: int
) -> None:
    fleet.scraper.status = status
    job_id = await core.submit("http://site.test/a")
    await core.submit("http://site2.test/a")
    await dispatcher.run(Stage.SCRAPING)
    called = fleet.scraper.requests["/enqueue"]
    assert (await dispatcher.run(Stage.SCRAPING)).handed_out == 0
    assert fleet.scraper.requests["/enqueue"] == called
    job = await find(core.pool, "key:a", UUID(job_id))
    assert job.waiting is not None
    assert job.waiting.reason is WaitingReason.UPSTREAM
    assert all(view.attempts == 0 for view in job.stages)


async def test_a_stage_that_is_not_reached_is_paused(core: Core, dispatcher: Dispatcher, fleet: Fleet) -> None:
    await core.submit("http://site.test/a")
    with fleet.scraper.refusing():
        await dispatcher.run(Stage.SCRAPING)
    assert await core.pool.fetchval("SELECT paused_until > now() FROM stages WHERE stage = 'scraping'")
    assert await core.pool.fetchval("SELECT count(*) FROM leases") == 0


async def test_a_hand_out_that_gets_no_answer_keeps_its_lease(core: Core, stages: StageClient, fleet: Fleet) -> None:
    fleet.scraper.loses_answers = True
    dispatcher, _ = build(core, stages)
    await core.submit("http://site.test/a")
    await dispatcher.run(Stage.SCRAPING)
    assert await core.pool.fetchval("SELECT phase FROM leases") == "dispatch"


async def test_a_job_that_the_stage_refuses_fails_with_the_stages_words(
    core: Core, dispatcher: Dispatcher, fleet: Fleet
) -> None:
    fleet.scraper.status, fleet.scraper.failure_code = 422, "from_the_stage"
    job_id = await core.submit("http://site.test/a")
    await dispatcher.run(Stage.SCRAPING)
    row = await core.row(job_id)
    assert (row["status"], row["error_code"], row["error_message"]) == (
        "failed",
        "from_the_stage",
        "the test wanted it to fail",
    )


async def test_chunking_is_called_with_the_page_and_its_answer_kept(
    core: Core, stages: StageClient, fleet: Fleet
) -> None:
    dispatcher, content = build(core, stages)
    job_id = await scraped(core, content)
    done = await dispatcher.run(Stage.CHUNKING)
    assert done.nudge == {Stage.CHUNKING, Stage.EMBEDDING}
    (call,) = fleet.chunking.calls
    assert (call.path, call.body["text"], call.body["format"]) == ("/chunk", a_page("").content, "markdown")
    assert (call.body["max_tokens"], call.body["overlap_tokens"]) == (512, 64)
    assert call.body["repeat_table_header"], "what a row means is told with each chunk of a long table"
    row = await core.row(job_id)
    assert (row["status"], row["placement"], row["chunks"]) == ("embedding", "ready", 1)
    assert row["document"]["title"] == "Title"
    kept = await content.get(row["content_ref"])
    assert [chunk["text"] for chunk in json.loads(kept.body if kept else b"{}")["chunks"]] == ["# Title\n\nBody."]


async def test_plain_text_is_chunked_as_text(core: Core, stages: StageClient, fleet: Fleet) -> None:
    dispatcher, content = build(core, stages)
    await scraped(core, content, content_type="text/plain")
    await dispatcher.run(Stage.CHUNKING)
    assert fleet.chunking.calls[0].body["format"] == "text"


async def test_where_a_documents_pages_begin_goes_with_its_text(core: Core, stages: StageClient, fleet: Fleet) -> None:
    dispatcher, content = build(core, stages)
    await scraped(core, content, pages=[{"number": 1, "start": 0}, {"number": 2, "start": 9}])
    await dispatcher.run(Stage.CHUNKING)
    assert fleet.chunking.calls[0].body["pages"] == [{"number": 1, "start": 0}, {"number": 2, "start": 9}]


async def test_embedding_is_asked_with_the_reference_and_what_the_page_says_of_itself(
    core: Core, stages: StageClient, fleet: Fleet
) -> None:
    dispatcher, content = build(core, stages)
    job_id = await scraped(core, content)
    await dispatcher.run(Stage.CHUNKING)
    await dispatcher.run(Stage.EMBEDDING)
    body = fleet.embedding.calls[-1].body
    row = await core.row(job_id)
    assert body["content_ref"] == row["content_ref"]
    assert (body["document"]["url"], body["document"]["title"]) == ("http://site.test/a", "Title")
    assert body["as_of"]
    assert body["submitted_at"]
    assert "chunks" not in body


async def test_a_page_that_says_more_of_itself_than_a_corpus_keeps_is_indexed_all_the_same(
    core: Core, stages: StageClient, fleet: Fleet
) -> None:
    dispatcher, content = build(core, stages)
    url = "http://site.test/" + "y" * 3_000
    await scraped(core, content, title="t" * 5_000, author="a" * 1_000, language="nul\0", final_url=url)
    await dispatcher.run(Stage.CHUNKING)
    await dispatcher.run(Stage.EMBEDDING)
    document = fleet.embedding.calls[-1].body["document"]
    assert (document["title"], document["author"]) == ("t" * 2_000, "a" * 500)
    assert document["language"] == "nul\ufffd"
    assert "final_url" not in document


async def test_a_page_that_is_no_longer_kept_is_fetched_again(core: Core, stages: StageClient, fleet: Fleet) -> None:
    dispatcher, content = build(core, stages)
    job_id = await scraped(core, content)
    await core.content_pool.execute("DELETE FROM content")
    done = await dispatcher.run(Stage.CHUNKING)
    assert Stage.SCRAPING in done.nudge
    assert (await core.row(job_id))["placement"] == "parked"
    assert fleet.chunking.calls == []


async def test_chunking_that_is_away_costs_no_attempt(core: Core, stages: StageClient, fleet: Fleet) -> None:
    dispatcher, content = build(core, stages)
    job_id = await scraped(core, content)
    fleet.chunking.status = 503
    for _ in range(6):
        await dispatcher.run(Stage.CHUNKING)
        await core.time_has_come()
        await core.pool.execute("UPDATE stages SET paused_until = NULL")
    assert fleet.chunking.requests["/chunk"] == 6
    assert (await core.row(job_id))["status"] == "chunking"
    assert await core.pool.fetchval("SELECT attempts FROM job_stages WHERE stage = 'chunking'") == 0


async def test_a_text_that_runs_out_of_time_each_time_fails_in_the_end(
    core: Core, stages: StageClient, fleet: Fleet
) -> None:
    dispatcher, content = build(core, stages)
    job_id = await scraped(core, content)
    fleet.chunking.status = 504
    for _ in range(4):
        await dispatcher.run(Stage.CHUNKING)
        await core.time_has_come()
    assert (row := await core.row(job_id))["status"] == "failed"
    assert row["failed_stage"] == "chunking"


async def test_too_much_content_stops_new_pages_and_nothing_else(core: Core, stages: StageClient, fleet: Fleet) -> None:
    tight, content = build(core, stages, high_water_bytes=1)
    await scraped(core, content)
    await core.submit("http://other.test/")
    assert (await tight.run(Stage.SCRAPING)).handed_out == 0
    assert (await tight.run(Stage.CHUNKING)).handed_out == 1


async def test_an_answer_ends_the_pause_of_a_stage_that_answers_at_once(
    core: Core, stages: StageClient, fleet: Fleet
) -> None:
    dispatcher, content = build(core, stages)
    await scraped(core, content)
    fleet.chunking.status = 503
    await dispatcher.run(Stage.CHUNKING)
    assert await core.pool.fetchval("SELECT pauses FROM stages WHERE stage = 'chunking'") == 1
    await core.time_has_come()
    await core.pool.execute("UPDATE stages SET paused_until = now()")
    fleet.chunking.status = None
    await dispatcher.run(Stage.CHUNKING)
    assert await core.pool.fetchval("SELECT pauses FROM stages WHERE stage = 'chunking'") == 0, "or each is longer"


async def test_chunks_that_are_too_long_to_keep_fail_their_job_with_that_reason_and_no_other(
    core: Core, stages: StageClient, fleet: Fleet
) -> None:
    dispatcher, content = build(core, stages)
    long, other = await scraped(core, content), await scraped(core, content)
    content._max_bytes = 2_000
    fleet.chunking.extra[str(long)] = {"padding": "x" * 10_000}
    await dispatcher.run(Stage.CHUNKING)
    row = await core.row(long)
    assert (row["status"], row["error_code"], row["failed_stage"]) == ("failed", "too_large", "chunking")
    assert (await core.row(other))["status"] == "embedding"


async def test_one_hand_out_that_breaks_leaves_the_others_of_its_pass_alone(
    core: Core, dispatcher: Dispatcher, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [await core.submit(f"http://host{number}.test/") for number in range(3)]
    has_broken, give_back = asyncio.Event(), claims.give_back

    async def breaks(pool: Any, job: HandOut, **more: Any) -> float | None:
        if str(job.job_id) == jobs[1]:
            has_broken.set()
            raise OSError("the connection was lost")
        await has_broken.wait()
        await asyncio.sleep(0.05)  # a pass that gave up at the first error would have ended by now
        return await give_back(pool, job, **more)

    monkeypatch.setattr(dispatching, "give_back", breaks)
    fleet.scraper.max_depth = 1
    assert (await dispatcher.run(Stage.SCRAPING)).handed_out == 3
    phases = dict(await core.pool.fetch("SELECT job_id::text, phase FROM leases"))
    assert phases == {jobs[0]: "queue", jobs[1]: "dispatch"}


async def test_jobs_of_one_pass_travel_together_each_with_its_own_trace(
    core: Core, dispatcher: Dispatcher, fleet: Fleet, spans: InMemorySpanExporter
) -> None:
    traces = {}
    for number in range(3):
        trace = f"00-{number + 1:032x}-{'b' * 16}-01"
        traces[await core.submit(f"http://host{number}.test/", traceparent=trace)] = trace.split("-")[1]
    assert (await dispatcher.run(Stage.SCRAPING)).handed_out == 3
    assert dict(fleet.scraper.requests) == {"/enqueue/batch": 1}
    assert {call.body["job_id"]: call.body["traceparent"].split("-")[1] for call in fleet.scraper.calls} == traces
    hand_outs = [span for span in spans.get_finished_spans() if span.name == "dispatch.job"]
    told = {
        str((span.attributes or {})["job.id"]): f"{span.context.trace_id:032x}" for span in hand_outs if span.context
    }
    assert told == traces
    (batch,) = [span for span in spans.get_finished_spans() if span.name == "dispatch.batch"]
    assert {link.context.span_id for link in batch.links} == {
        span.context.span_id for span in hand_outs if span.context
    }
    assert {row["phase"] for row in await core.pool.fetch("SELECT phase FROM leases")} == {"queue"}


async def test_a_job_that_was_handed_out_before_goes_alone(core: Core, dispatcher: Dispatcher, fleet: Fleet) -> None:
    first = await core.submit("http://host0.test/")
    await dispatcher.run(Stage.SCRAPING)
    await core.expire_leases()  # its worker has died
    await core.recover()
    for number in (1, 2):
        await core.submit(f"http://host{number}.test/")
    assert (await dispatcher.run(Stage.SCRAPING)).handed_out == 3
    alone = {call.body["job_id"] for call in fleet.scraper.calls if call.body.get("alone")}
    assert alone == {first}
    assert len(fleet.scraper.calls) == 4


async def test_a_stage_of_a_version_that_takes_no_several_jobs_gets_them_one_by_one(
    core: Core, dispatcher: Dispatcher, fleet: Fleet
) -> None:
    fleet.scraper.takes_several = False
    for number in range(3):
        await core.submit(f"http://host{number}.test/")
    assert (await dispatcher.run(Stage.SCRAPING)).handed_out == 3
    assert fleet.scraper.requests == {"/enqueue/batch": 1, "/enqueue": 3}
    assert {row["phase"] for row in await core.pool.fetch("SELECT phase FROM leases")} == {"queue"}


async def test_what_a_stage_has_no_room_for_is_given_back_and_the_rest_of_its_pass_is_queued(
    core: Core, dispatcher: Dispatcher, fleet: Fleet
) -> None:
    jobs = [await core.submit(f"http://host{number}.test/") for number in range(3)]
    fleet.scraper.max_depth = 2
    await dispatcher.run(Stage.SCRAPING)
    phases = dict(await core.pool.fetch("SELECT job_id::text, phase FROM leases"))
    assert phases == dict.fromkeys(jobs[:2], "queue")
    assert await core.pool.fetchval("SELECT pause_reason FROM stages WHERE stage = 'scraping'") == (
        "scraper answered 429 queue_full"
    )


async def test_an_answer_about_several_that_is_lost_leaves_them_their_leases(
    core: Core, dispatcher: Dispatcher, fleet: Fleet
) -> None:
    fleet.scraper.loses_answers = True
    for number in range(2):
        await core.submit(f"http://host{number}.test/")
    await dispatcher.run(Stage.SCRAPING)
    assert [row["phase"] for row in await core.pool.fetch("SELECT phase FROM leases")] == ["dispatch", "dispatch"]


async def test_a_stage_run_in_the_pass_that_was_started_too_often_fails_its_job(
    core: Core, stages: StageClient, fleet: Fleet
) -> None:
    dispatcher, content = build(core, stages)
    job_id = await scraped(core, content)
    for _ in range(core.limits.max_attempts):
        await dispatcher.claim(Stage.CHUNKING)  # and its process dies
        await core.pool.execute("UPDATE leases SET phase = 'queue'")  # which recovery does not count
        await core.expire_leases()
        await core.recover()
    assert (await dispatcher.run(Stage.CHUNKING)).handed_out == 1
    row = await core.row(job_id)
    assert (row["status"], row["error_code"], row["failed_stage"]) == ("failed", "stage_timeout", "chunking")
    assert fleet.chunking.calls == []


async def test_content_of_ended_jobs_makes_room_before_it_stops_new_pages(
    core: Core, stages: StageClient, fleet: Fleet
) -> None:
    tight, content = build(core, stages, high_water_bytes=1)
    await scraped(core, content)
    job = await core.claim_one(Stage.CHUNKING)
    await core.complete(job, status=CallbackStatus.FAILED, error_code="x")
    await core.submit("http://other.test/")
    assert (await tight.run(Stage.SCRAPING)).handed_out == 1
    assert await content.total_bytes() == 0


async def test_a_job_that_ends_in_a_pass_is_counted(core: Core, dispatcher: Dispatcher, fleet: Fleet) -> None:
    before = JOBS_ENDED.labels("failed")._value.get()
    fleet.scraper.status = 422
    await core.submit("http://site.test/a")
    await dispatcher.run(Stage.SCRAPING)
    assert JOBS_ENDED.labels("failed")._value.get() == before + 1
