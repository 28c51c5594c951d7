"""One caller's requests hold every connection that they can get; others, and workers' reports, find one."""

import asyncio
from uuid import uuid4

import httpx
import pytest
from conftest import ALICE, BOB, SCRAPER

from ml_shared.auth.context import CallerContext, hash_key
from ml_shared.auth.request import RequestState, bound_request


async def are_held(got: list[int], count: int) -> None:
    """Wait until so many connections are held, and a moment longer: no more come."""
    async with asyncio.timeout(30):
        while len(got) < count:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert len(got) == count


async def test_one_callers_requests_keep_neither_others_nor_workers_out(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.main import app

    # nobody who waits is refused before all of them are there
    monkeypatch.setattr(app.state.orchestrator.pool._places, "_wait_seconds", 120.0)
    released, got = asyncio.Event(), []

    async def hold() -> None:
        async with app.state.orchestrator.pool.acquire():
            got.append(1)
            await released.wait()

    # the routes' own: Membership is asked before a connection is
    for raw in (ALICE, BOB, SCRAPER):
        await api.get("/jobs", headers={"X-API-Key": raw})
    owners = [f"key:{hash_key(raw)}" for raw in (ALICE, "another", "a third")]
    tasks = []
    for owner, count in zip(owners, (3, 6, 8), strict=True):  # two of ten are kept
        ctx = CallerContext(caller_id="x", caller_type="user", owner=owner)
        with bound_request(RequestState("request-0001", ctx=ctx)):
            tasks += [asyncio.create_task(hold()) for _ in range(20)]
            await are_held(got, count)
        if owner == owners[0]:
            # who waits for a connection in vain is answered 503
            accepted = await api.post("/jobs", json={"url": "http://site.test/a"}, headers={"X-API-Key": BOB})
            assert accepted.status_code == 202
    report = {"attempt_id": str(uuid4()), "stage": "scraping", "phase": "running"}
    job_id = accepted.json()["job_id"]
    answer = await api.post(f"/jobs/{job_id}/progress", json=report, headers={"X-API-Key": SCRAPER})
    assert answer.json()["code"] == "abandon", "it was looked up"
    released.set()
    await asyncio.gather(*tasks)
