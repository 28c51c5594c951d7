"""The orchestrator's routes, with a real Redis, a real PostgreSQL and a Membership that knows two keys."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from conftest import ALICE, BOB, EMBEDDING, SCRAPER, heard

from ml_shared.testing.servers import RedisServer


def key(raw: str) -> dict[str, str]:
    return {"X-API-Key": raw}


async def submit(api: httpx.AsyncClient, raw: str = ALICE, **body: Any) -> httpx.Response:
    return await api.post("/jobs", json={"url": "http://site.test/a"} | body, headers=key(raw))


async def hand_out(job_id: str) -> str:
    """Claim the job for scraping and return the attempt."""
    from app.core.dispatch.claims import claim
    from app.core.dispatch.pipeline import FIRST
    from app.main import app

    pool = app.state.orchestrator.pool
    (job,) = await claim(pool, FIRST, in_flight=8, high_water=1000, lease_seconds=30)
    assert str(job.job_id) == job_id
    return str(job.attempt_id)


async def test_a_submitted_job_can_be_read_by_its_owner_alone(api: httpx.AsyncClient) -> None:
    accepted = await submit(api, corpus_name="docs", metadata={"team": "a"})
    assert accepted.status_code == 202
    path = f"/jobs/{accepted.json()['job_id']}"
    job = (await api.get(path, headers=key(ALICE))).json()
    assert (job["status"], job["corpus_name"], job["metadata"]) == ("queued", "docs", {"team": "a"})
    assert job["trace_id"] == accepted.headers["X-Trace-Id"]
    other = await api.get(path, headers=key(BOB))
    assert (other.status_code, other.json()["code"]) == (404, "job_not_found")
    assert (await api.get("/jobs", headers=key(BOB))).json()["items"] == []


async def test_a_pass_is_asked_for_as_soon_as_there_is_something_to_do(
    api: httpx.AsyncClient, redis_server: RedisServer
) -> None:
    from app.main import app

    async with heard(redis_server.url) as words:
        job_id = (await submit(api)).json()["job_id"]
        attempt_id = await hand_out(job_id)
        report = {"attempt_id": attempt_id, "stage": "scraping", "status": "success"}
        await api.post(f"/jobs/{job_id}/complete", json=report, headers=key(SCRAPER))
        await app.state.nudger.flush()
    # the next stage has work, and the one before it a free slot; and who follows the job looks at it
    assert words == ["scraping", f"chunking scraping ~{job_id}"]


@pytest.mark.parametrize("path", ["/jobs", "/jobs/0b7e1a52-5c3f-4f0e-9a44-2f7f3d1b8c11", "/content/abc?attempt_id=x"])
@pytest.mark.parametrize("headers", [{}, key("wrong"), {"Authorization": "Bearer wrong"}])
async def test_without_a_valid_key_nothing_is_read(api: httpx.AsyncClient, path: str, headers: dict[str, str]) -> None:
    answer = await api.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert "wrong" not in answer.text


@pytest.mark.parametrize("field", ["job_id", "attempt_id", "owner", "content_ref", "as_of", "submitted_at"])
async def test_a_users_internal_field_is_refused(api: httpx.AsyncClient, field: str) -> None:
    answer = await submit(api, **{field: "2026-01-01T00:00:00Z"})
    assert (answer.status_code, answer.json()["code"]) == (403, "internal_field")


async def test_an_unknown_field_is_named(api: httpx.AsyncClient) -> None:
    answer = await submit(api, colour="blue")
    assert answer.status_code == 422
    assert "colour" in answer.text


@pytest.mark.parametrize(
    "body",
    [
        {"url": "not a url"},
        {"url": "http://user:secret@site.test/"},
        {"url": "http://site.test/" + "a" * 3000},
        {"corpus_name": "no spaces"},
        {"chunking": {"max_tokens": 10}},
        {"chunking": {"max_tokens": 100, "overlap_tokens": 80}},
        {"metadata": {"k": "v" * 20_000}},
        {"metadata": {"k": "\0"}},
    ],
)
async def test_a_wrong_field_is_refused_and_its_value_not_echoed(api: httpx.AsyncClient, body: dict[str, Any]) -> None:
    answer = await submit(api, **body)
    assert answer.status_code == 422
    assert answer.json()["errors"]
    assert "secret" not in answer.text


async def test_internal_routes_refuse_a_users_key(api: httpx.AsyncClient) -> None:
    job_id = (await submit(api)).json()["job_id"]
    attempt = await hand_out(job_id)
    complete = {"attempt_id": attempt, "stage": "scraping", "status": "success", "content_ref": "x"}
    progress = {"attempt_id": attempt, "stage": "scraping", "phase": "started"}
    query = {"job_id": job_id, "attempt_id": attempt, "stage": "scraping"}
    answers = [
        await api.post(f"/jobs/{job_id}/complete", json=complete, headers=key(ALICE)),
        await api.post(f"/jobs/{job_id}/progress", json=progress, headers=key(ALICE)),
        await api.put("/content", content=b"{}", params=query, headers=key(ALICE)),
        await api.get("/content/abc", params={"attempt_id": attempt}, headers=key(ALICE)),
        await api.put("/content", content=b"{}", params=query, headers=key(EMBEDDING)),
    ]
    assert [answer.status_code for answer in answers] == [403] * 5
    assert (await api.get(f"/jobs/{job_id}", headers=key(ALICE))).json()["stages"] == []


async def test_a_service_reports_of_its_own_stage_only(api: httpx.AsyncClient) -> None:
    job_id = (await submit(api)).json()["job_id"]
    body = {"attempt_id": await hand_out(job_id), "stage": "scraping", "status": "success", "content_ref": "x"}
    answer = await api.post(f"/jobs/{job_id}/complete", json=body, headers=key(EMBEDDING))
    assert (answer.status_code, answer.json()["code"]) == (403, "wrong_stage")


async def test_a_worker_reports_puts_content_and_completes(api: httpx.AsyncClient) -> None:
    job_id = (await submit(api)).json()["job_id"]
    attempt = await hand_out(job_id)
    progress = {"attempt_id": attempt, "stage": "scraping", "phase": "started", "a_field_of_a_newer_version": 1}
    answer = await api.post(f"/jobs/{job_id}/progress", json=progress, headers=key(SCRAPER))
    assert answer.json()["lease_seconds"] == 60
    query = {"job_id": job_id, "attempt_id": attempt, "stage": "scraping"}
    stored = await api.put("/content", content=b'{"page": 1}', params=query, headers=key(SCRAPER))
    assert stored.status_code == 200
    body = {
        "attempt_id": attempt,
        "stage": "scraping",
        "status": "success",
        "content_ref": stored.json()["content_ref"],
        "stats": {"bytes": 11},
    }
    first = await api.post(f"/jobs/{job_id}/complete", json=body, headers=key(SCRAPER))
    again = await api.post(f"/jobs/{job_id}/complete", json=body, headers=key(SCRAPER))
    assert (first.json(), again.json()) == ({}, {"duplicate": True})
    job = (await api.get(f"/jobs/{job_id}", headers=key(ALICE))).json()
    assert (job["status"], job["counts"]["bytes"]) == ("chunking", 11)
    late = await api.post(f"/jobs/{job_id}/progress", json=progress, headers=key(SCRAPER))
    assert (late.status_code, late.json()["code"]) == (409, "abandon")
    replaced = await api.put("/content", content=b"{}", params=query, headers=key(SCRAPER))
    assert (replaced.status_code, replaced.json()["code"]) == (409, "abandon")


async def test_content_is_read_by_the_current_attempt_of_its_own_job_only(api: httpx.AsyncClient) -> None:
    job_id = (await submit(api)).json()["job_id"]
    attempt = await hand_out(job_id)
    query = {"job_id": job_id, "attempt_id": attempt, "stage": "scraping"}
    ref = (await api.put("/content", content=b"page", params=query, headers=key(SCRAPER))).json()["content_ref"]
    mine = await api.get(f"/content/{ref}", params={"attempt_id": attempt}, headers=key(EMBEDDING))
    assert (mine.status_code, mine.content) == (200, b"page")
    assert mine.headers["X-Content-SHA256"]
    other = await api.get(f"/content/{ref}", params={"attempt_id": str(uuid4())}, headers=key(EMBEDDING))
    assert (other.status_code, other.json()["code"]) == (404, "content_not_found")


async def test_a_callback_for_no_job_is_final_and_a_404(api: httpx.AsyncClient) -> None:
    body = {"attempt_id": str(uuid4()), "stage": "scraping", "status": "failed", "error_code": "x"}
    for job_id in (str(uuid4()), "not-a-uuid"):
        answer = await api.post(f"/jobs/{job_id}/complete", json=body, headers=key(SCRAPER))
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


async def test_the_open_jobs_of_an_owner_are_bounded(api: httpx.AsyncClient) -> None:
    for number in range(5):
        assert (await submit(api, url=f"http://h{number}.test/")).status_code == 202
    refused = await submit(api)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_open_jobs")
    assert int(refused.headers["Retry-After"]) > 0
    assert (await submit(api, raw=BOB)).status_code == 202


async def test_a_repeated_idempotency_key_makes_one_job(api: httpx.AsyncClient) -> None:
    headers = key(ALICE) | {"Idempotency-Key": "once"}
    first = await api.post("/jobs", json={"url": "http://site.test/"}, headers=headers)
    again = await api.post("/jobs", json={"url": "http://site.test/"}, headers=headers)
    other = await api.post("/jobs", json={"url": "http://site.test/b"}, headers=headers)
    assert first.json() == again.json()
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("sent", [b"\xe9", b"a\tb", b"x" * 256, b""])
async def test_an_idempotency_key_that_is_none_is_refused(api: httpx.AsyncClient, sent: bytes) -> None:
    headers = [(b"X-API-Key", ALICE.encode()), (b"Idempotency-Key", sent)]
    answer = await api.post("/jobs", json={"url": "http://site.test/"}, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "header.idempotency-key")


async def test_lists_are_paged_with_a_link(api: httpx.AsyncClient) -> None:
    for number in range(3):
        await submit(api, url=f"http://h{number}.test/")
    page = await api.get("/jobs", params={"limit": 2, "status": "queued"}, headers=key(ALICE))
    assert len(page.json()["items"]) == 2
    assert 'rel="next"' in page.headers["Link"]
    cursor = page.json()["next_cursor"]
    rest = await api.get("/jobs", params={"cursor": cursor, "status": "queued"}, headers=key(ALICE))
    assert len(rest.json()["items"]) == 1
    assert "Link" not in rest.headers
    target = page.headers["Link"].partition("<")[2].partition(">")[0]
    assert (await api.get(f"/jobs{target}", headers=key(ALICE))).json() == rest.json()
    for another in ({}, {"status": "failed"}, {"status": "queued", "corpus_name": "b"}):
        answer = await api.get("/jobs", params={"cursor": cursor} | another, headers=key(ALICE))
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0.5", "5", "2026-01-01", "2026-01-01T00:00:00"]
)
async def test_a_time_that_no_database_takes_or_that_is_none_is_refused(api: httpx.AsyncClient, time: str) -> None:
    answer = await api.get("/jobs", params={"created_after": time}, headers=key(ALICE))
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "query.created_after")


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2026-01-01t00:00:00.5+01:00"])
async def test_the_ends_of_time_may_be_asked_for(api: httpx.AsyncClient, time: str) -> None:
    answer = await api.get("/jobs", params={"created_after": time}, headers=key(ALICE))
    assert (answer.status_code, answer.json()) == (200, {"items": [], "next_cursor": None})


@pytest.mark.parametrize("job_id", ["nothing", "1" * 64, "%00", "a" * 10_000, "urn:uuid:1", "%7B%7D", "%ED%A0%80"])
async def test_an_id_that_is_none_is_not_found_or_refused(api: httpx.AsyncClient, job_id: str) -> None:
    assert (await api.get(f"/jobs/{job_id}", headers=key(ALICE))).status_code in (404, 422)
    complete = {"attempt_id": "a", "stage": "scraping", "status": "success"}
    for path, body in ((f"/jobs/{job_id}/complete", complete), (f"/jobs/{job_id}/progress", complete)):
        assert (await api.post(path, json=body, headers=key(SCRAPER))).status_code in (404, 422)
    answer = await api.get(f"/content/{job_id}", params={"attempt_id": "a"}, headers=key(EMBEDDING))
    assert answer.status_code in (404, 422)


async def test_a_filter_that_can_not_be_is_refused(api: httpx.AsyncClient) -> None:
    for corpus in ("no spaces", "nul\0"):
        assert (await api.get("/jobs", params={"corpus_name": corpus}, headers=key(ALICE))).status_code == 422


async def test_health_says_what_works(api: httpx.AsyncClient) -> None:
    health = (await api.get("/health")).json()
    assert health["status"] == "ok"
    assert set(health["checks"]) == {"redis", "postgres"}
    assert (await api.get("/health/live")).status_code == 200
    assert b"ml_" in (await api.get("/metrics")).content


async def test_every_route_but_health_and_documentation_needs_a_key(api: httpx.AsyncClient) -> None:
    paths = (await api.get("/openapi.json")).json()["paths"]
    open_to_all = {"/health", "/health/live", "/metrics"}
    refused = {}
    for path, methods in paths.items():
        for method in methods:
            answer = await api.request(method, path.replace("{job_id}", str(uuid4())).replace("{ref}", "r"), json={})
            refused[f"{method} {path}"] = (answer.status_code == 401, path in open_to_all)
    assert all(asked != free for asked, free in refused.values()), refused
