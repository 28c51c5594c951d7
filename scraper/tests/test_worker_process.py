"""A real worker: what it tells of a page that is had and of one that is not, in spans, metrics and log lines, and what it does
with what was enqueued. One for both, since it takes seconds to start.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from conftest import WAIT_SECONDS, Surroundings
from pages import DOCUMENTATION
from prometheus_client.parser import text_string_to_metric_families

from ml_shared.clients.tls import shared_tls
from ml_shared.contracts.jobs import CallbackStatus
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.otlp import OtlpReceiver, ReceivedSpan
from ml_shared.testing.servers import START_ATTEMPTS, free_port, wait_until
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
        [task] = [span for span in self.spans if span.name == TASK and span.attributes.get("job.id") == job_id]
        return [task, *(span for span in self.spans if span.trace_id == task.trace_id and span is not task)]

    def value(self, name: str, **labels: str) -> float:
        return self.metrics[name, *sorted({**MINE, **labels}.items())]


def scraped(port: int) -> dict[tuple[Any, ...], float]:
    """Return the samples of a worker's `/metrics`."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_SECONDS, verify=shared_tls()).text
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@contextmanager
def worker_with_metrics(env: dict[str, str | None]) -> Iterator[tuple[WorkerProcess, int]]:
    """Run a worker, started as the Compose file does, but with one child; yields it, and its port for metrics."""
    options = ["--max-tasks-per-child=200"]
    for _ in range(START_ATTEMPTS):  # another process may take the port between our look and the start
        port = free_port()
        with WorkerProcess(
            "app.worker.celery_app",
            queue="scraper",
            folder=SERVICE,
            env={**env, "WORKER_METRICS_PORT": str(port)},
            options=options,
        ) as worker:
            if "no worker metrics" not in worker.output:
                yield worker, port
                return
    raise AssertionError("no port was free for the worker's metrics")


@pytest.fixture
def told(
    surroundings: Surroundings, orchestrator: FakeOrchestrator, scrape_task: Any, user: httpx.Client, tmp_path: Path
) -> Told:
    """A worker's life: one page, one that is gone, and one that robots.txt forbids; then what was enqueued."""
    site = surroundings.site
    site.robots("User-agent: *\nDisallow: /private")
    urls = {
        "job-1": site.page("/page", DOCUMENTATION),
        "job-2": site.page("/gone", status=404),
        "job-3": site.html("/private"),
    }
    env = {
        "OTEL_TRACES_EXPORTER": None,
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
    }
    with OtlpReceiver() as receiver:
        env["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.endpoint
        with worker_with_metrics(env) as (worker, port):
            first = scraped(port)
            assert first["ml_scrape_robots_denials_total", *sorted(MINE.items())] == 0, "before the first event"
            for job, url in urls.items():
                kwargs = {"url": url, "job_id": job, "attempt_id": job.replace("job", "attempt"), "owner": "key:abc"}
                scrape_task.apply_async(kwargs=kwargs, queue="scraper")
                orchestrator.wait_for_callback(job, WAIT_SECONDS)
            ended = {**MINE, "service": "scraper", "task": "scraper.scrape_url"}
            key = ("ml_task_duration_seconds_count", *sorted(ended.items()))
            assert wait_until(lambda: scraped(port).get(key) == 3, WAIT_SECONDS), "a task is counted after its callback"
            metrics, lines = scraped(port), worker.lines
            _scrape_what_is_enqueued(user, urls["job-1"], scrape_task, surroundings)
            _end(worker)
        return Told(receiver.spans(), metrics, lines, urls)


def _scrape_what_is_enqueued(user: httpx.Client, url: str, scrape_task: Any, surroundings: Surroundings) -> None:
    """Have a worker read a page, one that is missing, and a sitemap, for a user and for the orchestrator."""
    site, orchestrator = surroundings.site, surroundings.orchestrator

    def answer(**asked: str) -> httpx.Response:
        task_id = user.post("/enqueue", json=asked).json()["task_id"]
        assert wait_until(lambda: user.get(f"/results/{task_id}").status_code != 202, WAIT_SECONDS, 0.1)
        return user.get(f"/results/{task_id}")

    result, failed = answer(url=url), answer(url=site.url("/missing"))
    assert (result.status_code, result.json()["title"]) == (200, "Streaming replication — The manual")
    assert (failed.status_code, failed.json()["code"]) == (502, "http_status")
    site.page("/sitemap.xml", f"<urlset><url><loc>{url}</loc></url></urlset>", content_type="text/xml")
    asked = {"url": site.url("/sitemap.xml"), "purpose": "links"}
    assert [link["url"] for link in answer(**asked).json()["links"]] == [url]
    job = {"attempt_id": "attempt-4", "owner": "key:abc"}
    scrape_task.apply_async(kwargs={"url": url, **job, "job_id": "job-4"}, queue="scraper")
    assert orchestrator.wait_for_callback("job-4", WAIT_SECONDS).status is CallbackStatus.SUCCESS
    scrape_task.apply_async(kwargs={**asked, **job, "job_id": "job-5"}, queue="scraper")
    assert orchestrator.wait_for_callback("job-5", WAIT_SECONDS).stats["links"] == 1


def _end(worker: WorkerProcess) -> None:
    """End it as a deployment does; nothing of it is left."""
    children = worker.children()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(WAIT_SECONDS) == 0
    assert not psutil.wait_procs(children, WAIT_SECONDS)[1]


def test_a_worker_scrapes_and_tells_of_its_jobs_in_traces_metrics_and_log_lines(
    told: Told, orchestrator: FakeOrchestrator
) -> None:
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
