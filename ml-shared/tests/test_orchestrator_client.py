"""What a worker tells the orchestrator, when that answers, refuses, hangs or is gone."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ml_shared.clients import orchestrator as module
from ml_shared.clients import peer
from ml_shared.clients.orchestrator import AbandonError, ContentMissingError, OrchestratorClient
from ml_shared.contracts.jobs import CallbackAnswer, CallbackStatus, ProgressPhase, ProgressReport, StageCallback
from ml_shared.errors import TooLargeError, UnavailableError, UpstreamError
from ml_shared.names import Stage
from ml_shared.settings import ServiceSettings
from ml_shared.testing.orchestrator import FakeOrchestrator

KEY = "sk-the-workers-own-key"
CALLBACK = StageCallback(attempt_id="attempt-1", stage=Stage.SCRAPING, status=CallbackStatus.SUCCESS)
STARTED = ProgressReport(attempt_id="attempt-1", stage=Stage.SCRAPING, phase=ProgressPhase.STARTED)


def _settings(url: str, **more: Any) -> ServiceSettings:
    values = {"SERVICE_NAME": "scraper", "MEMBERSHIP_URL": "http://127.0.0.1:1", "SERVICE_API_KEY": KEY, **more}
    return ServiceSettings(_env_file=None, ORCHESTRATOR_URL=url, **values)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
async def client(fake_orchestrator: FakeOrchestrator) -> AsyncIterator[OrchestratorClient]:
    async with OrchestratorClient.open(_settings(fake_orchestrator.url)) as opened:
        yield opened


async def test_a_callback_arrives_with_the_services_key(
    client: OrchestratorClient, fake_orchestrator: FakeOrchestrator
) -> None:
    assert await client.complete("job-1", CALLBACK) == CallbackAnswer()
    [received] = fake_orchestrator.completed
    assert (received.job_id, received.callback) == ("job-1", CALLBACK)
    assert received.headers["x-api-key"] == KEY
    assert await client.complete("job-1", CALLBACK) == CallbackAnswer(duplicate=True)


async def test_the_gateways_path_before_the_routes_is_kept() -> None:
    with FakeOrchestrator(prefix="/api/orchestrator") as gateway:
        async with OrchestratorClient.open(_settings(f"{gateway.url}/")) as client:
            stored = await client.put_content("job-1", "attempt-1", Stage.SCRAPING, b"x")
            assert await client.get_content(stored.content_ref, "attempt-1") == b"x"
            await client.complete("job-1", CALLBACK)
        assert len(gateway.completed) == 1


async def test_a_stale_attempt_is_told_so_and_that_is_final(
    client: OrchestratorClient, fake_orchestrator: FakeOrchestrator
) -> None:
    fake_orchestrator.stale.add("attempt-1")
    assert await client.complete("job-1", CALLBACK) == CallbackAnswer(stale=True)


@pytest.mark.parametrize("status", [404, 409])
async def test_not_found_and_conflict_are_final(
    client: OrchestratorClient, fake_orchestrator: FakeOrchestrator, status: int
) -> None:
    fake_orchestrator.status = status
    assert await client.complete("job-1", CALLBACK) == CallbackAnswer(stale=True)
    with pytest.raises(AbandonError):
        await client.progress("job-1", STARTED)
    with pytest.raises(AbandonError):
        await client.put_content("job-1", "attempt-1", Stage.SCRAPING, b"x")
    assert sum(fake_orchestrator.requests.values()) == 3


async def test_a_peer_that_recovers_is_told_at_the_next_attempt(
    client: OrchestratorClient, fake_orchestrator: FakeOrchestrator
) -> None:
    fake_orchestrator.failures = [503, 500, 429]
    assert await client.complete("job-1", CALLBACK) == CallbackAnswer()
    assert len(fake_orchestrator.completed) == 1


async def test_a_peer_that_stays_down_is_given_up_within_seconds(
    client: OrchestratorClient, fake_orchestrator: FakeOrchestrator, free_port: int
) -> None:
    fake_orchestrator.status = 502
    assert await client.complete("job-1", CALLBACK) is None
    assert fake_orchestrator.requests["/jobs/job-1/complete"] == module.REPORT_ATTEMPTS
    async with OrchestratorClient.open(_settings(f"http://127.0.0.1:{free_port}")) as nobody:
        assert await nobody.complete("job-1", CALLBACK) is None
        with pytest.raises(UnavailableError) as error:
            await nobody.progress("job-1", STARTED)
    assert error.value.code == "orchestrator_unavailable"


async def test_a_peer_that_hangs_is_given_up_too(
    client: OrchestratorClient, fake_orchestrator: FakeOrchestrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REPORT_TIMEOUTS", peer.Timeouts(silence_seconds=0.1, whole_seconds=0.1))
    fake_orchestrator.delay_seconds = 0.5
    assert await client.complete("job-1", CALLBACK) is None


@pytest.mark.parametrize("status", [400, 401, 403, 422])
async def test_what_the_same_again_would_not_change_is_not_tried_again(
    client: OrchestratorClient, fake_orchestrator: FakeOrchestrator, status: int
) -> None:
    fake_orchestrator.status = status
    assert await client.complete("job-1", CALLBACK) is None
    with pytest.raises(UnavailableError):
        await client.progress("job-1", STARTED)
    assert sum(fake_orchestrator.requests.values()) == 2


async def test_content_comes_back_as_it_was_put(
    client: OrchestratorClient, fake_orchestrator: FakeOrchestrator
) -> None:
    stored = await client.put_content("job-1", "attempt-1", Stage.SCRAPING, b"page" * 1000)
    assert stored.sha256 == hashlib.sha256(b"page" * 1000).hexdigest()
    assert await client.get_content(stored.content_ref, "attempt-2") == b"page" * 1000


async def test_content_that_is_gone_is_a_passing_error(client: OrchestratorClient) -> None:
    with pytest.raises(ContentMissingError) as error:
        await client.get_content("nothing", "attempt-1")
    assert (error.value.code, error.value.retryable) == ("content_missing", True)


async def test_content_that_does_not_match_its_hash_is_refused(
    client: OrchestratorClient, fake_orchestrator: FakeOrchestrator
) -> None:
    ref = fake_orchestrator.keep(b"page")
    fake_orchestrator.corrupt = True
    with pytest.raises(UpstreamError) as error:
        await client.get_content(ref, "attempt-1")
    assert error.value.code == "content_corrupt"
    with pytest.raises(UpstreamError):
        await client.put_content("job-1", "attempt-1", Stage.SCRAPING, b"page")


async def test_content_that_is_too_long_fails_for_good(
    client: OrchestratorClient, fake_orchestrator: FakeOrchestrator
) -> None:
    fake_orchestrator.status = 413
    with pytest.raises(TooLargeError) as error:
        await client.put_content("job-1", "attempt-1", Stage.SCRAPING, b"x")
    assert not error.value.retryable


async def test_a_client_needs_an_address_and_a_key(fake_orchestrator: FakeOrchestrator) -> None:
    for settings in (_settings(""), _settings(fake_orchestrator.url, SERVICE_API_KEY=None)):
        with pytest.raises(ValueError, match="ORCHESTRATOR_URL"):
            async with OrchestratorClient.open(settings):
                pass


async def test_each_call_is_a_span_of_its_own_with_the_job_where_the_call_has_one(
    client: OrchestratorClient, spans: InMemorySpanExporter
) -> None:
    await client.progress("job-1", STARTED)
    stored = await client.put_content("job-1", "attempt-1", Stage.SCRAPING, b"x")
    await client.get_content(stored.content_ref, "attempt-1")
    await client.complete("job-1", CALLBACK)
    # below them are httpx' own
    ours = [span for span in spans.get_finished_spans() if span.name.startswith("orchestrator.")]
    found = {span.name: (span.attributes or {}).get("job.id") for span in ours}
    assert found == {
        "orchestrator.started": "job-1",
        "orchestrator.put_content": "job-1",
        "orchestrator.get_content": None,
        "orchestrator.complete": "job-1",
    }


async def test_content_goes_with_its_report_in_one_call(
    client: OrchestratorClient, fake_orchestrator: FakeOrchestrator
) -> None:
    assert await client.complete("job-1", CALLBACK, content=b"a page") == CallbackAnswer()
    [callback] = fake_orchestrator.callbacks_for("job-1")
    assert fake_orchestrator.contents[str(callback.content_ref)].body == b"a page"
    assert fake_orchestrator.requests == {"/content": 1}


async def test_a_lost_answer_to_a_report_with_content_is_asked_for_again(
    client: OrchestratorClient, fake_orchestrator: FakeOrchestrator
) -> None:
    fake_orchestrator.failures[:] = [503, 502]
    assert await client.complete("job-1", CALLBACK, content=b"a page") == CallbackAnswer()
    assert (fake_orchestrator.requests["/content"], len(fake_orchestrator.completed)) == (3, 1)


async def test_an_orchestrator_of_an_earlier_version_is_told_in_two_calls(
    client: OrchestratorClient, fake_orchestrator: FakeOrchestrator
) -> None:
    fake_orchestrator.takes_content_with_reports = False
    assert await client.complete("job-1", CALLBACK, content=b"a page") == CallbackAnswer()
    [callback] = fake_orchestrator.callbacks_for("job-1")
    assert fake_orchestrator.contents[str(callback.content_ref)].body == b"a page"
    ref = fake_orchestrator.keep(b"chunks", job_id="job-2")
    report = ProgressReport(attempt_id="attempt-2", stage=Stage.EMBEDDING, phase=ProgressPhase.STARTED)
    assert await client.start_with_content("job-2", report, ref) is None, "it is read by a call of its own"
    assert fake_orchestrator.phases_for("job-2") == [ProgressPhase.STARTED]
    fake_orchestrator.abandoned.add("attempt-2")
    with pytest.raises(AbandonError):
        await client.start_with_content("job-2", report, ref)


async def test_content_that_an_orchestrator_of_an_earlier_version_wants_no_more_is_stale(
    client: OrchestratorClient, fake_orchestrator: FakeOrchestrator
) -> None:
    fake_orchestrator.takes_content_with_reports = False
    fake_orchestrator.abandoned.add("attempt-1")
    assert await client.complete("job-1", CALLBACK, content=b"a page") == CallbackAnswer(stale=True)
    assert fake_orchestrator.completed == []


async def test_content_that_was_damaged_on_its_way_with_a_start_is_an_upstream_error(
    client: OrchestratorClient, fake_orchestrator: FakeOrchestrator
) -> None:
    ref = fake_orchestrator.keep(b"chunks", job_id="job-1")
    fake_orchestrator.corrupt = True
    report = ProgressReport(attempt_id="attempt-1", stage=Stage.EMBEDDING, phase=ProgressPhase.STARTED)
    with pytest.raises(UpstreamError):
        await client.start_with_content("job-1", report, ref)
