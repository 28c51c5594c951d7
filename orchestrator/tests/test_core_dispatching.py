"""Passes against stages that answer in every way there is."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import httpx
import pytest
from conftest import Core
from fleet_stand_in import CHUNKS, PAGE, StageStandIn
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.core import claims
from app.core.content import PostgresContentStore
from app.core.dispatching import Dispatcher, Policy
from app.core.hand_outs import HandOut
from app.core.metrics import JOBS_ENDED
from app.core.reading import find
from app.core.stage_calls import StageClient
from ml_shared.contracts.jobs import CallbackStatus, WaitingReason
from ml_shared.names import Service, Stage
from ml_shared.testing.servers import free_port

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.fixture
def stage() -> Iterator[StageStandIn]:
    stand_in = StageStandIn()
    with stand_in.serve() as server:
        stand_in.url = server.url  # type: ignore[attr-defined]
        yield stand_in


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=2.0, trust_env=False, headers={"X-API-Key": "own-key"}) as client:
        yield client


def build(
    core: Core, http: httpx.AsyncClient, url: str, high_water_bytes: int = 10**9
) -> tuple[Dispatcher, PostgresContentStore]:
    content = PostgresContentStore(core.content_pool, max_bytes=1_000_000)
    policy = Policy(dict.fromkeys(Stage, 4), 1000, high_water_bytes, 30, 900)
    client = StageClient(http, dict.fromkeys(Service, url))
    return Dispatcher(core.pool, content, client, policy, core.limits), content


@pytest.fixture
def dispatcher(core: Core, http: httpx.AsyncClient, stage: StageStandIn) -> Dispatcher:
    return build(core, http, stage.url)[0]  # type: ignore[attr-defined]


async def scraped(core: Core, content: PostgresContentStore, **page: object) -> UUID:
    """A job whose page has been fetched."""
    await core.submit("http://site.test/a", traceparent=TRACE)
    job = await core.claim_one(Stage.SCRAPING)
    stored = await content.put(job.owner, job.job_id, job.attempt_id, Stage.SCRAPING, json.dumps(PAGE | page).encode())
    await core.complete(job, content_ref=stored.content_ref)
    return job.job_id


async def test_a_hand_out_carries_the_attempt_and_the_jobs_own_trace(
    core: Core, dispatcher: Dispatcher, stage: StageStandIn, spans: InMemorySpanExporter
) -> None:
    job_id = await core.submit("http://site.test/a", traceparent=TRACE)
    assert (await dispatcher.run(Stage.SCRAPING)).handed_out == 1
    (call,) = stage.calls
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
    assert tuple(lease) == ("queue", "epoch-1")


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
    core: Core, dispatcher: Dispatcher, stage: StageStandIn, status: int
) -> None:
    stage.status = status
    job_id = await core.submit("http://site.test/a")
    await core.submit("http://site2.test/a")
    await dispatcher.run(Stage.SCRAPING)
    called = len(stage.calls)
    assert (await dispatcher.run(Stage.SCRAPING)).handed_out == 0
    assert len(stage.calls) == called
    job = await find(core.pool, "key:a", UUID(job_id))
    assert job.waiting is not None
    assert job.waiting.reason is WaitingReason.UPSTREAM
    assert all(view.attempts == 0 for view in job.stages)


async def test_a_stage_that_is_not_reached_is_paused(core: Core, http: httpx.AsyncClient) -> None:
    dispatcher, _ = build(core, http, f"http://127.0.0.1:{free_port()}")
    await core.submit("http://site.test/a")
    await dispatcher.run(Stage.SCRAPING)
    assert await core.pool.fetchval("SELECT paused_until > now() FROM stages WHERE stage = 'scraping'")
    assert await core.pool.fetchval("SELECT count(*) FROM leases") == 0


async def test_a_hand_out_that_gets_no_answer_keeps_its_lease(
    core: Core, http: httpx.AsyncClient, stage: StageStandIn
) -> None:
    http.timeout = httpx.Timeout(2.0, read=0.000_001)
    dispatcher, _ = build(core, http, stage.url)  # type: ignore[attr-defined]
    await core.submit("http://site.test/a")
    await dispatcher.run(Stage.SCRAPING)
    assert await core.pool.fetchval("SELECT phase FROM leases") == "dispatch"


async def test_a_job_that_the_stage_refuses_fails_with_the_stages_words(
    core: Core, dispatcher: Dispatcher, stage: StageStandIn
) -> None:
    stage.status = 422
    job_id = await core.submit("http://site.test/a")
    await dispatcher.run(Stage.SCRAPING)
    row = await core.row(job_id)
    assert (row["status"], row["error_code"], row["error_message"]) == (
        "failed",
        "from_the_stage",
        "what the stage said",
    )


async def test_chunking_is_called_with_the_page_and_its_answer_kept(
    core: Core, http: httpx.AsyncClient, stage: StageStandIn
) -> None:
    dispatcher, content = build(core, http, stage.url)  # type: ignore[attr-defined]
    job_id = await scraped(core, content)
    done = await dispatcher.run(Stage.CHUNKING)
    assert done.nudge == {Stage.CHUNKING, Stage.EMBEDDING}
    (call,) = stage.calls
    assert (call.path, call.body["text"], call.body["format"]) == ("/chunk", PAGE["content"], "markdown")
    assert (call.body["max_tokens"], call.body["overlap_tokens"]) == (512, 64)
    row = await core.row(job_id)
    assert (row["status"], row["placement"], row["chunks"]) == ("embedding", "ready", 1)
    assert row["document"]["title"] == "Title"
    kept = await content.get(row["content_ref"])
    assert json.loads(kept.body if kept else b"{}")["chunks"] == CHUNKS["chunks"]


async def test_plain_text_is_chunked_as_text(core: Core, http: httpx.AsyncClient, stage: StageStandIn) -> None:
    dispatcher, content = build(core, http, stage.url)  # type: ignore[attr-defined]
    await scraped(core, content, content_type="text/plain")
    await dispatcher.run(Stage.CHUNKING)
    assert stage.calls[0].body["format"] == "text"


async def test_embedding_is_asked_with_the_reference_and_what_the_page_says_of_itself(
    core: Core, http: httpx.AsyncClient, stage: StageStandIn
) -> None:
    dispatcher, content = build(core, http, stage.url)  # type: ignore[attr-defined]
    job_id = await scraped(core, content)
    await dispatcher.run(Stage.CHUNKING)
    await dispatcher.run(Stage.EMBEDDING)
    body = stage.calls[-1].body
    row = await core.row(job_id)
    assert body["content_ref"] == row["content_ref"]
    assert (body["document"]["url"], body["document"]["title"]) == ("http://site.test/a", "Title")
    assert body["as_of"]
    assert body["submitted_at"]
    assert "chunks" not in body


async def test_a_page_that_is_no_longer_kept_is_fetched_again(
    core: Core, http: httpx.AsyncClient, stage: StageStandIn
) -> None:
    dispatcher, content = build(core, http, stage.url)  # type: ignore[attr-defined]
    job_id = await scraped(core, content)
    await core.content_pool.execute("DELETE FROM content")
    done = await dispatcher.run(Stage.CHUNKING)
    assert Stage.SCRAPING in done.nudge
    assert (await core.row(job_id))["placement"] == "parked"
    assert stage.calls == []


async def test_chunking_that_is_away_costs_no_attempt(core: Core, http: httpx.AsyncClient, stage: StageStandIn) -> None:
    dispatcher, content = build(core, http, stage.url)  # type: ignore[attr-defined]
    job_id = await scraped(core, content)
    stage.status = 503
    for _ in range(6):
        await dispatcher.run(Stage.CHUNKING)
        await core.time_has_come()
        await core.pool.execute("UPDATE stages SET paused_until = NULL")
    assert len(stage.calls) == 6
    assert (await core.row(job_id))["status"] == "chunking"
    assert await core.pool.fetchval("SELECT attempts FROM job_stages WHERE stage = 'chunking'") == 0


async def test_a_text_that_runs_out_of_time_each_time_fails_in_the_end(
    core: Core, http: httpx.AsyncClient, stage: StageStandIn
) -> None:
    dispatcher, content = build(core, http, stage.url)  # type: ignore[attr-defined]
    job_id = await scraped(core, content)
    stage.status = 504
    for _ in range(4):
        await dispatcher.run(Stage.CHUNKING)
        await core.time_has_come()
    assert (row := await core.row(job_id))["status"] == "failed"
    assert row["failed_stage"] == "chunking"


async def test_too_much_content_stops_new_pages_and_nothing_else(
    core: Core, http: httpx.AsyncClient, stage: StageStandIn
) -> None:
    tight, content = build(core, http, stage.url, high_water_bytes=1)  # type: ignore[attr-defined]
    await scraped(core, content)
    await core.submit("http://other.test/")
    assert (await tight.run(Stage.SCRAPING)).handed_out == 0
    assert (await tight.run(Stage.CHUNKING)).handed_out == 1


async def test_an_answer_ends_the_pause_of_a_stage_that_answers_at_once(
    core: Core, http: httpx.AsyncClient, stage: StageStandIn
) -> None:
    dispatcher, content = build(core, http, stage.url)  # type: ignore[attr-defined]
    await scraped(core, content)
    stage.status = 503
    await dispatcher.run(Stage.CHUNKING)
    assert await core.pool.fetchval("SELECT pauses FROM stages WHERE stage = 'chunking'") == 1
    await core.time_has_come()
    await core.pool.execute("UPDATE stages SET paused_until = now()")
    stage.status = 202
    await dispatcher.run(Stage.CHUNKING)
    assert await core.pool.fetchval("SELECT pauses FROM stages WHERE stage = 'chunking'") == 0, "or each is longer"


async def test_chunks_that_are_too_long_to_keep_fail_their_job_with_that_reason_and_no_other(
    core: Core, http: httpx.AsyncClient, stage: StageStandIn
) -> None:
    dispatcher, content = build(core, http, stage.url)  # type: ignore[attr-defined]
    long, other = await scraped(core, content), await scraped(core, content)
    content._max_bytes = 2_000
    stage.long_for = str(long)
    await dispatcher.run(Stage.CHUNKING)
    row = await core.row(long)
    assert (row["status"], row["error_code"], row["failed_stage"]) == ("failed", "too_large", "chunking")
    assert (await core.row(other))["status"] == "embedding"


async def test_one_hand_out_that_breaks_leaves_the_others_of_its_pass_alone(
    core: Core, dispatcher: Dispatcher, stage: StageStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = await core.submit("http://broken.test/")
    other = await core.submit("http://other.test/")
    queued = claims.queued
    has_broken = asyncio.Event()

    async def breaks(pool: object, job: HandOut, **more: object) -> int:
        if str(job.job_id) == broken:
            has_broken.set()
            raise OSError("the connection was lost")
        await has_broken.wait()
        await asyncio.sleep(0.05)  # a pass that gave up at the first error would have ended by now
        return await queued(core.pool, job, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("app.core.dispatching.queued", breaks)
    assert (await dispatcher.run(Stage.SCRAPING)).handed_out == 2
    phases = dict(await core.pool.fetch("SELECT job_id::text, phase FROM leases"))
    assert phases == {broken: "dispatch", other: "queue"}


async def test_content_of_ended_jobs_makes_room_before_it_stops_new_pages(
    core: Core, http: httpx.AsyncClient, stage: StageStandIn
) -> None:
    tight, content = build(core, http, stage.url, high_water_bytes=1)  # type: ignore[attr-defined]
    await scraped(core, content)
    job = await core.claim_one(Stage.CHUNKING)
    await core.complete(job, status=CallbackStatus.FAILED, error_code="x")
    await core.submit("http://other.test/")
    assert (await tight.run(Stage.SCRAPING)).handed_out == 1
    assert await content.total_bytes() == 0


async def test_a_job_that_ends_in_a_pass_is_counted(core: Core, dispatcher: Dispatcher, stage: StageStandIn) -> None:
    before = JOBS_ENDED.labels("failed")._value.get()
    stage.status = 422
    await core.submit("http://site.test/a")
    await dispatcher.run(Stage.SCRAPING)
    assert JOBS_ENDED.labels("failed")._value.get() == before + 1
