"""Batches, cancelling, trying again and waiting, at the gateway."""

import time
import uuid
from typing import Any

import pytest
from conftest import Stage
from e2e_caller import POLL_SECONDS, Caller

pytestmark = pytest.mark.xdist_group("fleet")

JOBS = "/api/orchestrator/jobs"
BATCHES = "/api/orchestrator/batches"


def ended(caller: Caller, batch_id: str, timeout_seconds: float = 240) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_seconds
    while True:
        batch: dict[str, Any] = caller.request("GET", f"{BATCHES}/{batch_id}").json()
        if batch["ended_at"] is not None:
            return batch
        assert time.monotonic() < deadline, batch
        time.sleep(POLL_SECONDS)


def test_a_batch_is_indexed_and_what_failed_of_it_is_tried_again(stage: Stage, caller: Caller) -> None:
    corpus = f"batch-{uuid.uuid4().hex[:8]}"
    urls = [stage.web.add(f"/{corpus}/{number}", "heron", 4) for number in range(3)]
    missing = f"{urls[0]}/not-there"
    answer = caller.request("POST", f"{JOBS}/batch", json={"urls": [*urls, missing, urls[1]], "corpus_name": corpus})
    assert answer.status_code == 202, answer.text
    batch = answer.json()
    assert [(one["index"], one["url"]) for one in batch["duplicates"]] == [(4, urls[1])]
    view = ended(caller, batch["batch_id"])
    assert (view["counts"]["completed"], view["counts"]["failed"], view["progress"]) == (3, 1, 1)
    listed = caller.request("GET", JOBS, params={"batch_id": batch["batch_id"], "error_code": "http_status"}).json()
    assert [job["url"] for job in listed["items"]] == [missing]
    again = caller.request("POST", f"{BATCHES}/{batch['batch_id']}/retry").json()
    assert [job["url"] for job in again["jobs"]] == [missing]
    assert ended(caller, again["batch_id"])["counts"]["failed"] == 1
    assert caller.search("heron", corpus)


def test_a_job_and_a_batch_are_cancelled(stage: Stage, caller: Caller) -> None:
    name = f"cancelled-{uuid.uuid4().hex[:8]}"
    # pages of one host take turns, and the first that has one waits for its answer
    paths = [f"/{name}/{number}" for number in range(50)]
    urls = [stage.web.add(path, "shrike", 5, held=True) for path in paths]
    try:
        batch = caller.request("POST", f"{JOBS}/batch", json={"urls": urls}).json()
        last = batch["jobs"][-1]["job_id"]
        answer = caller.request("POST", f"{JOBS}/{last}/cancel")
        assert (answer.status_code, answer.json()) == (200, {"job_id": last, "status": "cancelled"})
        caller.request("POST", f"{BATCHES}/{batch['batch_id']}/cancel")
        view = ended(caller, batch["batch_id"])
        assert view["counts"]["cancelled"] == len(urls), view
    finally:
        for path in paths:
            stage.web.held[path].set()


def test_a_submission_that_prefers_to_wait_is_answered_with_the_jobs_end(stage: Stage, caller: Caller) -> None:
    url = stage.web.add(f"/wait-{uuid.uuid4().hex[:8]}", "egret", 4)
    answer = caller.request("POST", JOBS, json={"url": url, "corpus_name": "waited"}, headers={"Prefer": "wait=55"})
    assert (answer.status_code, answer.json()["status"]) == (202, "completed"), answer.text
    assert answer.headers["Preference-Applied"] == "wait=55"
