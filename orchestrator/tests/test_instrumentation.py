"""The spans of the orchestrator, and the order that makes them."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ALICE, SCRAPER, Core, Fleet
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


def test_telemetry_starts_before_anything_that_it_instruments() -> None:
    lines = (Path(__file__).parents[1] / "app" / "main.py").read_text().splitlines()
    code = [line for line in lines if line and not line.startswith(('"""', "#"))]
    assert code[0] == "from instrumentation import init_telemetry"
    assert code[1].startswith("init_telemetry()")


async def test_a_request_has_one_span_with_its_request_id(api: httpx.AsyncClient, spans: InMemorySpanExporter) -> None:
    answer = await api.get("/jobs", headers={"X-API-Key": ALICE, "X-Request-Id": "request-0001"})
    servers = [span for span in spans.get_finished_spans() if span.kind.name == "SERVER"]
    assert len(servers) == 1
    (span,) = servers
    assert span.context is not None
    assert span.attributes is not None
    assert f"{span.context.trace_id:032x}" == answer.headers["X-Trace-Id"]
    assert span.attributes["http.request_id"] == answer.headers["X-Request-Id"] == "request-0001"


async def test_health_and_metrics_make_no_span(api: httpx.AsyncClient, spans: InMemorySpanExporter) -> None:
    for path in ("/health/live", "/metrics"):
        assert (await api.get(path)).status_code == 200
    assert [span.name for span in spans.get_finished_spans() if span.kind.name == "SERVER"] == []


async def test_every_hand_out_is_in_its_jobs_own_trace(
    api: httpx.AsyncClient, fleet: Fleet, spans: InMemorySpanExporter
) -> None:
    from app.main import app

    accepted = await api.post("/jobs", json={"url": "http://site.test/"}, headers={"X-API-Key": ALICE})
    await app.state.orchestrator.dispatch("scraping")
    (dispatch,) = [span for span in spans.get_finished_spans() if span.name == "dispatch.job"]
    assert dispatch.context is not None
    assert dispatch.attributes is not None
    assert f"{dispatch.context.trace_id:032x}" == accepted.headers["X-Trace-Id"]
    assert dispatch.attributes["job.id"] == accepted.json()["job_id"]
    assert dispatch.attributes["job.url"] == "http://site.test/"
    assert fleet.scraper.calls[0].headers["traceparent"].split("-")[1] == accepted.headers["X-Trace-Id"]


async def test_submitting_is_a_span_of_its_own_with_the_job_and_its_corpus(
    api: httpx.AsyncClient, spans: InMemorySpanExporter
) -> None:
    body = {"url": "http://name:word@site.test/", "corpus_name": "docs"}
    refused = await api.post("/jobs", json=body, headers={"X-API-Key": ALICE})
    assert refused.status_code == 422
    accepted = await api.post("/jobs", json={**body, "url": "http://site.test/"}, headers={"X-API-Key": ALICE})
    (span,) = [span for span in spans.get_finished_spans() if span.name == "job.submit"]
    assert dict(span.attributes or {}) == {
        "job.id": accepted.json()["job_id"],
        "job.url": "http://site.test/",
        "corpus.name": "docs",
        "operation": "write",
    }


async def test_a_callback_is_a_span_that_says_with_what_and_where_the_job_failed(
    api: httpx.AsyncClient, fleet: Fleet, spans: InMemorySpanExporter
) -> None:
    from app.main import app

    accepted = await api.post("/jobs", json={"url": "http://site.test/"}, headers={"X-API-Key": ALICE})
    job_id = accepted.json()["job_id"]
    await app.state.orchestrator.dispatch("scraping")
    report = {"attempt_id": fleet.scraper.calls[0].body["attempt_id"], "stage": "scraping"}
    ours = {"X-API-Key": SCRAPER}
    stored = await api.put("/content", params={**report, "job_id": job_id}, content=b"{}", headers=ours)
    assert stored.status_code == 200, stored.text
    failed = {**report, "status": "failed", "error_code": "http_status", "error_message": "404"}
    assert (await api.post(f"/jobs/{job_id}/complete", json=failed, headers=ours)).status_code == 200
    found = {span.name: dict(span.attributes or {}) for span in spans.get_finished_spans()}
    known = {"job.id": job_id, "dispatch.stage": "scraping", "operation": "write"}
    assert found["content.write"] == known
    assert found["job.complete"] == known | {"error.code": "http_status", "failed.stage": "scraping"}


async def test_what_is_done_to_batches_and_jobs_is_a_span_of_its_own(
    api: httpx.AsyncClient, spans: InMemorySpanExporter
) -> None:
    headers = {"X-API-Key": ALICE}
    body = {"urls": ["http://site.test/"], "corpus_name": "docs"}
    batch = (await api.post("/jobs/batch", json=body, headers=headers)).json()
    job_id = batch["jobs"][0]["job_id"]
    assert (await api.post(f"/jobs/{job_id}/cancel", headers=headers)).status_code == 200
    assert (await api.post(f"/batches/{batch['batch_id']}/cancel", headers=headers)).status_code == 200
    assert (await api.post(f"/batches/{batch['batch_id']}/retry", headers=headers)).status_code == 409
    found = {span.name: dict(span.attributes or {}) for span in spans.get_finished_spans()}
    assert found["batch.submit"] == {"corpus.name": "docs", "operation": "write"}
    assert found["job.submit"]["job.id"] == job_id
    assert found["job.cancel"] == {"job.id": job_id, "operation": "write"}
    assert found["batch.cancel"] == {"operation": "write"}
    assert found["batch.retry"] == {"operation": "write", "error.code": "not_retryable"}


async def test_what_is_done_to_a_crawl_is_a_span_of_work_each(
    api: httpx.AsyncClient, spans: InMemorySpanExporter
) -> None:
    headers = {"X-API-Key": ALICE}
    body = {"url": "http://site.test/", "corpus_name": "docs"}
    path = f"/crawls/{(await api.post('/crawls', json=body, headers=headers)).json()['crawl_id']}"
    await api.post(f"{path}/runs/1/cancel", headers=headers)
    assert (await api.post(f"{path}/runs", json={}, headers=headers)).status_code == 202
    assert (await api.delete(path, headers=headers)).status_code == 202
    found = {span.name: dict(span.attributes or {}) for span in spans.get_finished_spans()}
    assert found["crawl.submit"] == {"corpus.name": "docs", "operation": "write"}
    for name in ("run.cancel", "crawl.run", "crawl.delete"):
        assert found[name] == {"operation": "write"}


async def test_no_span_carries_a_key(api: httpx.AsyncClient, spans: InMemorySpanExporter) -> None:
    await api.post("/jobs", json={"url": "http://site.test/"}, headers={"X-API-Key": ALICE})
    assert ALICE not in "".join(span.to_json() for span in spans.get_finished_spans())


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("run/orchestrator.dispatch", ["scraping"]),
        ("run/orchestrator.recover_jobs", []),
        ("run/orchestrator.crawl", []),
        ("run/orchestrator.purge", []),
    ],
)
async def test_a_tasks_span_says_through_which_queue_it_came_and_that_it_writes(
    core: Core, tasks: Any, spans: InMemorySpanExporter, name: str, arguments: list[str]
) -> None:
    getattr(tasks, name.rpartition(".")[2]).apply(args=arguments).get()
    (span,) = [span for span in spans.get_finished_spans() if span.name == name]
    found = dict(span.attributes or {})
    assert (found["queue.name"], found["request.mode"], found["operation"]) == ("orchestration", "async", "write")
