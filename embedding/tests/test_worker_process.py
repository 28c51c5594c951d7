"""What a real worker tells of a document that is indexed and of one that is not: spans, metrics, log lines."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.config import Settings
from ml_shared.testing.endpoint import EndpointMode, FakeEndpoint
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.otlp import OtlpReceiver, ReceivedSpan
from ml_shared.testing.servers import free_port, wait_until
from ml_shared.testing.worker import WorkerProcess
from tests.documents import at
from tests.test_tasks import DOCUMENT, content

TASK = "run/embedding.embed_document"
SECRET = "a text that nobody tells"


@dataclass(frozen=True)
class Told:
    """What a worker told in its life."""

    spans: list[ReceivedSpan]
    metrics: dict[tuple[Any, ...], float]
    lines: list[dict[str, Any]]
    orchestrator: FakeOrchestrator

    def of_job(self, job_id: str) -> list[ReceivedSpan]:
        """The spans of a job's task and of all below it."""
        [task] = [span for span in self.spans if span.name == TASK and span.attributes["job.id"] == job_id]
        return [task, *(span for span in self.spans if span.trace_id == task.trace_id and span is not task)]

    def value(self, name: str, **labels: str) -> float:
        return self.metrics[name, *sorted(labels.items())]


def scraped(port: int) -> dict[tuple[Any, ...], float]:
    """Return the samples of a worker's `/metrics`."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def work(
    configured: Settings, redis_url: str, endpoint: FakeEndpoint, fake_orchestrator: FakeOrchestrator, tmp_path: Path
) -> Callable[[], Told]:
    """Start a worker, give it a job that succeeds, the same again, and one that fails; stop it, and read what it told."""

    def hand_out(number: int) -> None:
        from app.worker.tasks import embed_document_task

        job, attempt = f"job-{number}", f"attempt-{number}"
        ref = fake_orchestrator.keep(content("one", SECRET), job_id=job, attempt_id=attempt)
        document = DOCUMENT if number < 3 else {"url": "https://example.com/other"}
        kwargs = {"owner": "acct:7", "corpus_name": f"docs{number // 3}", "document": document}
        times = {"as_of": at(number).isoformat(), "submitted_at": at(0).isoformat()}
        embed_document_task.apply_async(
            kwargs={**kwargs, **times, "job_id": job, "attempt_id": attempt, "content_ref": ref}, queue="embed_jobs"
        )
        fake_orchestrator.wait_for_callback(job)

    def run() -> Told:
        port = free_port()
        with OtlpReceiver() as receiver:
            env = {
                "REDIS_URL": redis_url,
                "DATABASE_URL": configured.DATABASE_URL,
                "EMBEDDING_API_BASE_URL": endpoint.base_url,
                "ORCHESTRATOR_URL": fake_orchestrator.url,
                "OTEL_TRACES_EXPORTER": None,
                "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint,
                "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
                "WORKER_METRICS_PORT": str(port),
                "PYTHONPATH": ".",
            }
            folder = Path(__file__).parent.parent
            with WorkerProcess("app.worker.celery_app", queue="embed_jobs", folder=folder, env=env) as worker:
                assert scraped(port)["ml_embedding_reused_total",] == 0, "before the first event"
                hand_out(1)
                hand_out(2)
                endpoint.behave(EndpointMode.NOT_FINITE)
                hand_out(3)
                ended = ("ml_task_outcomes_total", ("operation", "write"), ("outcome", "failed"))
                ended += (("request_mode", "async"), ("service", "embedding"), ("task", "embedding.embed_document"))  # type: ignore[assignment]
                assert wait_until(lambda: scraped(port).get(ended) == 1, 60), "it is counted after its callback"
                metrics = scraped(port)
                assert worker.terminate() == 0
                lines = worker.lines
            return Told(receiver.spans(), metrics, lines, fake_orchestrator)

    return run


def test_a_worker_tells_of_its_jobs_in_traces_metrics_and_log_lines(work: Callable[[], Told]) -> None:
    told = work()
    _check_spans(told)
    _check_callbacks(told)
    _check_metrics(told)
    _check_lines(told)
    assert SECRET not in repr(told.spans) + repr(told.lines) + repr(told.metrics)


def _check_spans(told: Told) -> None:
    task, *others = told.of_job("job-1")
    required = {"job.stage": "embed", "queue.name": "embed_jobs", "request.mode": "async", "operation": "write"}
    assert {name: task.attributes[name] for name in required} == required
    assert task.attributes["job.url"] == "https://example.com/page"
    for name in ("vectors.reuse", "embed.batch", "vectors.write"):
        [span] = [span for span in others if span.name == name]
        assert span.parent_id == task.span_id
        assert {key: span.attributes[key] for key in ("job.id", "job.stage", "request.mode", "operation")} == {
            "job.id": "job-1",
            "job.stage": "embed",
            "request.mode": "async",
            "operation": "write",
        }
    assert not any(span.error for span in (task, *others))
    failed, *parts = told.of_job("job-3")
    [batch] = [span for span in parts if span.name == "embed.batch"]
    for span in (failed, batch):
        assert (span.error, span.attributes["failed.stage"]) == (True, "embedding")
        assert span.attributes["error.code"] == "invalid_vector"
    assert not [span for span in parts if span.name == "vectors.write"]


def _check_callbacks(told: Told) -> None:
    """Each report is a span below the worker's span, and the orchestrator got it in that trace."""
    for job in ("job-1", "job-3"):
        task, *others = told.of_job(job)
        [report] = [span for span in others if span.name == "orchestrator.complete"]
        [call] = [span for span in others if span.parent_id == report.span_id]
        assert report.parent_id == task.span_id
        heard = [received.headers["traceparent"].split("-")[1:3] for received in told.orchestrator.completed]
        assert [task.trace_id, call.span_id] in heard


def _check_metrics(told: Told) -> None:
    assert told.value("ml_embedding_batches_total", operation="write", outcome="success") == 1
    assert told.value("ml_embedding_batches_total", operation="write", outcome="invalid_vector") == 1
    assert told.value("ml_embedding_texts_total", operation="write") == 2
    assert told.value("ml_embedding_tokens_total", operation="write") == 1 + len(SECRET.split())
    assert told.value("ml_embedding_reused_total") == 2
    assert told.value("ml_embedding_truncations_total") == 0
    assert told.value("ml_vectors_write_seconds_count", operation="write") == 2
    assert told.value("ml_embedding_in_flight") == 0
    # one task at a time, EMBEDDING_CONCURRENCY calls of it
    assert told.value("ml_embedding_in_flight_limit") == 4


def _check_lines(told: Told) -> None:
    [line] = [line for line in told.lines if "failed_stage" in line]
    assert (line["failed_stage"], line["job_id"], line["error_code"]) == ("embedding", "job-3", "invalid_vector")
    assert line["trace_id"] == told.of_job("job-3")[0].trace_id
    ended = {line["job_id"]: line for line in told.lines if line["event"] == "task ended"}
    assert set(ended) == {"job-1", "job-2", "job-3"}
    assert all(len(line["trace_id"]) == 32 for line in ended.values())
