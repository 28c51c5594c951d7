"""The API, over HTTP, with the real Redis behind it."""

import asyncio
import threading
import time
import uuid
from typing import Any
from unittest.mock import ANY

import httpx
import pytest
from conftest import ORCHESTRATOR_KEY, OTHER_KEY, ROUNDING_SECONDS, Surroundings, api_client, until
from pages import DOCUMENTATION
from redis.asyncio import Redis
from sites import Site
from stand_ins import CHALLENGES, EMPTIES, LOGINS, MISSING
from test_core_kinds import BINARY

from ml_shared.queues.lists import queue_lists

OTHER = {"X-API-Key": OTHER_KEY}
ORCHESTRATOR = {"X-API-Key": ORCHESTRATOR_KEY}


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


async def test_a_page_comes_back_as_markdown_with_what_is_known_of_it(client: httpx.AsyncClient, site: Site) -> None:
    site.robots("User-agent: *\nAllow: /docs\nDisallow: /\n")
    site.page("/docs/page", DOCUMENTATION, headers={"etag": '"abc"', "last-modified": "Mon, 06 May 2024 07:08:09 GMT"})
    url = site.redirect("/docs/old", "/docs/page")
    response = await client.post("/scrape", json={"url": f"{url}#part", "job_id": "my-own-id"})
    assert response.status_code == 200, response.text
    result = response.json()
    assert result["content"].startswith("# Streaming replication\n")
    assert result | {"content": "", "links": [], "content_hash": "", "fetched_at": "", "robots": {}} == {
        "job_id": "my-own-id",
        "url": f"{url}#part",
        "final_url": site.url("/docs/page"),
        "status_code": 200,
        "title": "Streaming replication — The manual",
        "content": "",
        "content_type": "text/html",
        "language": "en-GB",
        "author": "The documentation team",
        "published_at": "2024-05-06T07:08:09+00:00",
        "canonical_url": "https://docs.example/current/replication.html",
        "links": [],
        "nofollow_links": [],
        "links_left_out": 0,
        "links_too_long": 0,
        "content_hash": "",
        "etag": '"abc"',
        "last_modified": "Mon, 06 May 2024 07:08:09 GMT",
        "bytes_fetched": len(DOCUMENTATION.encode()),
        "fetched_at": "",
        "robots": {},
        "not_modified": False,
        "rendered": False,
        "nofollow": False,
        "pages": [],
        "extraction": {"method": ANY, "kept_share": pytest.approx(0.5, abs=0.1), "warnings": []},
    }
    assert result["robots"]["rule"] == "Allow: /docs"
    assert len(result["content_hash"]) == 64
    for header in ("x-request-id", "ratelimit", "ratelimit-policy"):
        assert header in response.headers


async def test_nobody_gets_in_without_a_key(api: str) -> None:
    async with api_client(api) as stranger:
        for method, path in (("POST", "/scrape"), ("POST", "/enqueue"), ("GET", "/results/x")):
            response = await stranger.request(
                method, path, json={"url": "http://h.example/"} if method == "POST" else None
            )
            assert problem(response)[0] == 401
            response = await stranger.request(method, path, headers={"X-API-Key": "not-a-key-of-anyone"})
            assert response.status_code == 401


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ({"status": 404}, (502, "http_status")),
        ({"body": "%PDF", "content_type": "application/pdf"}, (415, "unsupported_content_type")),
        ({"body": "<html></html>"}, (415, "empty_content")),
        ({"body": EMPTIES["loading"]}, (415, "empty_content")),
        ({"body": CHALLENGES["press and hold"]}, (415, "challenge_page")),
        ({"body": "", "status": 403, "headers": {"cf-mitigated": "challenge"}}, (415, "challenge_page")),
        ({"body": CHALLENGES["press and hold"], "status": 403}, (502, "http_status")),
        ({"body": LOGINS["in German"]}, (415, "login_required")),
        ({"body": BINARY["PNG"]}, (415, "unsupported_content_type")),
        ({"body": BINARY["ZIP"], "content_type": None}, (415, "unsupported_content_type")),
        ({"body": "x" * 11 * 2**20}, (413, "too_large")),
    ],
)
async def test_what_is_wrong_with_a_page_is_told_as_a_problem(
    client: httpx.AsyncClient, site: Site, page: dict[str, Any], expected: tuple[int, str]
) -> None:
    response = await client.post("/scrape", json={"url": site.page("/page", **page)})
    assert problem(response) == expected


async def test_a_page_that_says_that_it_is_missing_comes_with_a_warning(client: httpx.AsyncClient, site: Site) -> None:
    response = await client.post("/scrape", json={"url": site.page("/page", MISSING["not found"])})
    assert (response.status_code, response.json()["extraction"]["warnings"]) == (200, ["looks_missing"])


async def test_a_page_that_is_served_as_text_is_told_as_what_it_is(client: httpx.AsyncClient, site: Site) -> None:
    for content_type, warnings in (("text/plain", ["wrong_content_type"]), (None, [])):
        url = site.page(
            "/page", f"<!doctype html><title>Port</title><p>{'Words of a page. ' * 9}", content_type=content_type
        )
        result = (await client.post("/scrape", json={"url": url})).json()
        assert (result["content_type"], result["title"]) == ("text/html", "Port")
        assert result["extraction"]["warnings"] == warnings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://169.254.169.254/latest/", (422, "blocked_address")),
        ("http://localhost:22/", (422, "blocked_port")),
        ("ftp://site.example/", (422, "blocked_scheme")),
        ("http://user:secret-word@site.example/", (422, "validation_error")),
        ("not a url", (422, "validation_error")),
    ],
)
async def test_a_url_that_may_not_be_fetched_is_refused(
    client: httpx.AsyncClient, url: str, expected: tuple[int, str]
) -> None:
    response = await client.post("/scrape", json={"url": url})
    assert problem(response)[0] == expected[0]
    if expected[1] != "validation_error":
        assert response.json()["code"] == expected[1]
    assert "secret-word" not in response.text


async def test_a_busy_host_is_told_with_the_time_to_wait(client: httpx.AsyncClient, site: Site) -> None:
    site.robots("User-agent: *\nCrawl-delay: 20")
    began = time.monotonic()
    assert (await client.post("/scrape", json={"url": site.html("/first")})).status_code == 200
    response = await client.post("/scrape", json={"url": site.html("/page")})
    assert problem(response) == (429, "host_busy")
    passed = time.monotonic() - began
    assert 20 - passed - ROUNDING_SECONDS <= int(response.headers["retry-after"]) <= 20


async def test_a_slow_page_ends_in_a_504_that_names_the_alternative(
    client: httpx.AsyncClient, site: Site, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "SYNC_TIMEOUT_SECONDS", 0.3)
    over = threading.Event()
    response = await client.post("/scrape", json={"url": site.held("/page", "<p>slow</p>", over)})
    over.set()
    assert problem(response) == (504, "sync_timeout")
    assert "POST /enqueue" in response.json()["detail"]


async def test_an_unknown_field_is_refused(client: httpx.AsyncClient, site: Site) -> None:
    for route in ("/scrape", "/enqueue"):
        response = await client.post(route, json={"url": site.html("/page"), "depth": 3})
        assert response.status_code == 422
        assert "depth" in response.text
    assert site.hits == []


@pytest.mark.parametrize("field", ["job_id", "attempt_id", "owner", "as_of", "submitted_at"])
async def test_a_user_may_not_send_the_orchestrators_fields(
    client: httpx.AsyncClient, site: Site, field: str, redis: Redis
) -> None:
    value = "2024-05-06T07:08:09Z" if field in ("as_of", "submitted_at") else "abc"
    response = await client.post("/enqueue", json={"url": site.html("/page"), field: value})
    assert problem(response) == (403, "internal_field")
    assert [await redis.llen(key) for key in queue_lists("scraper")] == [0, 0, 0, 0]


async def test_an_enqueued_page_waits_for_whoever_asked_and_for_nobody_else(
    client: httpx.AsyncClient, site: Site, redis: Redis
) -> None:
    response = await client.post("/enqueue", json={"url": site.html("/page")})
    assert response.status_code == 202
    answer = response.json()
    assert (answer["job_id"], answer["status"]) == (None, "queued")
    assert answer["queue_epoch"]
    assert [await redis.llen(key) for key in queue_lists("scraper")] == [0, 1, 0, 0], "not among the hand-outs"
    pending = await client.get(f"/results/{answer['task_id']}")
    assert (pending.status_code, pending.json()) == (202, {"task_id": answer["task_id"], "status": "queued"})
    stranger = await client.get(f"/results/{answer['task_id']}", headers=OTHER)
    nothing = await client.get(f"/results/{uuid.uuid4()}")
    assert problem(stranger) == problem(nothing) == (404, "result_not_found")


async def test_the_orchestrator_hands_out_a_job(client: httpx.AsyncClient, site: Site, redis: Redis) -> None:
    sent = {"url": site.html("/page"), "job_id": "job-1", "attempt_id": "attempt-1", "owner": "key:abc", "newer": 1}
    response = await client.post("/enqueue", json=sent, headers=ORCHESTRATOR)
    assert response.status_code == 202, response.text
    assert response.json()["job_id"] == "job-1"
    [message] = await redis.lrange("scraper", 0, -1)
    assert ORCHESTRATOR_KEY.encode() not in message
    # a job's outcome is its callback, so the orchestrator has no need of results
    response = await client.get(f"/results/{response.json()['task_id']}", headers=ORCHESTRATOR)
    assert (response.status_code, response.json()["code"]) == (403, "users_only")


async def test_a_full_queue_is_told_with_the_time_to_wait(
    client: httpx.AsyncClient, surroundings: Surroundings, site: Site, redis: Redis
) -> None:
    await redis.rpush("scraper", *["{}"] * 1_000)
    response = await client.post("/enqueue", json={"url": site.html("/page")})
    assert problem(response) == (429, "queue_full")
    assert response.headers["retry-after"] == "30"
    await redis.delete("scraper")


async def test_health_and_metrics_need_no_key(api: str, site: Site, client: httpx.AsyncClient) -> None:
    await client.post("/scrape", json={"url": site.html("/page")})
    async with api_client(api) as anyone:
        health = await anyone.get("/health")
        assert (health.status_code, health.json()["checks"]["redis"]["status"]) == (200, "ok")
        assert (await anyone.get("/health/live")).status_code == 200
        metrics = (await anyone.get("/metrics")).text
    assert 'ml_scrape_pages_total{operation="write",outcome="success",request_mode="sync"}' in metrics
    assert site.url() not in metrics


async def test_every_action_is_one_line_of_the_audit_trail(
    client: httpx.AsyncClient, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    url = site.page("/page", "<p>some words of a page</p>")
    with caplog.at_level("INFO", logger="audit"):
        await client.post("/scrape", json={"url": url, "job_id": "mine"})
        task_id = (await client.post("/enqueue", json={"url": url})).json()["task_id"]
        await client.get(f"/results/{task_id}")
    records = [record for record in caplog.records if record.name == "audit"]
    assert [record.msg for record in records] == ["scrape_sync_complete", "scrape_enqueued", "result_read"]
    scraped, queued, read = (record.fields for record in records)  # type: ignore[attr-defined]
    assert {"job_id": "mine", "url": url, "bytes": 27, "outcome": "success"}.items() <= scraped.items()
    assert {"task_id": task_id, "url": url}.items() <= queued.items()
    assert read["task_id"] == task_id
    assert "some words" not in str([record.__dict__ for record in records])


async def test_slow_pages_do_not_hold_up_others(client: httpx.AsyncClient, site: Site, other: Site) -> None:
    released = threading.Event()
    slow = asyncio.create_task(client.post("/scrape", json={"url": site.held("/slow", "<p>slow words</p>", released)}))
    await until(lambda: "/slow" in site.paths)
    quick = await client.post("/scrape", json={"url": other.html("/page")})
    assert (quick.status_code, slow.done()) == (200, False)
    released.set()
    assert (await slow).status_code == 200


async def test_one_callers_slow_pages_leave_room_for_anothers(
    client: httpx.AsyncClient, site: Site, other: Site
) -> None:
    released = threading.Event()
    await client.post("/scrape", json={"url": site.html("/first")})  # so that none waits for the robots.txt
    site.hits.clear()
    slow = [site.held(f"/{number}", "<p>slow words</p>", released) for number in range(12)]
    waiting = [asyncio.create_task(client.post("/scrape", json={"url": url})) for url in slow]
    await until(lambda: len(site.paths) == 8 and sum(task.done() for task in waiting) == 4)
    theirs = await client.post("/scrape", json={"url": other.html("/page")}, headers=OTHER)
    assert theirs.status_code == 200
    released.set()
    answers = await asyncio.gather(*waiting)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 4
    assert {problem(answer) for answer in refused} == {(429, "too_many_scrapes")}
    assert {answer.headers["retry-after"] for answer in refused} == {"5"}
    # seats are given back
    assert (await client.post("/scrape", json={"url": other.url("/page")})).status_code == 200


async def test_the_openapi_document_shows_the_contract(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert set(document["paths"]) >= {"/scrape", "/enqueue", "/results/{task_id}", "/health", "/metrics"}
    assert document["info"]["title"] == "CloudCIX ML — scraper"
