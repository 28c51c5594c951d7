"""What a test can make the fakes do beside what the real services do."""

import asyncio
import subprocess
import sys
import threading

import pytest
from pydantic import SecretStr

from ml_shared.clients.orchestrator import AbandonError, OrchestratorClient
from ml_shared.clients.stages import ScraperClient
from ml_shared.contracts.jobs import CallbackAnswer, CallbackStatus, ProgressPhase, ProgressReport, StageCallback
from ml_shared.contracts.scraping import EnqueueScrape, ScrapeResult
from ml_shared.errors import UnavailableError
from ml_shared.names import Stage
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.stages import FakeScraper

KEY = SecretStr("a-key")


def started(attempt_id: str) -> ProgressReport:
    return ProgressReport(attempt_id=attempt_id, stage=Stage.SCRAPING, phase=ProgressPhase.STARTED)


async def test_a_worker_needs_no_hand_out_to_be_tested_and_a_second_attempt_supersedes_the_first(
    fake_orchestrator: FakeOrchestrator,
) -> None:
    done = StageCallback(attempt_id="first", stage=Stage.SCRAPING, status=CallbackStatus.SUCCESS)
    async with OrchestratorClient.connect(fake_orchestrator.url, KEY) as worker:
        await worker.progress("job", started("first"))
        await worker.progress("job", started("second"))
        with pytest.raises(AbandonError):
            await worker.progress("job", started("first"))
        assert await worker.complete("job", done) == CallbackAnswer(stale=True)


@pytest.mark.parametrize("run", [1, 2])
async def test_each_test_has_a_fake_that_has_heard_nothing(run: int, fake_orchestrator: FakeOrchestrator) -> None:
    assert (fake_orchestrator.reports, fake_orchestrator.jobs, fake_orchestrator.status) == ([], {}, None)
    async with OrchestratorClient.connect(fake_orchestrator.url, KEY) as worker:
        await worker.progress("job", started("attempt"))
    fake_orchestrator.status = 503


async def test_a_fakes_worker_reports_as_a_real_one(
    fake_scraper: FakeScraper, fake_orchestrator: FakeOrchestrator
) -> None:
    fake_scraper.works_for(fake_orchestrator.url, "key-of-the-scraper")
    async with ScraperClient.open(fake_scraper.url, KEY) as orchestrator:
        for job_id in ("job-1", "job-2", "job-3"):
            fields = {"job_id": job_id, "attempt_id": f"{job_id}-attempt", "owner": "key:a"}
            await orchestrator.enqueue(EnqueueScrape.model_validate({"url": "http://site.test/", **fields}))
    await fake_scraper.finish("job-2", content="# Another")
    await fake_scraper.fail("job-1", "robots_disallowed")
    await fake_scraper.defer("job-3", "host_busy", retry_after_seconds=5)
    assert fake_scraper.tasks == []
    [success] = fake_orchestrator.callbacks_for("job-2")
    page = ScrapeResult.model_validate_json(fake_orchestrator.contents[str(success.content_ref)].body)
    assert (success.status, page.content) == (CallbackStatus.SUCCESS, "# Another")
    assert fake_orchestrator.phases_for("job-2") == [ProgressPhase.STARTED]
    assert fake_orchestrator.callbacks_for("job-1")[0].error_code == "robots_disallowed"
    assert fake_orchestrator.callbacks_for("job-3")[0].retry_after_seconds == 5
    assert fake_orchestrator.completed[0].headers["x-api-key"] == "key-of-the-scraper"


async def test_a_request_that_is_made_to_fail_is_waited_for_too(fake_orchestrator: FakeOrchestrator) -> None:
    fake_orchestrator.status = 422
    looked = threading.Event()

    def arrived() -> bool:
        looked.set()
        return fake_orchestrator.requests.total() == 1

    waiting = asyncio.create_task(asyncio.to_thread(fake_orchestrator.wait_until, arrived, 60))
    await asyncio.to_thread(looked.wait)
    async with OrchestratorClient.connect(fake_orchestrator.url, KEY) as worker:
        with pytest.raises(UnavailableError):
            await worker.progress("job", started("attempt"))
    await waiting


def test_neither_plugin_nor_fakes_import_what_telemetry_has_to_come_before() -> None:
    modules = "plugin", "orchestrator", "stages", "endpoint", "membership", "http_server"
    imports = "; ".join(f"import ml_shared.testing.{name}" for name in modules)
    check = f"import sys; {imports}; print([name for name in ('fastapi', 'celery') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
