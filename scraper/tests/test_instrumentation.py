"""What the spans of a scrape say."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from request_spans import request_span
from sites import Site

from ml_shared.testing.orchestrator import FakeOrchestrator

SERVICE = Path(__file__).parents[1]


def span_named(spans: InMemorySpanExporter, name: str) -> Any:
    return next(span for span in spans.get_finished_spans() if name in span.name)


def test_scrape_task_sets_required_attributes(spans: InMemorySpanExporter, scrape_task: Any, site: Site) -> None:
    url = site.html("/page")
    scrape_task.apply(kwargs={"job_id": "job-123", "url": url})
    for name in ("scrape", "scraper.scrape_url", "scrape.fetch", "scrape.extract"):
        attributes = span_named(spans, name).attributes
        assert attributes["job.id"] == "job-123"
        assert attributes["job.url"] == url
        assert attributes["job.stage"] == "scrape"
        assert attributes["queue.name"] == "scraper"
        assert attributes["request.mode"] == "async"


def test_callback_trace_context_propagates(
    spans: InMemorySpanExporter, scrape_task: Any, site: Site, orchestrator: FakeOrchestrator
) -> None:
    scrape_task.apply(kwargs={"job_id": "job-123", "attempt_id": "attempt-1", "url": site.html("/page")})
    task_span = span_named(spans, "scraper.scrape_url")
    callback_span = span_named(spans, "complete")
    assert callback_span.parent.span_id == task_span.context.span_id
    [received] = orchestrator.completed
    assert f"{task_span.context.trace_id:032x}" in received.headers["traceparent"]


def test_each_page_of_a_pack_has_the_span_that_it_would_have_alone(
    spans: InMemorySpanExporter, scrape_task: Any, site: Site, orchestrator: FakeOrchestrator
) -> None:
    job = {"job_id": "job-123", "attempt_id": "attempt-1", "url": site.html("/page")}
    scrape_task.app.tasks["scraper.scrape_several"].apply(kwargs={"jobs": [{"kwargs": job}]})
    pack, page = span_named(spans, "run/scraper.scrape_several"), span_named(spans, "run/scraper.scrape_url")
    assert pack.attributes["queue.name"] == page.attributes["queue.name"] == "scraper"
    assert page.attributes["job.id"] == "job-123"
    assert [link.context.span_id for link in page.links] == [pack.context.span_id]


def test_fetch_and_extract_are_parts_of_the_task(spans: InMemorySpanExporter, scrape_task: Any, site: Site) -> None:
    scrape_task.apply(kwargs={"url": site.page("/page", "<p>some words of a page</p>")})
    task_span = span_named(spans, "scraper.scrape_url")
    fetch = span_named(spans, "scrape.fetch")
    assert fetch.attributes["scrape.response_bytes"] == len("<p>some words of a page</p>")
    assert "job.id" not in fetch.attributes
    for span in (fetch, span_named(spans, "scrape.extract")):
        assert span.parent.span_id == task_span.context.span_id


def test_rendering_is_a_part_of_the_task_and_says_that_the_renderer_is_away(
    spans: InMemorySpanExporter, scrape_task: Any, site: Site, orchestrator: FakeOrchestrator
) -> None:
    url = site.html("/page")
    scrape_task.apply(kwargs={"job_id": "job-123", "attempt_id": "attempt-1", "url": url, "render": "always"})
    render = span_named(spans, "scrape.render")
    assert render.parent.span_id == span_named(spans, "scraper.scrape_url").context.span_id
    told = ("job.id", "job.url", "job.stage", "queue.name", "request.mode", "error.code")
    expected = ("job-123", url, "scrape", "scraper", "async", "renderer_unavailable")
    assert tuple(render.attributes[name] for name in told) == expected
    (callback,) = orchestrator.callbacks_for("job-123")
    assert (callback.status, callback.error_code) == ("deferred", "renderer_unavailable")
    assert callback.retry_after_seconds == 15


def test_our_trace_is_not_told_to_the_sites_that_we_visit(
    spans: InMemorySpanExporter, scrape_task: Any, site: Site
) -> None:
    scrape_task.apply(kwargs={"url": site.redirect("/a", site.html("/page"))})
    assert len(site.hits) == 3
    for hit in site.hits:
        assert not {"traceparent", "tracestate", "baggage", "x-request-id"} & set(hit.headers)
    urls = {span.attributes.get("http.url") or span.attributes.get("url.full") for span in spans.get_finished_spans()}
    assert not any(url and site.origin in url for url in urls)


def test_a_failure_is_a_code_on_the_span(spans: InMemorySpanExporter, scrape_task: Any, site: Site) -> None:
    scrape_task.apply(kwargs={"url": site.page("/page", status=404)})
    fetch = span_named(spans, "scrape.fetch")
    assert (fetch.attributes["error.code"], fetch.status.is_ok) == ("http_status", False)
    assert fetch.events == ()


@pytest.mark.parametrize("url", ["http://user:secret@127.0.0.1/", "http://user:secret@[nonsense/"])
def test_user_information_is_on_no_span(spans: InMemorySpanExporter, scrape_task: Any, url: str) -> None:
    scrape_task.apply(kwargs={"url": url})
    for span in spans.get_finished_spans():
        if "scrape" in span.name:
            assert "secret" not in str({key: span.attributes[key] for key in span.attributes if key.startswith("job.")})


def test_a_sync_scrape_is_part_of_its_request(spans: InMemorySpanExporter, user: httpx.Client, site: Site) -> None:
    response = user.post("/scrape", json={"url": site.html("/page")})
    assert response.status_code == 200
    fetch = span_named(spans, "scrape.fetch")
    request = request_span(spans, response.headers["x-trace-id"])
    assert request.name == "POST /scrape"
    assert fetch.attributes["request.mode"] == "sync"
    assert "queue.name" not in fetch.attributes
    assert fetch.parent.span_id == request.context.span_id


def test_telemetry_starts_before_fastapi_is_imported(settings: Any) -> None:
    code = """
import sys
import instrumentation
assert "fastapi" not in sys.modules, "instrumentation imports FastAPI before it instruments it"
import app.main
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
assert FastAPIInstrumentor().is_instrumented_by_opentelemetry
assert app.main.app._is_instrumented_by_opentelemetry
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=SERVICE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_shim_is_the_one_of_every_service() -> None:
    lines = [line for line in (SERVICE / "instrumentation.py").read_text().splitlines() if line]
    assert lines[-1] == "from ml_shared.instrumentation import init_telemetry as init_telemetry"
    assert len(lines) == 2
