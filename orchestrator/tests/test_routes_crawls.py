"""Crawls and their runs, by HTTP."""

from typing import Any

import httpx
import pytest
from conftest import ALICE, BOB

from ml_shared.web.urls import URL_MAX_CHARACTERS

USER = {"X-API-Key": ALICE}
SITE = {"url": "http://site.test/", "corpus_name": "docs"}


async def ask(
    api: httpx.AsyncClient, method: str, path: str, body: Any = None, raw: str = ALICE, **headers: str
) -> httpx.Response:
    return await api.request(method, path, json=body, headers={"X-API-Key": raw, **headers})


async def begun(api: httpx.AsyncClient, **more: Any) -> str:
    answer = await ask(api, "POST", "/crawls", {**SITE, **more})
    assert answer.status_code == 202, answer.text
    crawl_id: str = answer.json()["crawl_id"]
    return crawl_id


async def test_a_crawl_is_submitted_followed_changed_and_deleted_by_its_owner_alone(api: httpx.AsyncClient) -> None:
    asked = {"include": ["/docs/*"], "schedule": {"every": "24h"}, "max_pages": 7}
    crawl_id = await begun(api, **asked)
    path = f"/crawls/{crawl_id}"
    crawl = (await ask(api, "GET", path)).json()
    assert (crawl["include"], crawl["max_pages"], crawl["last_state"]) == (["/docs/*"], 7, "running")
    assert crawl["next_run_at"] is not None
    run = (await ask(api, "GET", f"{path}/runs/1")).json()
    assert (run["state"], run["trigger"], run["pages"], run["open"]) == ("running", "submitted", 1, 1)
    (page,) = (await ask(api, "GET", f"{path}/runs/1/pages")).json()["items"]
    assert (page["url"], page["state"], page["depth"]) == ("http://site.test/", "open", 0)
    job = (await ask(api, "GET", f"/jobs/{page['job_id']}")).json()
    assert (job["url"], job["corpus_name"]) == ("http://site.test/", "docs")
    for method, other in (
        *(("GET", path), ("PATCH", path), ("DELETE", path), ("POST", f"{path}/runs"), ("GET", f"{path}/runs")),
        *(("GET", f"{path}/runs/1"), ("GET", f"{path}/runs/1/pages"), ("POST", f"{path}/runs/1/cancel")),
        *(("POST", f"{path}/runs/1/confirm"), ("POST", f"{path}/pause"), ("POST", f"{path}/resume")),
    ):
        answer = await ask(api, method, other, {} if method in ("PATCH", "POST") else None, raw=BOB)
        assert (answer.status_code, answer.json()["code"]) == (404, "crawl_not_found"), (method, other)
    assert (await ask(api, "GET", f"{path}/runs/2")).json()["code"] == "run_not_found"
    changed = (await ask(api, "PATCH", path, {"max_pages": 8, "schedule": None})).json()
    assert (changed["max_pages"], changed["include"], changed["schedule"]) == (8, ["/docs/*"], None)
    assert changed["next_run_at"] is None
    assert (await ask(api, "POST", f"{path}/runs", {})).json()["code"] == "run_in_progress"
    assert (await ask(api, "POST", f"{path}/runs/1/confirm")).json()["code"] == "not_held"
    cancelled = (await ask(api, "POST", f"{path}/runs/1/cancel")).json()
    assert (cancelled["state"], cancelled["reasons"]) == ("cancelled", {"skipped": {"cancelled": 1}})
    again = await ask(api, "POST", f"{path}/runs", {"force": True}, **{"Idempotency-Key": "once"})
    assert again.json() == {"crawl_id": crawl_id, "run": 2}
    assert (
        await ask(api, "POST", f"{path}/runs", {"force": True}, **{"Idempotency-Key": "once"})
    ).json() == again.json()
    listed = (await ask(api, "GET", f"{path}/runs", None)).json()["items"]
    assert [(one["run"], one["state"]) for one in listed] == [(2, "running"), (1, "cancelled")]
    assert (await ask(api, "DELETE", f"{path}?documents=delete")).json() == {
        "crawl_id": crawl_id,
        "documents": "delete",
    }
    assert (await ask(api, "GET", path)).status_code == 404
    assert (await ask(api, "GET", "/crawls")).json()["items"] == []


async def test_what_pages_are_made_with_and_the_urls_of_a_list_are_seen_and_changed(api: httpx.AsyncClient) -> None:
    cut = {"max_tokens": 256, "overlap_tokens": 32, "strategy": "sentence"}
    urls = ["http://site.test/a", "http://site.test/b"]
    asked = {"chunking": cut, "metadata": {"team": "docs"}, "render": "auto"}
    path = f"/crawls/{await begun(api, source='list', url=None, urls=urls, **asked)}"
    crawl = (await ask(api, "GET", path)).json()
    assert {name: crawl[name] for name in asked} == asked
    assert (crawl["urls"], crawl["listed"]) == (2, urls)
    wanted = {"chunking": {"max_tokens": 128}, "metadata": {}, "render": "never", "urls": urls[:1]}
    changed = (await ask(api, "PATCH", path, wanted)).json()
    assert changed["chunking"] == {"max_tokens": 128, "overlap_tokens": 64, "strategy": "markdown"}
    assert (changed["metadata"], changed["render"], changed["listed"]) == ({}, "never", urls[:1])
    for body, code in (
        ({"urls": []}, "invalid_request"),
        ({"urls": ["http://a.test/"] * 10_001}, "invalid_request"),
        ({"urls": ["ftp://a.test/"]}, "blocked_scheme"),
        ({"chunking": {"max_tokens": 100, "overlap_tokens": 64}}, "invalid_request"),
        ({"render": "sometimes"}, "invalid_request"),
        ({"chunking": {"colour": "blue"}}, "invalid_request"),
    ):
        answer = await ask(api, "PATCH", path, body)
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert (await ask(api, "GET", path)).json() == changed
    of_site = await begun(api)
    answer = await ask(api, "PATCH", f"/crawls/{of_site}", {"urls": urls})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert "has no `urls`" in answer.text


async def test_a_repeated_crawl_is_answered_alike(api: httpx.AsyncClient) -> None:
    first = await ask(api, "POST", "/crawls", SITE, **{"Idempotency-Key": "once"})
    again = await ask(api, "POST", "/crawls", SITE, **{"Idempotency-Key": "once"})
    assert first.json() == again.json()
    other = await ask(api, "POST", "/crawls", {**SITE, "max_pages": 2}, **{"Idempotency-Key": "once"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_crawls_runs_and_pages_are_paged_with_links(api: httpx.AsyncClient) -> None:
    for _ in range(3):
        crawl_id = await begun(api, source="list", url=None, urls=[f"http://site.test/{name}" for name in "abc"])
    for path, sizes in (("/crawls", [2, 1]), (f"/crawls/{crawl_id}/runs/1/pages", [2, 1])):
        page = await api.get(path, params={"limit": 2}, headers=USER)
        target = page.headers["Link"].partition("<")[2].partition(">")[0]
        rest = await api.get(f"{path}{target}", headers=USER)
        assert [len(one.json()["items"]) for one in (page, rest)] == sizes
    pages = f"/crawls/{crawl_id}/runs/1/pages"
    found = (await api.get(pages, params={"url_prefix": "http://site.test/b"}, headers=USER)).json()["items"]
    assert [one["url"] for one in found] == ["http://site.test/b"]
    assert (await api.get(pages, params={"outcome": "skipped", "reason": "trap"}, headers=USER)).json()["items"] == []


async def test_pausing_lets_a_schedule_rest(api: httpx.AsyncClient) -> None:
    crawl_id = await begun(api, schedule={"cron": "0 3 1 1 *", "timezone": "Europe/Dublin"})
    due = (await ask(api, "GET", f"/crawls/{crawl_id}")).json()["next_run_at"]
    paused = (await ask(api, "POST", f"/crawls/{crawl_id}/pause")).json()
    assert (paused["paused"], paused["next_run_at"]) == (True, None)
    resumed = (await ask(api, "POST", f"/crawls/{crawl_id}/resume")).json()
    assert (resumed["paused"], resumed["next_run_at"]) == (False, due)


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ({}, "invalid_request", "one `url`"),
        ({"url": "http://a.test/", "urls": ["http://a.test/"]}, "invalid_request", "no `urls`"),
        ({"source": "list"}, "invalid_request", "`urls`, at least one"),
        ({"source": "list", "urls": ["http://a.test/"] * 10_001}, "invalid_request", "10000"),
        ({"url": "ftp://a.test/"}, "blocked_scheme", "http"),
        ({"url": "http://a.test/" + "x" * URL_MAX_CHARACTERS}, "invalid_request", "2048"),
        ({"url": "http://a.test/", "max_pages": 100_001}, "invalid_request", "100000"),
        ({"url": "http://a.test/", "max_depth": 51}, "invalid_request", "50"),
        ({"url": "http://a.test/", "include": ["docs"]}, "invalid_request", "begin it with /"),
        ({"url": "http://a.test/", "include": ["/*"] * 101}, "invalid_request", "100"),
        ({"url": "http://a.test/", "schedule": {}}, "invalid_request", "`every` or `cron`"),
        ({"url": "http://a.test/", "schedule": {"every": "1s"}}, "invalid_request", "schedule"),
        ({"url": "http://a.test/", "schedule": {"every": "99999w"}}, "invalid_schedule", "366 days"),
        ({"url": "http://a.test/", "schedule": {"cron": "0 3 * * 9"}}, "invalid_schedule", "day-of-week"),
        ({"url": "http://a.test/", "schedule": {"cron": "0 3 31 2 *"}}, "invalid_schedule", "day-of-month"),
        ({"url": "http://a.test/", "schedule": {"cron": "* * * * * *"}}, "invalid_schedule", "five fields"),
        (
            {"url": "http://a.test/", "schedule": {"cron": "0 3 * * 1", "timezone": "Mars/Olympus"}},
            "invalid_schedule",
            "IANA",
        ),
        ({"url": "http://a.test/", "dry_run": True, "schedule": {"every": "1d"}}, "invalid_request", "dry run"),
        ({"url": "http://a.test/", "colour": "blue"}, "invalid_request", "colour"),
    ],
)
async def test_a_crawl_that_is_none_is_refused_and_says_why(
    api: httpx.AsyncClient, body: dict[str, Any], code: str, told: str
) -> None:
    answer = await ask(api, "POST", "/crawls", body)
    assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
    assert told in answer.text
    assert (await ask(api, "GET", "/crawls")).json()["items"] == []


async def test_a_sixth_run_at_once_and_one_crawl_too_many_are_refused(api: httpx.AsyncClient, configured: Any) -> None:
    from app.main import app

    for _ in range(5):
        await begun(api)
    refused = await ask(api, "POST", "/crawls", SITE)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_open_runs")
    assert int(refused.headers["Retry-After"]) > 0
    app.state.orchestrator.crawling._max_crawls = 5
    refused = await ask(api, "POST", "/crawls", SITE)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_crawls")
    assert len((await ask(api, "GET", "/crawls")).json()["items"]) == 5


async def test_a_run_is_followed_until_it_has_ended_and_not_again(api: httpx.AsyncClient) -> None:
    crawl_id = await begun(api)
    path = f"/crawls/{crawl_id}/runs/1"
    await ask(api, "POST", f"{path}/cancel")
    stream = await ask(api, "GET", f"{path}/events")
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    (last,) = [line for line in stream.text.splitlines() if line.startswith("data: ")]
    assert "event: ended" in stream.text
    assert '"state":"cancelled"' in last
    number = next(line for line in stream.text.splitlines() if line.startswith("id: ")).removeprefix("id: ")
    again = await ask(api, "GET", f"{path}/events", **{"Last-Event-ID": number})
    assert again.status_code == 204
    other = await ask(api, "GET", f"{path}/events", raw=BOB)
    assert (other.status_code, other.json()["code"]) == (404, "crawl_not_found")
