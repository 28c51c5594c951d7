"""Every error, every route and every span attribute of the service, held to what the library promises of them."""

from typing import Any

import httpx
import pytest
from conftest import ALICE, EMBEDDING, SCRAPER

import app as service
from ml_shared.testing import attributes_walk, errors_walk, urls_walk
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.models_walk import check_models
from ml_shared.testing.routes_walk import RouteWalk
from ml_shared.testing.values_walk import ValuesWalk


def test_every_error_keeps_the_promises_of_the_tree() -> None:
    errors_walk.walk(service)


@pytest.mark.timeout(1800)
def test_every_route_answers_what_is_wrong_with_a_problem(configured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.main import app

    # the tests of one process share its telemetry, which a service that stops would end
    monkeypatch.setattr("ml_shared.service.shutdown_telemetry", lambda: None)
    with ThreadedServer(app) as server, RouteWalk(app, server.url, ALICE, [SCRAPER, EMBEDDING]) as walk:
        walk.everything()


JOB = {
    "url": "http://site.test/",
    "corpus_name": "docs",
    "metadata": {"a": ["b", 1, 0.5, None]},
    "chunking": {"max_tokens": 512, "overlap_tokens": 64, "strategy": "markdown"},
    "render": "auto",
    "force": True,
}
BATCH = {
    **{name: value for name, value in JOB.items() if name != "url"},
    "urls": ["http://site.test/", "http://b.test/"],
}
CRAWL = {
    **{name: value for name, value in JOB.items() if name != "url"},
    "source": "page",
    "url": "http://site.test/",
    "urls": [],
    "include": ["/docs/*"],
    "exclude": ["*/old/*"],
    "subdomains": False,
    "follow_links": True,
    "max_pages": 10,
    "max_depth": 3,
    "keep_query": False,
    "on_gone": "delete",
    "schedule": {"every": None, "cron": "0 3 * * 1", "timezone": "Europe/Dublin"},
    "dry_run": False,
}
LIST = {**CRAWL, "source": "list", "url": None, "urls": ["http://site.test/"]}
PATCH = {
    **{
        name: CRAWL[name]
        for name in ("include", "exclude", "subdomains", "max_pages", "max_depth", "keep_query", "on_gone", "schedule")
    },
    **{name: CRAWL[name] for name in ("metadata", "chunking", "render")},
    "urls": ["http://site.test/"],
}
DOCUMENT = {
    **{name: value for name, value in JOB.items() if name != "render"},
    "name": "a.md",
    "content": "# A",
    "content_type": "text/markdown",
}
COMPLETE = {
    "attempt_id": "a",
    "stage": "scraping",
    "status": "deferred",
    "content_ref": "c",
    "error_code": "host_busy",
    "error_message": "m",
    "retry_after_seconds": 1.5,
    "host_next_at": "2026-01-01T00:00:00Z",
    "stats": {
        "bytes": 1,
        "document": {"title": "t"},
        "look": {
            "etag": "e",
            "last_modified": "l",
            "content_hash": "h",
            "not_modified": False,
            "document": {"title": "t"},
        },
        "outcome": "new",
        "reused": 1,
        "superseded": False,
    },
}
WEBHOOK = {"url": "http://receiver.test/", "events": ["job.completed", "batch.ended"]}
PROGRESS = {"attempt_id": "a", "stage": "scraping", "phase": "running", "start_id": "s", "done": 1, "total": 2}


@pytest.mark.timeout(1800)
def test_no_value_anywhere_is_a_fault_of_ours(configured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.main import app

    monkeypatch.setattr("ml_shared.service.shutdown_telemetry", lambda: None)
    monkeypatch.setattr("app.api.streaming.LASTS_SECONDS", 0.01)  # a stream of events is no answer to wait for
    limits = (
        *("MAX_OPEN_JOBS_PER_OWNER", "MAX_CRAWLS_PER_OWNER", "MAX_OPEN_RUNS_PER_OWNER", "RATE_LIMIT_CAPACITY"),
        "MAX_WEBHOOKS_PER_OWNER",
    )
    for name in limits:
        monkeypatch.setattr(configured, name, 1_000_000)
    monkeypatch.setattr(configured, "RATE_LIMIT_TIERS", {"default": 1_000_000})
    bodies = {
        "POST /jobs": JOB,
        "POST /documents": DOCUMENT,
        "POST /jobs/batch": BATCH,
        "POST /crawls": CRAWL,
        "PATCH /crawls/{crawl_id}": PATCH,
        "POST /crawls/{crawl_id}/runs": {"force": True},
        "POST /jobs/{job_id}/complete": COMPLETE,
        "POST /jobs/{job_id}/progress": PROGRESS,
        "POST /webhooks": WEBHOOK,
        "PATCH /webhooks/{webhook_id}": {**WEBHOOK, "paused": False},
        "POST /webhooks/{webhook_id}/replay": {"since": "2026-01-01T00:00:00Z", "undelivered_only": True},
        "POST /content/{ref}/start": {**PROGRESS, "stage": "embedding"},
    }
    headers = {"X-API-Key": ALICE}
    with ThreadedServer(app) as server, httpx.Client(base_url=server.url, headers=headers, timeout=30) as client:
        known = {
            "job_id": client.post("/jobs", json=JOB).json()["job_id"],
            "batch_id": client.post("/jobs/batch", json=BATCH).json()["batch_id"],
            "webhook_id": (webhook := client.post("/webhooks", json=WEBHOOK).json()["webhook_id"]),
            "delivery_id": client.post(f"/webhooks/{webhook}/test").json()["delivery_id"],
            "crawl_id": client.post("/crawls", json=LIST).json()["crawl_id"],
            "run": "1",
        }
        with ValuesWalk(app, server.url, ALICE, [SCRAPER, EMBEDDING], bodies=bodies, known=known) as walk:
            assert walk.every_value() > 1_000


def test_every_field_of_a_body_takes_its_own_kind_within_a_bound() -> None:
    from app.main import app

    assert check_models(app) >= 20


def test_every_attribute_that_the_service_sets_is_of_the_vocabulary() -> None:
    assert attributes_walk.walk(service) >= 8


def test_every_url_that_the_service_tells_of_is_told_by_the_one_function() -> None:
    assert urls_walk.walk(service) >= 3
