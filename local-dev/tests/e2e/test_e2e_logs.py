"""One trace id finds the lines of every service, and of the gateway."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Stage
from e2e_caller import Caller

from ml_shared.testing.servers import wait_until

pytestmark = pytest.mark.xdist_group("fleet")
THEIRS = "4bf92f3577b34da6a3ce929d0e0e4736"
SERVICES = {"orchestrator", "scraper", "embedding"}
"""Those that have something to say of a job that goes well, each with its job's id: chunking answers a request."""


PATIENCE_SECONDS = 60.0


def lines(stage: Stage, words: str) -> list[dict[str, Any]]:
    """Every JSON line with these words that a process of the fleet has logged, the gateway's included."""
    texts = (_text(path) for path in stage.fleet.layout.logs.rglob("*"))
    return [json.loads(line) for text in texts for line in text.splitlines() if line.startswith("{") and words in line]


def _text(path: Path) -> str:
    return path.read_text(errors="replace").rpartition("\n")[0] if path.is_file() else ""


def of_trace(stage: Stage, trace_id: str) -> list[dict[str, Any]]:
    return [line for line in lines(stage, trace_id) if line.get("trace_id") == trace_id]


def test_a_jobs_trace_id_finds_its_lines_in_every_service_with_its_id(stage: Stage, caller: Caller) -> None:
    accepted = caller.submit(stage.web.add("/logged", "dunnock", 11), "logged")
    job_id, trace_id = accepted.json()["job_id"], accepted.headers["X-Trace-Id"]
    assert caller.wait(job_id)["status"] == "completed"

    def told() -> set[str]:
        found = of_trace(stage, trace_id)
        return {line["service"] for line in found if line.get("job_id") == job_id or line["service"] == "chunking"}

    assert wait_until(lambda: told() >= {*SERVICES, "chunking"}, PATIENCE_SECONDS, 0.2), told()


def test_a_failure_is_logged_with_its_stage_its_job_and_its_trace(stage: Stage, caller: Caller) -> None:
    accepted = caller.submit(stage.web.url("/gone-for-good"))
    job_id, trace_id = accepted.json()["job_id"], accepted.headers["X-Trace-Id"]
    assert caller.wait(job_id)["status"] == "failed"

    def failures() -> list[dict[str, Any]]:
        return [line for line in of_trace(stage, trace_id) if line.get("failed_stage") == "scraping"]

    assert wait_until(lambda: "ERROR" in {line["level"] for line in failures()}, PATIENCE_SECONDS, 0.2), failures()
    assert {line["job_id"] for line in failures()} == {job_id}
    assert {line["error_code"] for line in failures()} == {"http_status"}


def test_the_gateways_line_has_the_trace_and_the_request_id_of_the_services_lines(stage: Stage, caller: Caller) -> None:
    """A client's own trace is not gone on with: nobody outside may choose where our spans are found."""
    answer = caller.request(
        "GET", "/api/orchestrator/jobs", headers={"traceparent": f"00-{THEIRS}-00f067aa0ba902b7-01"}
    )
    known = {"trace_id": answer.headers["X-Trace-Id"], "request_id": answer.headers["X-Request-Id"]}
    assert known["trace_id"] != THEIRS

    def told(wanted: str) -> bool:
        found = of_trace(stage, known["trace_id"])
        return any(wanted in line and known.items() <= line.items() for line in found)

    assert wait_until(lambda: told("upstream_addr"), PATIENCE_SECONDS, 0.2), "nginx's line"
    assert wait_until(lambda: told("service"), PATIENCE_SECONDS, 0.2), "the audit line"
