"""A stage's task, run within this process (`task.apply`) against a real Redis and an orchestrator over HTTP."""

import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import ModuleType

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from redis import Redis

from ml_shared.clients import peer
from ml_shared.contracts.jobs import CallbackStatus, ProgressPhase
from ml_shared.names import Stage
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.worker import runtime
from ml_shared.worker.runtime import ChildRuntime

JOB = {"job_id": "job-1", "attempt_id": "attempt-1"}


def test_a_job_gets_started_and_exactly_one_callback(worker: ModuleType, fake_orchestrator: FakeOrchestrator) -> None:
    worker.stage_task.apply(kwargs=JOB)
    assert fake_orchestrator.phases_for("job-1") == [ProgressPhase.STARTED]
    [callback] = fake_orchestrator.callbacks_for("job-1")
    assert (callback.status, callback.attempt_id, callback.content_ref) == (
        CallbackStatus.SUCCESS,
        "attempt-1",
        "ref-1",
    )
    assert callback.stats == {"bytes": 3}
    assert callback.host_next_at == worker.NEXT_AT
    assert fake_orchestrator.completed[0].headers["x-api-key"] == worker.settings.SERVICE_API_KEY.get_secret_value()


async def test_a_task_can_be_applied_within_a_running_loop(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator
) -> None:
    worker.stage_task.apply(kwargs=JOB)
    assert len(fake_orchestrator.callbacks_for("job-1")) == 1


def test_the_task_span_has_the_vocabulary_and_the_callback_is_its_child(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator, spans: InMemorySpanExporter
) -> None:
    headers = {"ml_caller_type": "service", "ml_request_id": "request-0001"}
    worker.stage_task.apply(kwargs=JOB, headers=headers)
    finished = spans.get_finished_spans()
    [task_span] = [span for span in finished if "stage_task" in span.name]
    assert (
        dict(task_span.attributes or {}).items()
        >= {
            "job.id": "job-1",
            "job.url": "https://example.com/a",
            "job.stage": "scrape",
            "queue.name": "scraper",
            "request.mode": "async",
            "caller.type": "service",
            "http.request_id": "request-0001",
        }.items()
    )
    [callback_span] = [span for span in finished if "complete" in span.name]
    assert callback_span.parent is not None
    assert task_span.context is not None
    assert callback_span.parent.span_id == task_span.context.span_id
    trace_id = f"{task_span.context.trace_id:032x}"
    assert fake_orchestrator.completed[0].headers["traceparent"].split("-")[1] == trace_id
    assert "baggage" not in fake_orchestrator.completed[0].headers


def test_a_retryable_error_of_a_job_is_deferred_once_and_not_retried_here(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator, redis: Redis, spans: InMemorySpanExporter
) -> None:
    worker.stage_task.apply(kwargs={**JOB, "behaviour": "retryable"})
    [callback] = fake_orchestrator.callbacks_for("job-1")
    assert (callback.status, callback.error_code) == (CallbackStatus.DEFERRED, "host_busy")
    assert callback.retry_after_seconds == 7
    assert callback.host_next_at == worker.NEXT_AT
    assert redis.llen("began") == 1
    [task_span] = [span for span in spans.get_finished_spans() if "stage_task" in span.name]
    assert (task_span.attributes or {})["error.code"] == "host_busy"
    assert task_span.status.status_code is not StatusCode.ERROR


def test_a_lasting_error_fails_the_job_and_marks_span_and_log(
    worker: ModuleType,
    fake_orchestrator: FakeOrchestrator,
    spans: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        worker.stage_task.apply(kwargs={**JOB, "behaviour": "refuse"})
    [callback] = fake_orchestrator.callbacks_for("job-1")
    assert (callback.status, callback.error_code, callback.error_message) == (
        CallbackStatus.FAILED,
        "empty_content",
        "the page is empty",
    )
    [task_span] = [span for span in spans.get_finished_spans() if "stage_task" in span.name]
    assert task_span.status.status_code is StatusCode.ERROR
    assert (task_span.attributes or {})["failed.stage"] == "scraping"
    assert (task_span.attributes or {})["error.code"] == "empty_content"
    [record] = [record for record in caplog.records if "failed" in record.message]
    assert record.__dict__["failed_stage"] == "scraping"


def test_an_unforeseen_error_fails_the_job_without_its_text(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator
) -> None:
    worker.stage_task.apply(kwargs={**JOB, "behaviour": "crash"})
    [callback] = fake_orchestrator.callbacks_for("job-1")
    assert (callback.status, callback.error_code) == (CallbackStatus.FAILED, "internal_error")
    assert worker.SECRET not in callback.model_dump_json()


def test_an_http_timeout_that_a_body_lets_pass_is_deferred(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator
) -> None:
    worker.stage_task.apply(kwargs={**JOB, "behaviour": "timeout"})
    [callback] = fake_orchestrator.callbacks_for("job-1")
    assert (callback.status, callback.error_code) == (CallbackStatus.DEFERRED, "upstream_error")


def test_an_attempt_that_is_not_wanted_at_its_start_never_runs(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator, redis: Redis
) -> None:
    fake_orchestrator.abandoned.add("attempt-1")
    worker.stage_task.apply(kwargs=JOB)
    assert redis.llen("began") == 0
    assert fake_orchestrator.callbacks_for("job-1") == []


def test_an_attempt_that_is_abandoned_while_it_runs_is_cancelled_without_a_callback(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator, redis: Redis
) -> None:
    fake_orchestrator.abandon_at.add(ProgressPhase.RUNNING)
    worker.stage_task.apply(kwargs={**JOB, "behaviour": "sleep=30"})
    assert redis.lrange("cancelled", 0, -1) == ["w"]
    assert fake_orchestrator.callbacks_for("job-1") == []


@contextmanager
def _ended_when(fake: FakeOrchestrator, redis: Redis, condition: Callable[[], bool]) -> Iterator[None]:
    """Let the body that waits end as soon as a condition holds of what the orchestrator received."""

    def end() -> None:
        with suppress(TimeoutError):
            fake.wait_until(condition)
        redis.rpush("go", "now")

    thread = threading.Thread(target=end)
    thread.start()
    yield
    thread.join()
    assert condition()


def test_the_lease_is_renewed_while_a_body_runs_and_no_longer(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator, redis: Redis
) -> None:
    renewals = fake_orchestrator.renewals_for
    with _ended_when(fake_orchestrator, redis, lambda: renewals("job-1") >= 3):
        worker.stage_task.apply(kwargs={**JOB, "behaviour": "wait"})
    renewed = renewals("job-1")
    with _ended_when(fake_orchestrator, redis, lambda: renewals("job-2") >= 2):
        worker.stage_task.apply(kwargs={**JOB, "behaviour": "wait", "job_id": "job-2"})
    assert renewals("job-1") == renewed
    assert fake_orchestrator.phases_for("job-1") == [ProgressPhase.STARTED]


def test_a_renewal_that_fails_does_not_end_the_attempt(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator, redis: Redis
) -> None:
    class FailsAfterStart(list[int]):
        """Answer `started`, then refuse two renewals."""

        served = 0

        def __bool__(self) -> bool:
            self.served += 1
            return self.served in {2, 3}

        def pop(self, index: object = -1) -> int:
            return 503

    fake_orchestrator.failures = failures = FailsAfterStart()
    with _ended_when(fake_orchestrator, redis, lambda: fake_orchestrator.renewals_for("job-1") >= 1):
        worker.stage_task.apply(kwargs={**JOB, "behaviour": "wait"})
    assert failures.served > 3
    assert fake_orchestrator.callbacks_for("job-1")[0].status is CallbackStatus.SUCCESS


def test_committing_is_asked_before_the_write_and_a_refusal_drops_the_task(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator, redis: Redis
) -> None:
    worker.stage_task.apply(kwargs={**JOB, "behaviour": "commit"})
    assert fake_orchestrator.phases_for("job-1") == [ProgressPhase.STARTED, ProgressPhase.COMMITTING]
    fake_orchestrator.abandon_at.add(ProgressPhase.COMMITTING)
    worker.stage_task.apply(kwargs={"job_id": "job-2", "attempt_id": "attempt-2", "behaviour": "commit"})
    assert fake_orchestrator.callbacks_for("job-2") == []
    assert redis.llen("ended") == 1


def test_an_orchestrator_that_can_not_be_told_of_the_start_means_that_nothing_runs(
    worker: ModuleType,
    fake_orchestrator: FakeOrchestrator,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(peer, "BACKOFF_SECONDS", 0.01)
    fake_orchestrator.status = 503
    worker.stage_task.apply(kwargs=JOB)
    assert redis.llen("began") == 0
    assert any("not started" in record.message for record in caplog.records)


def test_a_start_whose_answer_is_lost_is_said_again_as_the_same_and_another_delivery_s_as_another(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "BACKOFF_SECONDS", 0.01)
    fake_orchestrator.loses_answers = True
    worker.stage_task.apply(kwargs=JOB)
    assert redis.llen("began") == 0
    assert len(fake_orchestrator.reports) > 1
    assert fake_orchestrator.jobs["job-1"].starts[Stage.SCRAPING] == 1
    fake_orchestrator.loses_answers = False
    worker.stage_task.apply(kwargs={**JOB, "behaviour": "refuse"})
    assert fake_orchestrator.jobs["job-1"].starts[Stage.SCRAPING] == 2


def test_a_body_that_takes_too_long_is_ended_and_deferred(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator, redis: Redis
) -> None:
    worker.app.conf.task_soft_time_limit = 0.5
    worker.stage_task.apply(kwargs={**JOB, "behaviour": "sleep=30"})
    [callback] = fake_orchestrator.callbacks_for("job-1")
    assert (callback.status, callback.error_code) == (CallbackStatus.DEFERRED, "task_timeout")
    assert redis.lrange("cancelled", 0, -1) == ["w"]


def test_two_tasks_share_the_loop_and_the_clients(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator, redis: Redis
) -> None:
    worker.stage_task.apply(kwargs=JOB)
    worker.stage_task.apply(kwargs={**JOB, "job_id": "job-2"})
    first, second = redis.lrange("ended", 0, -1)
    assert first == second
    assert redis.llen("opened") == 1


def test_a_task_that_a_body_leaves_running_is_ended_with_it(
    worker: ModuleType, redis: Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "LEFTOVER_GRACE_SECONDS", 0.1)
    worker.stage_task.apply(kwargs={**JOB, "behaviour": "stray"})
    assert any("of its own running" in record.message for record in caplog.records)
    assert redis.llen("strayed") == 0


def test_a_child_without_its_resources_hands_the_job_back(
    worker: ModuleType, fake_orchestrator: FakeOrchestrator, redis: Redis
) -> None:
    @asynccontextmanager
    async def resources() -> AsyncIterator[None]:
        raise ConnectionRefusedError("no database")
        yield

    worker.app.runtime = ChildRuntime(resources)
    worker.stage_task.apply(kwargs=JOB)
    [callback] = fake_orchestrator.callbacks_for("job-1")
    assert (callback.status, callback.error_code) == (CallbackStatus.DEFERRED, "endpoint_unavailable")
    assert "database" not in callback.model_dump_json()
    assert redis.llen("began") == 0


def test_a_plain_task_runs_on_the_same_loop_and_its_span_names_its_queue(
    worker: ModuleType, redis: Redis, spans: InMemorySpanExporter
) -> None:
    worker.plain_task.apply(kwargs={"word": "x"}, throw=True)
    assert redis.lrange("plain", 0, -1) == ["x"]
    [span] = [span for span in spans.get_finished_spans() if "plain_task" in span.name]
    wanted = {"queue.name": "scraper", "request.mode": "async", "operation": "write"}
    assert dict(span.attributes or {}).items() >= wanted.items()


def test_a_plain_task_that_succeeded_is_worth_no_line_and_one_that_failed_is(
    worker: ModuleType, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "ml_shared.worker.celery"):
        worker.plain_task.apply(kwargs={"word": "x"}, throw=True)
        worker.plain_task.apply(kwargs={"word": None})
        worker.stage_task.apply(kwargs=JOB)
    levels = [record.levelname for record in caplog.records if record.message == "task ended"]
    assert levels == ["DEBUG", "INFO", "INFO"]
