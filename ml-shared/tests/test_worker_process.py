"""A real prefork worker on a real Redis: what only forked children, signals and restarts show."""

import asyncio
import json
import os
import signal
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis import Redis

from ml_shared.contracts.jobs import CallbackStatus, ProgressPhase
from ml_shared.queues.queueing import REQUEST_ID_HEADER
from ml_shared.queues.results import ResultStore
from ml_shared.settings import ServiceSettings
from ml_shared.storage.redis_client import open_redis
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.servers import wait_until
from ml_shared.testing.worker import WorkerProcess

KEY = "sk-the-workers-own-key"
Start = Callable[..., WorkerProcess]
Reserved = Callable[[], str]


@pytest.fixture
def reserved(redis_url: str) -> Reserved:
    """Registers a task without a job, as its `POST /enqueue` does, and returns its id."""
    settings = ServiceSettings(_env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1")

    async def reserve(task_id: str) -> str:
        async with open_redis(redis_url) as client:
            await ResultStore(client, settings).reserve(task_id, "key:a")
        return task_id

    return lambda: asyncio.run(reserve(str(uuid.uuid4())))


@pytest.fixture
def metrics(free_port: int, tmp_path: Path) -> dict[str, str]:
    """What makes a worker serve the metrics of all its processes."""
    (tmp_path / "metrics").mkdir()
    return {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"), "WORKER_METRICS_PORT": str(free_port)}


def _count(metrics: dict[str, str], outcome: str) -> float:
    """How often the stage's task ended so; any way for an empty one."""
    text = httpx.get(f"http://127.0.0.1:{metrics['WORKER_METRICS_PORT']}/metrics", timeout=60).text
    ours = [line for line in text.splitlines() if line.startswith("ml_task_outcomes_total{") and "stage_task" in line]
    return sum(float(line.split()[-1]) for line in ours if f'outcome="{outcome}' in line)


def _job(number: int = 1, **more: str) -> dict[str, str]:
    return {"job_id": f"job-{number}", "attempt_id": f"attempt-{number}", **more}


def test_two_tasks_of_a_child_share_its_loop_and_its_clients(
    start: Start, send: Callable[..., str], redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    with start() as worker:
        send(**_job(1))
        send(**_job(2))
        fake_orchestrator.wait_for_callback("job-1")
        fake_orchestrator.wait_for_callback("job-2")
        first, second = redis.lrange("ended", 0, -1)
        assert first == second
        assert redis.llen("opened") == 1
        assert worker.terminate() == 0
        assert redis.llen("closed") == 1
        assert all(line["service"] == "scraper" for line in worker.lines)
        done = [line for line in worker.lines if line.get("job_id") == "job-1"]
        assert done
        assert KEY not in worker.output


def test_a_soft_limit_ends_a_body_that_never_awaits_and_nothing_of_it_goes_on(
    start: Start, send: Callable[..., str], redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    with start(SOFT_LIMIT="4", HARD_LIMIT="30") as worker:
        send(**_job(1, behaviour="block=20"))
        callback = fake_orchestrator.wait_for_callback("job-1")
        assert (callback.status, callback.error_code) == (CallbackStatus.DEFERRED, "task_timeout")
        send(**_job(2, behaviour="sleep=0.5"))
        assert fake_orchestrator.wait_for_callback("job-2").status is CallbackStatus.SUCCESS
        assert redis.llen("ended") == 1
        assert len(fake_orchestrator.callbacks_for("job-1")) == 1
        assert worker.running


def test_a_task_killed_at_the_hard_limit_is_told_of_by_the_main_process_alone(
    start: Start,
    send: Callable[..., str],
    fake_orchestrator: FakeOrchestrator,
    spans: InMemorySpanExporter,
    metrics: dict[str, str],
) -> None:
    """The kill is announced by the signal that a worker's stop sends too: it must not pass for one, uncounted."""
    with start(SOFT_LIMIT="3", HARD_LIMIT="5", **metrics) as worker:
        with trace.get_tracer("test").start_as_current_span("request") as request:
            send(**_job(1, behaviour="deaf=30"))
        callback = fake_orchestrator.wait_for_callback("job-1")
        assert (callback.status, callback.error_code) == (CallbackStatus.DEFERRED, "task_timeout")
        trace_id = fake_orchestrator.completed[0].headers["traceparent"].split("-")[1]
        assert trace_id == trace.format_trace_id(request.get_span_context().trace_id)
        send(**_job(2))
        fake_orchestrator.wait_for_callback("job-2")
        assert len(fake_orchestrator.callbacks_for("job-1")) == 1
        assert wait_until(lambda: _count(metrics, "success") == 1, 60)
        assert (_count(metrics, "killed"), _count(metrics, "")) == (1, 2)
        assert worker.running


class _MoreThan(set[str]):
    """Attempts that said `started` more often than they may: they are answered `409 abandon`."""

    def __init__(self, fake: FakeOrchestrator, starts: int) -> None:
        self._fake, self._starts = fake, starts

    def __contains__(self, attempt_id: object) -> bool:
        reports = [each.report for each in self._fake.reports if each.report.attempt_id == attempt_id]
        return [report.phase for report in reports].count(ProgressPhase.STARTED) > self._starts


def test_a_killed_child_s_task_runs_again_under_its_attempt_until_the_orchestrator_has_had_enough(
    start: Start, send: Callable[..., str], redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    """Closes the trap of `reject_on_worker_lost`, which alone has no bound on loops."""
    fake_orchestrator.abandoned = _MoreThan(fake_orchestrator, 2)
    with start(concurrency=2) as worker:
        send(**_job(1, behaviour="kill-once", word="once"))
        send(**_job(2, behaviour="kill", word="always"))
        assert fake_orchestrator.wait_for_callback("job-1", 60).status is CallbackStatus.SUCCESS
        fake_orchestrator.wait_until(lambda: len(fake_orchestrator.phases_for("job-2")) == 3, 60)
        # not before: on its way back to the queue a task is for a moment in neither place
        assert wait_until(lambda: redis.llen("scraper") + redis.hlen("unacked") == 0, 60)
        assert worker.running
    began = redis.lrange("began", 0, -1)
    assert (began.count("kill-once:once"), began.count("kill:always")) == (2, 2)
    assert fake_orchestrator.phases_for("job-1") == [ProgressPhase.STARTED] * 2
    assert fake_orchestrator.phases_for("job-2") == [ProgressPhase.STARTED] * 3
    assert [len(fake_orchestrator.callbacks_for(job)) for job in ("job-1", "job-2")] == [1, 0]


@pytest.mark.parametrize(
    ("behaviour", "runs", "code"),
    [("kill", 3, "worker_lost"), ("timeout", 4, "upstream_error")],
    ids=["kills its worker", "passing error"],
)
def test_a_task_without_a_job_comes_to_an_end_and_its_outcome_is_kept(
    start: Start,
    send: Callable[..., str],
    reserved: Reserved,
    redis: Redis,
    redis_url: str,
    behaviour: str,
    runs: int,
    code: str,
) -> None:
    """Celery queues what killed its worker without end; retries are three, by messages with a delay."""
    key = f"ml:results:task:{(task_id := reserved())}"
    with start():
        send(behaviour=behaviour, task_id=task_id, headers={REQUEST_ID_HEADER: "request-0001"})
        assert wait_until(lambda: redis.hget(key, "state") == "done", 60)
    with Redis.from_url(redis_url) as raw:
        problem = json.loads(zlib.decompress(raw.hget(key, "body") or b""))
    assert (problem["code"], problem["request_id"]) == (code, "request-0001")
    assert redis.llen("began") == runs


def test_a_worker_killed_whole_leaves_no_process_and_its_task_comes_again_after_the_visibility_timeout(
    start: Start, send: Callable[..., str], redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    """A job does not wait for that: its lease is far quicker."""
    with start() as worker:
        send(**_job(1, behaviour="once-sleep=60"))
        assert wait_until(lambda: redis.llen("began") == 1, 60)
        children = worker.children()
        os.killpg(worker.pid, signal.SIGKILL)
        psutil.wait_procs([*children], timeout=60)
        assert not any(child.is_running() for child in children)
    assert redis.hlen("unacked") == 1
    assert fake_orchestrator.callbacks_for("job-1") == []
    redis.zadd("unacked_index", dict.fromkeys(redis.zrange("unacked_index", 0, -1), 0))  # as if so long ago
    with start():
        assert fake_orchestrator.wait_for_callback("job-1", 60).status is CallbackStatus.SUCCESS
    assert fake_orchestrator.phases_for("job-1").count(ProgressPhase.STARTED) == 2


def test_a_worker_stops_within_seconds_though_no_collector_listens(
    start: Start, send: Callable[..., str], fake_orchestrator: FakeOrchestrator, free_port: int
) -> None:
    endpoint = f"http://127.0.0.1:{free_port}"
    env = {"OTEL_TRACES_EXPORTER": None, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "LAST_SPANS_SECONDS": "3"}
    with start(**env) as worker:
        send(**_job(1))
        fake_orchestrator.wait_for_callback("job-1")
        assert worker.terminate() == 0  # within WorkerProcess' limit


def test_sigterm_lets_the_running_task_end_and_hands_back_what_was_only_fetched(
    start: Start, send: Callable[..., str], redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    """Celery fetches tasks with a delay at once and holds them in memory."""
    with start() as worker:
        send(**_job(3), countdown=3600)
        assert wait_until(lambda: redis.hlen("unacked") == 1, 60)
        send(**_job(1, behaviour="wait"))
        assert wait_until(lambda: redis.llen("began") == 1, 60)
        send(**_job(2))
        worker.send_signal(signal.SIGTERM)
        worker.wait_for(lambda: "Warm shutdown" in worker.output)
        redis.rpush("go", "now")
        assert worker.wait() == 0
    assert fake_orchestrator.callbacks_for("job-1")[0].status is CallbackStatus.SUCCESS
    assert (redis.llen("scraper"), redis.hlen("unacked"), redis.llen("began")) == (2, 0, 1)


def test_sigquit_as_under_docker_gives_what_is_unfinished_back_uncounted(
    start: Start, send: Callable[..., str], reserved: Reserved, redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    """A restart costs a job no attempt: it says `deferred`, and its message comes again to find that out."""
    with start(concurrency=2, REMAP_SIGTERM="SIGQUIT", SOFT_SHUTDOWN="0.2") as worker:
        send(**_job(1, behaviour="sleep=60", word="job"))
        direct = send(task_id=reserved(), behaviour="once-sleep=60", word="direct")
        assert wait_until(lambda: redis.llen("began") == 2, 60)
        worker.terminate()
        [callback] = fake_orchestrator.callbacks_for("job-1")
        assert (callback.status, callback.error_code) == (CallbackStatus.DEFERRED, "stage_unavailable")
        assert callback.retry_after_seconds == 1
        assert sorted(redis.lrange("cancelled", 0, -1)) == ["direct", "job"]
        assert [line["outcome"] for line in worker.lines if line["event"] == "task ended"] == ["given_back"] * 2
        assert redis.llen("closed") == 2
    assert redis.llen("scraper") == 2
    assert redis.hmget(f"ml:results:task:{direct}", "state", "deliveries") == ["queued", "0"]
    fake_orchestrator.abandoned.add("attempt-1")
    with start(concurrency=2):
        assert wait_until(lambda: redis.llen("scraper") + redis.hlen("unacked") == 0, 60)
    assert redis.lrange("began", 2, -1) == ["once-sleep=60:direct"]
    assert redis.hget(f"ml:results:task:{direct}", "state") == "done"
    assert len(fake_orchestrator.callbacks_for("job-1")) == 1


def test_a_worker_serves_the_metrics_of_all_its_children_recycled_ones_included(
    start: Start,
    send: Callable[..., str],
    redis: Redis,
    fake_orchestrator: FakeOrchestrator,
    metrics: dict[str, str],
    tmp_path: Path,
) -> None:
    (tmp_path / "metrics" / "counter_999999.db").write_bytes(b"\0" * 65536)
    with start(concurrency=2, options=("--max-tasks-per-child=1",), **metrics):
        for number in range(5):
            send(**_job(number))
        for number in range(5):
            fake_orchestrator.wait_for_callback(f"job-{number}")
        assert wait_until(lambda: _count(metrics, "success") == 5, 60, 0.1)
        assert wait_until(lambda: len(list((tmp_path / "metrics").glob("counter_*"))) <= 4, 60, 0.1)
        assert _count(metrics, "success") == 5
        assert wait_until(lambda: redis.llen("closed") == 5, 60, 0.1), "a recycled child closes what it opened"
