"""A URL can be a key: the page is fetched by it, and no span, log line or audit line has what makes it one."""

from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from request_spans import request_span
from sites import Site

from ml_shared.testing.orchestrator import FakeOrchestrator

CANARY = "c4n4ryOfASignature"
QUERY = f"?page=2&X-Amz-Signature={CANARY}&auth={CANARY}"
TOLD = "?page=***&X-Amz-Signature=***&auth=***"


def _told(spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture) -> str:
    """Everything that was told: spans, and log records with all their fields, the audit trail's included."""
    records = [str(record.__dict__) for record in caplog.records]
    return "\n".join([*(span.to_json() for span in spans.get_finished_spans()), caplog.text, *records])


@pytest.mark.parametrize(
    "case", ["page", "redirect", "gone", "forbidden", "robots that leads away", "cut off", "no URL"]
)
def test_a_scrape_tells_of_its_url_without_the_signature_however_it_ends(
    spans: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
    scrape_task: Any,
    site: Site,
    other: Site,
    orchestrator: FakeOrchestrator,
    case: str,
) -> None:
    caplog.set_level("DEBUG", logger="app")
    url = site.html(f"/page{QUERY}")
    match case:
        case "redirect":
            site.redirect(f"/page{QUERY}", other.html(f"/elsewhere{QUERY}"))
        case "gone":
            site.page(f"/page{QUERY}", status=404)
        case "forbidden":
            site.robots("User-agent: *\nDisallow: /page")
        case "robots that leads away":
            site.redirect("/robots.txt", other.page(f"/robots{QUERY}", "User-agent: *\nAllow: /"))
        case "cut off":
            site.page(f"/page{QUERY}", "half", headers={"content-length": "1000"})
        case "no URL":
            url = f"ftp://127.0.0.1/page{QUERY}"
    scrape_task.apply(kwargs={"job_id": "job-1", "attempt_id": "attempt-1", "url": url})
    callback = orchestrator.wait_for_callback("job-1")
    told = _told(spans, caplog)
    assert CANARY not in told
    urls = {span.attributes["job.url"] for span in spans.get_finished_spans() if "job.url" in span.attributes}
    assert urls == {url.replace(QUERY, TOLD)}
    if case in {"page", "redirect"}:  # the document's identity is the whole URL: who owns the job has it
        assert CANARY in str(orchestrator.contents[callback.content_ref].body)
        assert any(CANARY in hit.path for hit in site.hits)


def test_a_request_tells_of_its_url_without_the_signature(
    spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture, user: httpx.Client, site: Site
) -> None:
    url, traces = site.html(f"/page{QUERY}"), []
    with caplog.at_level("INFO", logger="audit"):
        for path, status in (("/scrape", 200), ("/enqueue", 202)):
            answer = user.post(path, json={"url": url})
            assert answer.status_code == status
            traces.append(answer.headers["x-trace-id"])
    for trace in traces:
        request_span(spans, trace)
    lines = [record.fields["url"] for record in caplog.records if record.name == "audit"]  # type: ignore[attr-defined]
    assert lines == [url.replace(QUERY, TOLD)] * 2
    assert CANARY not in _told(spans, caplog)
