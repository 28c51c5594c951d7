"""Batches, cancelling and trying again, by HTTP."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import httpx
import pytest
from conftest import ALICE, BOB, SCRAPER, heard
from redis.asyncio import Redis

from app.worker.nudging import CHANNEL
from ml_shared.testing.servers import RedisServer

USER = {"X-API-Key": ALICE}


async def post(api: httpx.AsyncClient, path: str, body: Any = None, raw: str = ALICE, **headers: str) -> httpx.Response:
    return await api.post(path, json=body, headers={"X-API-Key": raw, **headers})


async def test_a_batch_is_submitted_followed_cancelled_and_listed_by_its_owner_alone(api: httpx.AsyncClient) -> None:
    urls = ["http://a.test/", "http://b.test/", "http://a.test/#again"]
    accepted = await post(api, "/jobs/batch", {"urls": urls, "corpus_name": "docs"})
    assert accepted.status_code == 202
    batch = accepted.json()
    assert [job["url"] for job in batch["jobs"]] == urls[:2]
    assert batch["duplicates"] == [{"job_id": batch["jobs"][0]["job_id"], "url": urls[2], "index": 2}]
    path = f"/batches/{batch['batch_id']}"
    view = (await api.get(path, headers=USER)).json()
    assert (view["counts"]["queued"], view["jobs"], view["corpus_name"]) == (2, 2, "docs")
    listed = (await api.get("/jobs", params={"batch_id": batch["batch_id"], "host": "B.test"}, headers=USER)).json()
    assert [job["url"] for job in listed["items"]] == ["http://b.test/"]
    for method, other in (("GET", path), ("POST", f"{path}/cancel"), ("POST", f"{path}/retry")):
        answer = await api.request(method, other, headers={"X-API-Key": BOB})
        assert (answer.status_code, answer.json()["code"]) == (404, "batch_not_found")
    cancelled = (await post(api, f"{path}/cancel")).json()
    assert (cancelled["counts"]["cancelled"], cancelled["progress"]) == (2, 1)
    assert (await post(api, f"{path}/cancel")).json() == cancelled, "a repeat changes nothing"
    assert (await post(api, f"{path}/retry")).json()["code"] == "not_retryable"
    page = await api.get("/batches", params={"limit": 1}, headers=USER)
    assert [item["batch_id"] for item in page.json()["items"]] == [batch["batch_id"]]
    assert (await api.get("/batches", headers={"X-API-Key": BOB})).json()["items"] == []


async def test_batches_are_paged_with_a_link(api: httpx.AsyncClient) -> None:
    for number in range(3):
        await post(api, "/jobs/batch", {"urls": [f"http://h{number}.test/"]})
    page = await api.get("/batches", params={"limit": 2}, headers=USER)
    target = page.headers["Link"].partition("<")[2].partition(">")[0]
    rest = await api.get(f"/batches{target}", headers=USER)
    assert [len(one.json()["items"]) for one in (page, rest)] == [2, 1]


@pytest.mark.parametrize(
    "body",
    [
        {"urls": []},
        {"urls": ["http://a.test/"] * 1_001},
        {"urls": ["http://a.test/", "nothing"]},
        {"urls": "http://a.test/"},
        {"url": "http://a.test/"},
        {"urls": ["http://a.test/"], "colour": "blue"},
    ],
)
async def test_a_batch_that_is_none_is_refused_and_makes_no_job(api: httpx.AsyncClient, body: Any) -> None:
    answer = await post(api, "/jobs/batch", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert (await api.get("/jobs", headers=USER)).json()["items"] == []


async def test_a_batch_and_the_jobs_before_it_are_bounded_together(api: httpx.AsyncClient) -> None:
    await post(api, "/jobs", {"url": "http://a.test/"})
    refused = await post(api, "/jobs/batch", {"urls": [f"http://h{number}.test/" for number in range(5)]})
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_open_jobs")
    assert int(refused.headers["Retry-After"]) > 0
    assert len((await api.get("/jobs", headers=USER)).json()["items"]) == 1


async def test_a_repeated_batch_is_answered_alike_and_asks_for_one_pass(
    api: httpx.AsyncClient, redis_server: RedisServer
) -> None:
    body = {"urls": ["http://a.test/", "http://b.test/"]}
    async with heard(redis_server.url) as words:
        first = await post(api, "/jobs/batch", body, **{"Idempotency-Key": "once"})
        again = await post(api, "/jobs/batch", body, **{"Idempotency-Key": "once"})
    assert first.json() == again.json()
    assert words == ["scraping"]


async def test_a_job_is_cancelled_its_worker_is_told_and_it_is_tried_again(api: httpx.AsyncClient) -> None:
    from test_routes import hand_out

    job_id = (await post(api, "/jobs", {"url": "http://site.test/"})).json()["job_id"]
    attempt = await hand_out(job_id)
    cancelled = await post(api, f"/jobs/{job_id}/cancel")
    assert (cancelled.status_code, cancelled.json()) == (200, {"job_id": job_id, "status": "cancelled"})
    told = await post(
        api,
        f"/jobs/{job_id}/progress",
        {"attempt_id": attempt, "stage": "scraping", "phase": "running"},
        raw=SCRAPER,
    )
    assert (told.status_code, told.json()["code"]) == (409, "abandon")
    retried = await post(api, f"/jobs/{job_id}/retry")
    assert (retried.status_code, retried.json()["retry_of"]) == (202, job_id)
    assert (await post(api, f"/jobs/{job_id}/retry")).json() == retried.json()
    job = (await api.get(f"/jobs/{retried.json()['job_id']}", headers=USER)).json()
    assert (job["retry_of"], job["trace_id"]) == (job_id, retried.headers["X-Trace-Id"])
    assert (await post(api, f"/jobs/{retried.json()['job_id']}/retry")).json()["code"] == "not_retryable"


async def test_what_can_not_be_cancelled_says_why(api: httpx.AsyncClient) -> None:
    from app.main import app

    job_id = (await post(api, "/jobs", {"url": "http://site.test/"})).json()["job_id"]
    pool = app.state.orchestrator.pool
    await pool.execute("UPDATE jobs SET committing = true, attempt_open = true")
    refused = await post(api, f"/jobs/{job_id}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "committing")
    await pool.execute(
        "UPDATE jobs SET placement = 'ended', status = 'completed', ended_at = now(), attempt_open = false"
    )
    refused = await post(api, f"/jobs/{job_id}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "already_ended")
    for wanted in (str(uuid4()), "nothing"):
        for what in ("cancel", "retry"):
            answer = await post(api, f"/jobs/{wanted}/{what}")
            assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


@pytest.mark.parametrize(
    "wanted",
    [{"host": "a b"}, {"host": "a/b"}, {"host": ""}, {"url_prefix": ""}, {"url_prefix": "a\0"}, {"error_code": "A"}],
)
async def test_a_filter_that_can_not_be_is_named(api: httpx.AsyncClient, wanted: dict[str, str]) -> None:
    answer = await api.get("/jobs", params=wanted, headers=USER)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == f"query.{next(iter(wanted))}"


async def test_a_batch_of_a_thousand_takes_less_than_ten_times_one_job(
    api: httpx.AsyncClient, configured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.main import app

    monkeypatch.setattr(app.state.orchestrator.steering, "_max_open_jobs", 10**6)
    monkeypatch.setattr(configured, "MAX_OPEN_JOBS_PER_OWNER", 10**6)

    async def seconds(path: str, body: Any) -> float:
        """Of this process, not of the clock: others work on this machine, too."""
        began = time.process_time()
        assert (await post(api, path, body)).status_code == 202
        return time.process_time() - began

    one = sorted([await seconds("/jobs", {"url": f"http://h{number}.test/"}) for number in range(20)])[10]
    urls = [[f"http://h{number % 50}.test/{lot}/{number}" for number in range(1000)] for lot in range(5)]
    many = sorted([await seconds("/jobs/batch", {"urls": some}) for some in urls])[2]
    print(f"one job: {one * 1000:.1f} ms, a batch of 1,000: {many * 1000:.1f} ms of this process")
    assert many < 100 * one, "as one statement; one by one it would be a thousand times"


@pytest.mark.parametrize(
    ("sent", "applied"),
    [("wait=1", "wait=1"), ('respond-async, Wait="1"; x=y', "wait=1"), ("wait=0", None), ("wait=x", None), ("", None)],
)
async def test_a_submission_waits_as_long_as_its_client_prefers(
    api: httpx.AsyncClient, sent: str, applied: str | None
) -> None:
    answer = await post(api, "/jobs", {"url": "http://site.test/"}, Prefer=sent)
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert answer.headers.get("Preference-Applied") == applied


@pytest.mark.parametrize("heard", [True, False])
async def test_a_submission_that_waits_is_answered_when_its_job_ends(
    api: httpx.AsyncClient, redis_url: str, monkeypatch: pytest.MonkeyPatch, heard: bool
) -> None:
    from app.core.jobs import endings
    from app.main import app

    if heard:
        monkeypatch.setattr(endings, "POLL_SECONDS", 1000)
    waiting = asyncio.create_task(post(api, "/jobs", {"url": "http://site.test/"}, Prefer="wait=600"))
    pool = app.state.orchestrator.pool
    async with asyncio.timeout(20), Redis.from_url(redis_url) as redis:
        while not (app.state.endings.anybody and dict(await redis.pubsub_numsub(CHANNEL)).get(CHANNEL.encode())):
            await asyncio.sleep(0.02)
        job_id = str(await pool.fetchval("SELECT id FROM jobs"))
        if heard:
            assert (await post(api, f"/jobs/{job_id}/cancel")).status_code == 200
        else:
            await pool.execute("SELECT cancel_job(owner, id, stage) FROM jobs")
        answer = await waiting
    assert (answer.status_code, answer.json()) == (202, {"job_id": job_id, "status": "cancelled"})
    assert answer.headers["Preference-Applied"] == "wait=60"


async def test_a_client_that_waits_is_told_of_its_job_when_the_server_stops(api: httpx.AsyncClient) -> None:
    from app.main import app

    waiting = asyncio.create_task(post(api, "/jobs", {"url": "http://site.test/"}, Prefer="wait=60"))
    async with asyncio.timeout(20):
        while not app.state.endings.anybody:
            await asyncio.sleep(0.02)
        waiting.cancel()
        answer = await waiting
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
