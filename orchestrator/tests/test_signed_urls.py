"""A URL can be a key: the job keeps it for its owner and its stage, and no span, log line or audit line has it whole."""

import httpx
import pytest
from conftest import ALICE, SCRAPER, Fleet
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

USER = {"X-API-Key": ALICE}
CANARY = "c4n4ryOfASignature"
URL = f"http://site.test/page?X-Amz-Signature={CANARY}&auth={CANARY}"
TOLD = "http://site.test/page?X-Amz-Signature=***&auth=***"


async def test_a_signed_url_is_the_owners_and_the_stages_and_is_told_of_without_its_signature(
    api: httpx.AsyncClient, fleet: Fleet, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    from app.main import app

    caplog.set_level("INFO", logger="audit")
    caplog.set_level("DEBUG", logger="app")
    job_id = (await api.post("/jobs", json={"url": URL}, headers=USER)).json()["job_id"]
    await app.state.orchestrator.dispatch("scraping")
    call = fleet.scraper.calls[0]
    report = {
        "attempt_id": call.body["attempt_id"],
        "stage": "scraping",
        "status": "failed",
        "error_code": "http_status",
    }
    failed = {**report, "error_message": f"no page at {URL}"}  # of another version: ours quote no URL
    answer = await api.post(f"/jobs/{job_id}/complete", json=failed, headers={"X-API-Key": SCRAPER})
    assert answer.status_code == 200
    job = (await api.get(f"/jobs/{job_id}", headers=USER)).json()
    assert (job["url"], call.body["url"]) == (URL, URL)
    urls = {span.attributes["job.url"] for span in spans.get_finished_spans() if "job.url" in (span.attributes or {})}
    assert urls == {TOLD}
    records = [record.__dict__ for record in caplog.records]
    assert [record["fields"]["url"] for record in records if record["msg"] == "job_submitted"] == [TOLD]
    assert CANARY not in "".join(span.to_json() for span in spans.get_finished_spans())
    assert CANARY not in str(records)
