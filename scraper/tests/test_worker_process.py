"""What a real worker tells of a page that is had and of one that is not: spans, metrics, log lines."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Surroundings
from pages import DOCUMENTATION
from prometheus_client.parser import text_string_to_metric_families

from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.otlp import OtlpReceiver, ReceivedSpan
from ml_shared.testing.servers import free_port, wait_until
from ml_shared.testing.worker import WorkerProcess

SERVICE = Path(__file__).parents[1]
TASK = "run/scraper.scrape_url"
MINE = {"request_mode": "async", "operation": "write"}


@dataclass(frozen=True)
class Told:
    """What a worker told in its life."""

    spans: list[ReceivedSpan]
    metrics: dict[tuple[Any, ...], float]
    lines: list[dict[str, Any]]
    urls: dict[str, str]

    def of_job(self, job_id: str) -> list[ReceivedSpan]:
        """The span of a job's task, and those of all else in its trace."""
        [task] = [span for span in self.spans if span.name == TASK and span.attributes["job.id"] == job_id]
        return [task, *(span for span in self.spans if span.trace_id == task.trace_id and span is not task)]

    def value(self, name: str, **labels: str) -> float:
        return self.metrics[name, *sorted({**MINE, **labels}.items())]


def scraped(port: int) -> dict[tuple[Any, ...], float]:
    """Return the samples of a worker's `/metrics`."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def told(surroundings: Surroundings, orchestrator: FakeOrchestrator, scrape_task: Any, tmp_path: Path) -> Told:
    """A worker's life: one page, one that is gone, and one that robots.txt forbids."""
    site, port = surroundings.site, free_port()
    site.robots("User-agent: *\nDisallow: /private")
    urls = {
        "job-1": site.page("/page", DOCUMENTATION),
        "job-2": site.page("/gone", status=404),
        "job-3": site.html("/private"),
    }
    env = {
        "OTEL_TRACES_EXPORTER": None,
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
        "WORKER_METRICS_PORT": str(port),
    }
    with OtlpReceiver() as receiver:
        env["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.endpoint
        with WorkerProcess("app.worker.celery_app", queue="scraper", folder=SERVICE, env=env) as worker:
            first = scraped(port)
            assert first["ml_scrape_robots_denials_total", *sorted(MINE.items())] == 0, "before the first event"
            for job, url in urls.items():
                kwargs = {"url": url, "job_id": job, "attempt_id": job.replace("job", "attempt"), "owner": "key:abc"}
                scrape_task.apply_async(kwargs=kwargs, queue="scraper")
                orchestrator.wait_for_callback(job)
            ended = {**MINE, "service": "scraper", "task": "scraper.scrape_url"}
            key = ("ml_task_duration_seconds_count", *sorted(ended.items()))
            assert wait_until(lambda: scraped(port).get(key) == 3, 20), "a task is counted after its callback"
            metrics = scraped(port)
            assert worker.terminate() == 0
            lines = worker.lines
        return Told(receiver.spans(), metrics, lines, urls)


def test_a_worker_tells_of_its_jobs_in_traces_metrics_and_log_lines(told: Told, orchestrator: FakeOrchestrator) -> None:
    _check_spans(told)
    _check_callbacks(told, orchestrator)
    _check_metrics(told)
    _check_lines(told)


def _check_spans(told: Told) -> None:
    for job, url in told.urls.items():
        task, *others = told.of_job(job)
        work = [span for span in others if span.name.startswith("scrape.")]
        assert {"scrape.fetch", "scrape.robots"} <= {span.name for span in work}
        for span in (task, *work):
            expected = {"job.id": job, "job.url": url, "job.stage": "scrape", "queue.name": "scraper"}
            assert expected.items() <= span.attributes.items(), span.name
            assert (span.attributes["request.mode"], span.attributes["operation"]) == ("async", "write"), span.name
    task, *others = told.of_job("job-1")
    by_name = {span.name: span for span in others}
    assert by_name["scrape.fetch"].parent_id == by_name["scrape.extract"].parent_id == task.span_id
    assert by_name["scrape.fetch"].attributes["scrape.response_bytes"] == len(DOCUMENTATION.encode())
    for job, code in {"job-2": "http_status", "job-3": "robots_disallowed"}.items():
        task, *others = told.of_job(job)
        [fetch] = [span for span in others if span.name == "scrape.fetch"]
        for span in (task, fetch):
            assert (span.error, span.attributes["failed.stage"]) == (True, "scraping")
            assert span.attributes["error.code"] == code


def _check_callbacks(told: Told, orchestrator: FakeOrchestrator) -> None:
    """Each report is a span below the worker's span, and the orchestrator got it in that trace."""
    for job in told.urls:
        task, *others = told.of_job(job)
        [report] = [span for span in others if span.name == "orchestrator.complete"]
        [call] = [span for span in others if span.parent_id == report.span_id]
        assert report.parent_id == task.span_id
        heard = [received.headers["traceparent"].split("-")[1:3] for received in orchestrator.completed]
        assert [task.trace_id, call.span_id] in heard


def _check_metrics(told: Told) -> None:
    for outcome in ("success", "http_status", "robots_disallowed"):
        assert told.value("ml_scrape_pages_total", outcome=outcome) == 1
    assert told.value("ml_scrape_pages_total", outcome="fetch_timeout") == 0
    assert told.value("ml_scrape_robots_denials_total") == 1
    assert told.value("ml_scrape_fetch_duration_seconds_count") == 3
    assert told.value("ml_scrape_extract_duration_seconds_count") == 1
    assert told.value("ml_scrape_bytes_total") > len(DOCUMENTATION.encode())
    assert told.value("ml_scrape_page_bytes_sum") == len(DOCUMENTATION.encode())


def _check_lines(told: Told) -> None:
    failed = {line["job_id"]: line for line in told.lines if "failed_stage" in line}
    assert {job: line["error_code"] for job, line in failed.items()} == {
        "job-2": "http_status",
        "job-3": "robots_disallowed",
    }
    for job, line in failed.items():
        assert (line["failed_stage"], line["trace_id"]) == ("scraping", told.of_job(job)[0].trace_id)
