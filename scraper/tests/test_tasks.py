"""The Celery task, applied here; a real worker runs it in `test_worker_process.py`."""

import time
from typing import Any
from unittest.mock import ANY

import pytest
from conftest import left_of
from pages import DOCUMENTATION
from redis.asyncio import Redis
from sites import Site
from stand_ins import CHALLENGES, LOGINS

from ml_shared.contracts.jobs import CallbackStatus, ProgressPhase
from ml_shared.contracts.scraping import ScrapeResult
from ml_shared.names import Stage
from ml_shared.testing.orchestrator import FakeOrchestrator

JOB = {"job_id": "job-1", "attempt_id": "attempt-1", "owner": "key:abc"}


def test_a_jobs_page_is_put_with_the_orchestrator_and_reported(
    scrape_task: Any, orchestrator: FakeOrchestrator, site: Site
) -> None:
    url = site.page("/page", DOCUMENTATION)
    scrape_task.apply(kwargs={"url": url, **JOB, "as_of": None, "submitted_at": "2024-05-06T07:08:09Z"})
    [callback] = orchestrator.callbacks_for("job-1")
    assert (callback.stage, callback.status, callback.attempt_id) == (
        Stage.SCRAPING,
        CallbackStatus.SUCCESS,
        "attempt-1",
    )
    assert callback.host_next_at is not None
    assert callback.stats == {
        "bytes": len(DOCUMENTATION.encode()),
        "title": "Streaming replication — The manual",
        "status_code": 200,
        "final_url": url,
        "rendered": False,
        "not_modified": False,
        "extraction": {"method": ANY, "kept_share": ANY, "warnings": []},
        "look": ANY,
    }
    kept = orchestrator.contents[str(callback.content_ref)]
    assert (kept.job_id, kept.attempt_id, kept.stage) == ("job-1", "attempt-1", "scraping")
    result = ScrapeResult.model_validate_json(kept.body)
    assert result.content.startswith("# Streaming replication")
    assert orchestrator.phases_for("job-1")[0] is ProgressPhase.STARTED


def test_what_was_uploaded_is_read_and_nobody_is_visited(
    scrape_task: Any, orchestrator: FakeOrchestrator, site: Site
) -> None:
    text = "# Hours\n\nThe reading room is open from nine to five, and on Thursdays until eight in the evening."
    ref = orchestrator.keep(text.encode("utf-16"), job_id="job-1", attempt_id="attempt-1", stage="scraping")
    asked = {"url": "upload:hours.md", "content_ref": ref, "upload_type": "text/markdown; charset=utf-16"}
    scrape_task.apply(kwargs={**asked, **JOB, "as_of": None, "submitted_at": "2024-05-06T07:08:09Z"})
    [callback] = orchestrator.callbacks_for("job-1")
    assert (callback.status, callback.error_code, callback.host_next_at) == (CallbackStatus.SUCCESS, None, None)
    result = ScrapeResult.model_validate_json(orchestrator.contents[str(callback.content_ref)].body)
    assert (result.url, result.content_type, result.robots.allowed) == ("upload:hours.md", "text/markdown", True)
    assert result.content.strip() == text
    assert site.hits == []


@pytest.mark.parametrize(
    ("body", "kind", "status", "code"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "image/png", CallbackStatus.FAILED, "unsupported_content_type"),
        (b"%PDF-1.7 not really", "application/octet-stream", CallbackStatus.FAILED, "extraction_failed"),
        (b"<p> </p>", "text/html", CallbackStatus.FAILED, "empty_content"),
        (None, "text/plain", CallbackStatus.DEFERRED, "content_missing"),
    ],
)
def test_an_upload_fails_as_a_page_of_its_kind_does(
    scrape_task: Any, orchestrator: FakeOrchestrator, body: bytes | None, kind: str, status: CallbackStatus, code: str
) -> None:
    ref = "gone"
    if body is not None:
        ref = orchestrator.keep(body, job_id="job-1", attempt_id="attempt-1", stage="scraping")
    asked = {"url": "upload:a", "content_ref": ref, "upload_type": kind}
    scrape_task.apply(kwargs={**asked, **JOB, "as_of": None, "submitted_at": None})
    [callback] = orchestrator.callbacks_for("job-1")
    assert (callback.status, callback.error_code) == (status, code)


def test_a_short_page_goes_with_its_report_and_a_long_one_before_it(
    scrape_task: Any, orchestrator: FakeOrchestrator, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = site.page("/page", DOCUMENTATION)
    scrape_task.apply(kwargs={"url": url, **JOB})
    assert (orchestrator.requests["/content"], orchestrator.requests["/jobs/job-1/complete"]) == (1, 0)
    monkeypatch.setattr("app.worker.callbacks.REPORTED_CONTENT_MAX_BYTES", 100)
    scrape_task.apply(kwargs={"url": url, **JOB, "job_id": "job-2"})
    assert (orchestrator.requests["/content"], orchestrator.requests["/jobs/job-2/complete"]) == (2, 1)
    short, long = (orchestrator.callbacks_for(job_id)[0].content_ref for job_id in ("job-1", "job-2"))
    assert ScrapeResult.model_validate_json(orchestrator.contents[str(long)].body).content.startswith("# Streaming")
    assert short != long


def test_a_page_that_is_longer_than_is_kept_fails_with_that_reason(
    scrape_task: Any, orchestrator: FakeOrchestrator, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orchestrator, "max_content_bytes", 100)
    scrape_task.apply(kwargs={"url": site.page("/page", DOCUMENTATION), **JOB})
    [callback] = orchestrator.callbacks_for("job-1")
    assert (callback.status, callback.error_code) == (CallbackStatus.FAILED, "content_too_large")


@pytest.mark.parametrize(
    ("page", "status", "code"),
    [
        ({"status": 404}, CallbackStatus.FAILED, "http_status"),
        ({"status": 503, "headers": {"retry-after": "50"}}, CallbackStatus.DEFERRED, "http_status"),
        ({"body": "x", "content_type": "application/pdf"}, CallbackStatus.FAILED, "unsupported_content_type"),
        ({"body": "<html></html>"}, CallbackStatus.FAILED, "empty_content"),
        ({"body": CHALLENGES["blocked"]}, CallbackStatus.FAILED, "challenge_page"),
        ({"status": 503, "headers": {"cf-mitigated": "challenge"}}, CallbackStatus.FAILED, "challenge_page"),
        ({"body": LOGINS["a form alone"]}, CallbackStatus.FAILED, "login_required"),
    ],
)
def test_a_page_that_cannot_be_had_is_reported_once_with_its_code(
    scrape_task: Any, orchestrator: FakeOrchestrator, site: Site, page: dict[str, Any], status: str, code: str
) -> None:
    scrape_task.apply(kwargs={"url": site.page("/page", **page), **JOB})
    [callback] = orchestrator.callbacks_for("job-1")
    assert (callback.status, callback.error_code) == (status, code)
    assert callback.host_next_at is not None
    assert callback.retry_after_seconds == (50 if status is CallbackStatus.DEFERRED else None)
    assert site.paths.count("/page") == 1


def test_a_busy_host_gives_the_job_back_with_the_time_to_wait(
    scrape_task: Any, orchestrator: FakeOrchestrator, site: Site
) -> None:
    site.robots("User-agent: *\nCrawl-delay: 20")
    began = time.monotonic()
    scrape_task.apply(kwargs={"url": site.html("/first")})
    scrape_task.apply(kwargs={"url": site.html("/page"), **JOB})
    [callback] = orchestrator.callbacks_for("job-1")
    assert (callback.status, callback.error_code) == (CallbackStatus.DEFERRED, "host_busy")
    assert callback.retry_after_seconds == left_of(20, began)


def test_an_attempt_that_nobody_wants_any_more_fetches_nothing(
    scrape_task: Any, orchestrator: FakeOrchestrator, site: Site
) -> None:
    orchestrator.abandoned.add("attempt-1")
    scrape_task.apply(kwargs={"url": site.html("/page"), **JOB})
    assert (orchestrator.callbacks_for("job-1"), site.hits) == ([], [])


def test_a_job_id_alone_calls_nobody_back(scrape_task: Any, orchestrator: FakeOrchestrator, site: Site) -> None:
    """The specification's sample call: without an attempt it is nobody's hand-out."""
    scrape_task.apply(kwargs={"job_id": "job-123", "url": site.html("/page")})
    assert (orchestrator.completed, orchestrator.reports) == ([], [])
    assert site.paths == ["/robots.txt", "/page"]


def test_the_task_has_its_name_its_limits_and_no_retries_of_a_page_that_is_gone(scrape_task: Any, site: Site) -> None:
    assert scrape_task.name == "scraper.scrape_url"
    configuration = scrape_task.app.conf
    assert (configuration.task_soft_time_limit, configuration.task_time_limit) == (105, 120)
    assert configuration.task_default_queue == "scraper"
    scrape_task.apply(kwargs={"url": site.page("/page", status=404)})
    assert site.paths.count("/page") == 1


async def test_nothing_of_a_page_stays_in_the_broker(scrape_task: Any, site: Site, redis: Redis) -> None:
    secret_word = "unmistakable"
    scrape_task.apply(kwargs={"url": site.html("/page", f"{secret_word} words"), **JOB})
    for key in await redis.keys("*"):
        if await redis.type(key) == b"string":
            assert secret_word.encode() not in (await redis.get(key) or b"")  # its time may have come just now
