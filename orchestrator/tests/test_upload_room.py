"""Room for uploads: what has ended takes none of it."""

import os
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from conftest import ALICE, BOB, Core

from app.core.content.store import PostgresContentStore, purge
from app.core.dispatch.pipeline import definition_of
from app.core.jobs.uploads import UploadRoom
from app.core.logic import Orchestrator
from ml_shared.auth.context import hash_key
from ml_shared.contracts.jobs import CallbackAnswer, CallbackStatus, StageCallback
from ml_shared.errors import UnavailableError
from ml_shared.names import Stage
from ml_shared.testing.stages import a_page

MOST_BYTES = 100_000


def key(raw: str) -> dict[str, str]:
    return {"X-API-Key": raw}


async def upload(api: httpx.AsyncClient, body: bytes, raw: str = ALICE) -> httpx.Response:
    return await api.post("/documents", files={"file": ("a.txt", body, "text/plain")}, headers=key(raw))


async def content_store() -> PostgresContentStore:
    from app.main import app

    store: PostgresContentStore = app.state.orchestrator._content
    return store


@pytest.fixture
def store(core: Core) -> PostgresContentStore:
    return PostgresContentStore(core.content_pool, max_bytes=MOST_BYTES)


@pytest.fixture(autouse=True)
def narrow(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "configured" in request.fixturenames:
        monkeypatch.setattr(request.getfixturevalue("configured"), "HIGH_WATER_CONTENT_BYTES", MOST_BYTES)


async def test_what_ended_jobs_left_behind_holds_up_no_upload(api: httpx.AsyncClient, configured: Any) -> None:
    store = await content_store()
    ended, running = [
        (await api.post("/jobs", json={"url": f"http://site.test/{name}"}, headers=key(ALICE))).json()["job_id"]
        for name in ("ended", "running")
    ]
    left, needed = [
        await store.put(f"key:{hash_key(ALICE)}", UUID(job), uuid4(), Stage.SCRAPING, os.urandom(30_000))
        for job in (ended, running)
    ]
    full = await upload(api, b"x" * 1_000, BOB)
    assert (full.status_code, full.json()["code"]) == (503, "uploads_full"), "both may still be needed"
    assert (await api.post(f"/jobs/{ended}/cancel", headers=key(ALICE))).status_code == 200
    await _rested()
    assert (await upload(api, b"x" * 1_000, BOB)).status_code == 202
    assert await store.get(left.content_ref) is None
    assert await store.get(needed.content_ref) is not None


async def _rested() -> None:
    """Let the rest after a look in vain be over."""
    from app.main import app

    app.state.orchestrator.indexing._upload_room._rest_until = 0.0


async def test_the_bytes_of_an_upload_that_is_cancelled_are_forgotten(api: httpx.AsyncClient, configured: Any) -> None:
    for _ in range(3):
        accepted = await upload(api, os.urandom(45_000))
        assert accepted.status_code == 202, accepted.text
        cancelled = await api.post(f"/jobs/{accepted.json()['job_id']}/cancel", headers=key(ALICE))
        assert cancelled.status_code == 200
        assert await (await content_store()).total_bytes() == 0


async def test_the_bytes_of_an_upload_are_kept_until_its_last_stage_has_ended_it_and_room_is_short(
    api: httpx.AsyncClient, configured: Any, fleet: Any
) -> None:
    from app.main import app

    orchestrator = app.state.orchestrator
    job_id = (await upload(api, b"some text")).json()["job_id"]
    ref = (await orchestrator.pool.fetchval("SELECT upload FROM jobs WHERE id = $1", UUID(job_id)))["ref"]
    store = await content_store()
    for stage in (Stage.SCRAPING, Stage.CHUNKING, Stage.EMBEDDING):
        assert await store.get(ref) is not None, "should what is made of it be lost, it is read again"
        await orchestrator.dispatch(stage)
        if stage is not Stage.CHUNKING:  # whose answer is its result
            await _succeed(orchestrator, job_id, stage)
    assert (await api.get(f"/jobs/{job_id}", headers=key(ALICE))).json()["status"] == "completed"
    assert await store.get(ref) is not None, "an end costs no statement more; what it leaves goes where room is short"
    await purge(orchestrator.pool, store, timedelta(0), enough_bytes=1)
    assert await store.get(ref) is None


async def _succeed(orchestrator: Orchestrator, job_id: str, stage: Stage) -> None:
    attempt = str(await orchestrator.pool.fetchval("SELECT attempt_id FROM jobs WHERE id = $1", UUID(job_id)))
    service = definition_of(stage).service
    ref = None
    if stage is Stage.SCRAPING:
        page = a_page("upload:a.txt").model_dump_json().encode()
        ref = (await orchestrator.put_content(service, job_id, attempt, stage, page)).content_ref
    callback = StageCallback(attempt_id=attempt, stage=stage, status=CallbackStatus.SUCCESS, content_ref=ref)
    assert (await orchestrator.complete(service, job_id, callback)).answer == CallbackAnswer()


async def test_a_cancelled_upload_is_cancelled_though_its_bytes_can_not_be_forgotten(
    api: httpx.AsyncClient, configured: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(refs: list[str]) -> int:
        raise UnavailableError("the content database is away")

    job_id = (await upload(api, b"x")).json()["job_id"]
    monkeypatch.setattr(await content_store(), "forget", away)
    cancelled = await api.post(f"/jobs/{job_id}/cancel", headers=key(ALICE))
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    assert "upload_not_forgotten" in caplog.text


async def test_content_whose_job_is_not_there_yet_is_no_ended_jobs(core: Core, store: PostgresContentStore) -> None:
    kept = await store.put("key:a", uuid4(), uuid4(), Stage.SCRAPING, b"of an upload that is just being taken in")
    assert await purge(core.pool, store, timedelta(0)) == 0
    await core.content_pool.execute("UPDATE content SET created_at = now() - interval '1 hour'")
    assert await purge(core.pool, store, timedelta(0)) == 1
    assert await store.get(kept.content_ref) is None


async def test_no_more_is_let_go_than_is_needed(
    core: Core, store: PostgresContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.content.store.PURGE_BATCH", 1)
    for _ in range(4):
        await store.put("key:a", uuid4(), uuid4(), Stage.SCRAPING, os.urandom(10_000))
    await core.content_pool.execute("UPDATE content SET created_at = now() - interval '1 hour'")
    await UploadRoom(core.pool, store).check(5_000, most_kept_bytes=60_000)
    assert await core.content_pool.fetchval("SELECT count(*) FROM content") == 2
