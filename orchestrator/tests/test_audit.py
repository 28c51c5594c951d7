"""Every action of a caller, and every report of a worker that counted, leaves one line in the audit trail."""

import logging
from typing import Any

import httpx
import pytest
from conftest import ALICE, SCRAPER, Fleet

from ml_shared.audit.events import AuditEvent

USER = {"X-API-Key": ALICE}
WORKER = {"X-API-Key": SCRAPER}


@pytest.fixture
def trail(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.INFO, logger="audit")

    def lines() -> list[tuple[str, dict[str, Any]]]:
        """What was written since this was last asked: event, and its fields."""
        found = [(record.msg, record.fields) for record in caplog.records if record.name == "audit"]  # type: ignore[attr-defined]
        caplog.clear()
        return found

    return lines


async def submitted(api: httpx.AsyncClient) -> str:
    answer = await api.post("/jobs", json={"url": "http://site.test/", "corpus_name": "docs"}, headers=USER)
    assert answer.status_code == 202, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


async def test_a_job_that_is_submitted_read_and_listed_is_three_lines(api: httpx.AsyncClient, trail: Any) -> None:
    job_id = await submitted(api)
    [(event, fields)] = trail()
    assert event == AuditEvent.JOB_SUBMITTED
    assert fields.items() >= {"job_id": job_id, "corpus_name": "docs", "outcome": "success"}.items()
    assert (await api.get(f"/jobs/{job_id}", headers=USER)).status_code == 200
    [(event, fields)] = trail()
    assert (event, fields["job_id"]) == (AuditEvent.JOB_READ, job_id)
    assert (await api.get("/jobs", headers=USER)).status_code == 200
    [(event, fields)] = trail()
    assert (event, fields["results"]) == (AuditEvent.JOBS_LISTED, 1)


async def test_a_report_that_counts_is_a_line_and_the_jobs_end_another_and_a_repeated_one_is_none(
    api: httpx.AsyncClient, fleet: Fleet, trail: Any
) -> None:
    from app.main import app

    job_id = await submitted(api)
    await app.state.orchestrator.dispatch("scraping")
    attempt_id = fleet.scraper.calls[0].body["attempt_id"]
    trail()
    stored = await api.put(
        "/content",
        params={"job_id": job_id, "attempt_id": attempt_id, "stage": "scraping"},
        content=b"{}",
        headers=WORKER,
    )
    assert stored.status_code == 200
    assert [event for event, _ in trail()] == [AuditEvent.CONTENT_STORED]
    report = {"attempt_id": attempt_id, "stage": "scraping", "status": "failed", "error_code": "http_status"}
    for expected in ([AuditEvent.STAGE_REPORTED, AuditEvent.JOB_ENDED], []):
        answer = await api.post(f"/jobs/{job_id}/complete", json={**report, "error_message": "404"}, headers=WORKER)
        assert answer.status_code == 200
        lines = trail()
        assert [event for event, _ in lines] == expected
        for _, fields in lines:
            known = {"job_id": job_id, "stage": "scraping", "status": "failed", "error_code": "http_status"}
            assert fields.items() >= known.items()


async def test_the_start_of_an_attempt_is_a_line_and_its_signs_of_life_are_none(
    api: httpx.AsyncClient, fleet: Fleet, trail: Any
) -> None:
    from app.main import app

    job_id = await submitted(api)
    await app.state.orchestrator.dispatch("scraping")
    report = {"attempt_id": fleet.scraper.calls[0].body["attempt_id"], "stage": "scraping"}
    trail()
    for phase, expected in (("started", [AuditEvent.STAGE_STARTED]), ("running", [])):
        answer = await api.post(f"/jobs/{job_id}/progress", json={**report, "phase": phase}, headers=WORKER)
        assert answer.status_code == 200
        lines = trail()
        assert [event for event, _ in lines] == expected
        assert all(fields.items() >= {"job_id": job_id, "stage": "scraping"}.items() for _, fields in lines)


async def test_what_is_done_to_batches_and_jobs_is_a_line_each(api: httpx.AsyncClient, trail: Any) -> None:
    body = {"urls": ["http://a.test/", "http://b.test/", "http://a.test/#x"], "corpus_name": "docs"}
    batch_id = (await api.post("/jobs/batch", json=body, headers=USER)).json()["batch_id"]
    [(event, fields)] = trail()
    assert event == AuditEvent.BATCH_SUBMITTED
    assert fields.items() >= {"batch_id": batch_id, "jobs": 2, "corpus_name": "docs"}.items()
    for path, event, expected in (
        ("GET /batches", AuditEvent.BATCHES_LISTED, {"results": 1}),
        ("GET /stats?hours=6", AuditEvent.STATS_READ, {"hours": 6}),
        (f"GET /batches/{batch_id}", AuditEvent.BATCH_READ, {"batch_id": batch_id, "jobs": 2}),
        (f"POST /batches/{batch_id}/cancel", AuditEvent.BATCH_CANCELLED, {"batch_id": batch_id, "jobs": 2}),
    ):
        method, _, at = path.partition(" ")
        assert (await api.request(method, at, headers=USER)).status_code == 200
        [(told, fields)] = trail()
        assert told == event
        assert fields.items() >= expected.items()
    job_id = await submitted(api)
    trail()
    assert (await api.post(f"/jobs/{job_id}/cancel", headers=USER)).json()["status"] == "cancelled"
    retried = (await api.post(f"/jobs/{job_id}/retry", headers=USER)).json()
    [(cancelled, of), (again, fields)] = trail()
    assert (cancelled, of["job_id"]) == (AuditEvent.JOB_CANCELLED, job_id)
    assert (again, fields["job_id"], fields["retry_of"]) == (AuditEvent.JOB_RETRIED, retried["job_id"], job_id)
