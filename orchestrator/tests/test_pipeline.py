"""A job's whole way, over HTTP in both directions: the real orchestrator, and services that stand in for the others."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from conftest import ALICE, EMBEDDING, SCRAPER, Fleet

from ml_shared.contracts.jobs import CallbackAnswer
from ml_shared.contracts.scraping import Extraction, ExtractionWarning
from ml_shared.testing.http_server import ThreadedServer

URL = "http://site.test/page"
EXTRACTION = Extraction(method="main part", kept_share=0.5, warnings=[ExtractionWarning.LITTLE_TEXT])
TEXT = "# Title\n\n" + "Some words of plain prose. " * 30


@pytest.fixture
def users(configured: Any, fleet: Fleet) -> Iterator[httpx.Client]:
    """Alice, in front of the real application; the services' workers report to it."""
    from app.main import app

    headers = {"X-API-Key": ALICE}
    with ThreadedServer(app) as server, httpx.Client(base_url=server.url, headers=headers, timeout=30) as client:
        fleet.scraper.works_for(server.url, SCRAPER)
        fleet.embedding.works_for(server.url, EMBEDDING)
        yield client


@pytest.fixture
def dispatch(users: httpx.Client) -> Iterator[Any]:
    """Make one pass of a stage, as the orchestrator's own worker does."""
    from app.worker import tasks
    from app.worker.celery_app import app

    yield lambda stage: tasks.dispatch.apply(args=[stage]).get()
    app.runtime.close()


def submit(users: httpx.Client) -> str:
    body = {
        "url": URL,
        "corpus_name": "docs",
        "metadata": {"team": None},
        "chunking": {"max_tokens": 64, "overlap_tokens": 0},
    }
    return str(users.post("/jobs", json=body).json()["job_id"])


async def test_a_job_goes_through_every_stage_to_its_end(users: httpx.Client, fleet: Fleet, dispatch: Any) -> None:
    job_id = submit(users)
    dispatch("scraping")
    assert await fleet.scraper.finish(job_id, content=TEXT, title="A title", extraction=EXTRACTION) == CallbackAnswer()
    made = {"method": "main part", "kept_share": 0.5, "warnings": ["little_text"]}
    assert users.get(f"/jobs/{job_id}").json()["extraction"] == made
    dispatch("chunking")
    dispatch("embedding")
    [task] = fleet.embedding.tasks
    assert (task.request.document.title, task.request.document.metadata) == ("A title", {"team": None})
    assert await fleet.embedding.finish(job_id) == CallbackAnswer()
    job = users.get(f"/jobs/{job_id}").json()
    assert job["status"] == "completed"
    chunks = fleet.embedding.indexed[URL].chunks
    assert job["outcome"] == "new"
    counts = {"chunks": len(chunks), "tokens": 3 * 2 + len(TEXT.split()), "saved_bytes": None, "saved_chunks": None}
    assert job["counts"] | {"bytes": 0} == {"bytes": 0, **counts}
    assert [chunk.text for chunk in chunks] == [TEXT[chunk.start : chunk.end] for chunk in chunks]
    assert [view["attempts"] for view in job["stages"]] == [1, 1, 1]


async def test_a_stage_that_fails_ends_the_job_with_its_words(users: httpx.Client, fleet: Fleet, dispatch: Any) -> None:
    job_id = submit(users)
    dispatch("scraping")
    await fleet.scraper.fail(job_id, "robots_disallowed", "the site forbids it")
    error = {"code": "robots_disallowed", "message": "the site forbids it", "failed_stage": "scraping"}
    assert users.get(f"/jobs/{job_id}").json()["error"] == error


async def test_a_wiped_queue_is_found_out_at_the_next_hand_out(
    users: httpx.Client, fleet: Fleet, dispatch: Any
) -> None:
    lost = submit(users)
    dispatch("scraping")
    fleet.scraper.wipe()
    other = str(users.post("/jobs", json={"url": "http://other.test/"}).json()["job_id"])
    dispatch("scraping")
    dispatch("scraping")
    assert {task.request.job_id for task in fleet.scraper.tasks} == {lost, other}
