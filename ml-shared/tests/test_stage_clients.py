"""What the orchestrator asks of the stages: what is sent again and what is not, and what each answer means."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr

from ml_shared.clients import peer
from ml_shared.clients.peer import retry_after_seconds
from ml_shared.clients.stages import (
    ChunkingClient,
    EmbeddingClient,
    ScraperClient,
    StageRejectedError,
    StageUnansweredError,
    StageUnavailableError,
)
from ml_shared.contracts.chunking import ChunkRequest
from ml_shared.contracts.embedding import Document, EnqueueEmbed
from ml_shared.contracts.scraping import EnqueueScrape
from ml_shared.errors import TooLargeError
from ml_shared.testing.stages import FakeChunking, FakeEmbedding, FakeScraper

KEY = SecretStr("sk-the-orchestrators-own-key")
TEXT = ChunkRequest(text="Some words.")
SHORT_SECONDS = (0.5, 2.0, 8.0)
# for an answer that is not to come in time: the first that is long enough for the request to arrive, here and now


def hand_out(**fields: str) -> EnqueueScrape:
    parts = {"job_id": str(uuid.uuid4()), "attempt_id": str(uuid.uuid4()), "owner": "key:a"} | fields
    return EnqueueScrape.model_validate({"url": "http://site.test/", **parts})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
async def scraper(fake_scraper: FakeScraper) -> AsyncIterator[ScraperClient]:
    async with ScraperClient.open(fake_scraper.url, KEY) as opened:
        yield opened


@pytest.fixture
async def chunking(fake_chunking: FakeChunking) -> AsyncIterator[ChunkingClient]:
    async with ChunkingClient.open(fake_chunking.url, KEY) as opened:
        yield opened


async def test_a_hand_out_arrives_with_the_key_the_trace_and_no_empty_fields(
    scraper: ScraperClient, fake_scraper: FakeScraper, spans: InMemorySpanExporter
) -> None:
    with trace.get_tracer("test").start_as_current_span("dispatch") as span:
        answer = await scraper.enqueue(request := hand_out())
    assert (answer.job_id, answer.queue_epoch) == (request.job_id, fake_scraper.queue_epoch)
    [call] = fake_scraper.calls
    assert call.request == request
    assert "as_of" not in call.body
    assert call.headers["x-api-key"] == KEY.get_secret_value()
    assert call.headers["traceparent"].split("-")[1] == f"{span.get_span_context().trace_id:032x}"


async def test_a_callers_own_nulls_are_kept(fake_embedding: FakeEmbedding) -> None:
    document = Document(url="http://site.test/", metadata={"team": None, "tags": [None]})
    request = EnqueueEmbed(document=document, content_ref="r", job_id="j", attempt_id="a", owner="key:a")
    async with EmbeddingClient.open(fake_embedding.url, KEY) as client:
        await client.enqueue(request)
    assert fake_embedding.tasks[0].request.document.metadata == {"team": None, "tags": [None]}


async def test_a_hand_out_that_may_have_arrived_is_not_sent_again(
    scraper: ScraperClient, fake_scraper: FakeScraper
) -> None:
    fake_scraper.loses_answers = True
    with pytest.raises(StageUnansweredError):
        await scraper.enqueue(hand_out())
    fake_scraper.wait_until(lambda: len(fake_scraper.tasks) == 1)
    assert fake_scraper.requests == {"/enqueue": 1}


async def test_nor_is_one_whose_answer_is_late(fake_scraper: FakeScraper) -> None:
    for seconds in SHORT_SECONDS:
        fake_scraper.reset()
        fake_scraper.delay_seconds = 2 * seconds
        async with ScraperClient.open(fake_scraper.url, KEY, timeout_seconds=seconds) as impatient:
            with pytest.raises((StageUnansweredError, StageUnavailableError)) as error:
                await impatient.enqueue(hand_out())
        if fake_scraper.requests:
            break
    assert error.type is StageUnansweredError
    fake_scraper.wait_until(lambda: len(fake_scraper.tasks) == 1)
    assert fake_scraper.requests == {"/enqueue": 1}


async def test_a_hand_out_that_was_refused_a_connection_is_sent_again_and_arrives_once(
    scraper: ScraperClient, fake_scraper: FakeScraper, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as closed:
        closed.enter_context(fake_scraper.refusing())

        def opens_meanwhile(low: float, high: float) -> float:
            closed.close()
            return low

        monkeypatch.setattr("random.uniform", opens_meanwhile)
        await scraper.enqueue(hand_out())
    assert len(fake_scraper.tasks) == 1


async def test_a_service_that_refuses_connections_is_unavailable(
    scraper: ScraperClient, fake_scraper: FakeScraper
) -> None:
    with fake_scraper.refusing(), pytest.raises(StageUnavailableError, match="not reached"):
        await scraper.enqueue(hand_out())


async def test_an_address_that_is_none_is_unavailable_and_not_a_crash() -> None:
    async with ScraperClient.open("scraper-without-a-scheme", KEY) as client:
        with pytest.raises(StageUnavailableError):
            await client.enqueue(hand_out())


@pytest.mark.parametrize("status", [307, 401, 403, 404, 408, 429, 500, 502, 503, 504])
async def test_what_any_job_would_be_answered_means_that_the_stage_is_unavailable(
    scraper: ScraperClient, fake_scraper: FakeScraper, status: int
) -> None:
    fake_scraper.status, fake_scraper.failure_retry_after = status, "17"
    with pytest.raises(StageUnavailableError, match=f"{status} made_to_fail") as unavailable:
        await scraper.enqueue(hand_out())
    assert (unavailable.value.retry_after_seconds, unavailable.value.retryable) == (17, True)
    assert fake_scraper.requests == {"/enqueue": 1}


@pytest.mark.parametrize("status", [400, 409, 413, 422])
async def test_what_this_job_alone_is_answered_fails_it_with_the_services_code(
    scraper: ScraperClient, fake_scraper: FakeScraper, status: int
) -> None:
    fake_scraper.status, fake_scraper.failure_code = status, "blocked_scheme"
    with pytest.raises(StageRejectedError, match="the test wanted it to fail") as rejected:
        await scraper.enqueue(hand_out())
    assert (rejected.value.code, rejected.value.retryable) == ("blocked_scheme", False)


async def test_a_code_that_is_none_is_not_passed_on(scraper: ScraperClient, fake_scraper: FakeScraper) -> None:
    fake_scraper.status, fake_scraper.failure_code = 422, "Not a Code"
    with pytest.raises(StageRejectedError) as rejected:
        await scraper.enqueue(hand_out())
    assert rejected.value.code == "stage_rejected"


async def test_a_call_that_changes_nothing_is_sent_again_when_the_connection_is_lost(
    chunking: ChunkingClient, fake_chunking: FakeChunking
) -> None:
    fake_chunking.loses_answers = True
    with pytest.raises(StageUnansweredError):
        await chunking.chunk(TEXT)
    assert fake_chunking.requests == {"/chunk": 2}


async def test_but_not_when_it_takes_too_long(fake_chunking: FakeChunking) -> None:
    for seconds in SHORT_SECONDS:
        fake_chunking.reset()
        fake_chunking.delay_seconds = 2 * seconds
        async with ChunkingClient.open(fake_chunking.url, KEY, timeout_seconds=seconds) as impatient:
            with pytest.raises((StageUnansweredError, StageUnavailableError)) as error:
                await impatient.chunk(TEXT)
        if fake_chunking.requests:
            break
    assert error.type is StageUnansweredError
    assert fake_chunking.requests == {"/chunk": 1}


async def test_a_text_that_runs_out_of_time_says_nothing_of_other_texts(
    chunking: ChunkingClient, fake_chunking: FakeChunking
) -> None:
    fake_chunking.status = 504
    with pytest.raises(StageUnansweredError, match="ran out of time"):
        await chunking.chunk(TEXT)


async def test_chunks_that_are_too_long_are_not_read(fake_chunking: FakeChunking) -> None:
    async with ChunkingClient.open(fake_chunking.url, KEY, max_answer_bytes=100) as client:
        with pytest.raises(TooLargeError):
            await client.chunk(TEXT)


async def test_a_field_of_a_later_version_is_passed_on(chunking: ChunkingClient, fake_chunking: FakeChunking) -> None:
    fake_chunking.extra["job-1"] = {"a_field_of_a_later_version": 1}
    answer = await chunking.chunk(TEXT.model_copy(update={"job_id": "job-1"}))
    assert b"a_field_of_a_later_version" in answer.body


async def test_the_environments_proxy_is_not_asked(
    fake_scraper: FakeScraper, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port}")
    async with ScraperClient.open(fake_scraper.url, KEY) as client:
        await asyncio.gather(*(client.enqueue(hand_out()) for _ in range(3)))
    assert len(fake_scraper.tasks) == 3


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    assert retry_after_seconds("30") == 30
    assert retry_after_seconds("9" * 400) == 3600
    before = datetime.now(UTC)
    in_ten_minutes = before.replace(microsecond=0) + timedelta(seconds=600)
    found = retry_after_seconds(format_datetime(in_ten_minutes, usegmt=True)) or 0
    assert (in_ten_minutes - datetime.now(UTC)).total_seconds() <= found <= (in_ten_minutes - before).total_seconds()
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert [retry_after_seconds(text) for text in ("", "soon", "-1", "1.5", "٣")] == [None] * 5
