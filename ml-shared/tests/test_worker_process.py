"""A real prefork worker on a real Redis: what only forked children, signals and restarts show."""

import asyncio
import json
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis import Redis

from ml_shared.contracts.jobs import CallbackStatus, ProgressPhase
from ml_shared.contracts.queueing import PendingResult
from ml_shared.names import Queue
from ml_shared.queueing import REQUEST_ID_HEADER
from ml_shared.redis_client import open_redis
from ml_shared.results import ResultStore, StoredResult
from ml_shared.settings import ServiceSettings
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.otlp import OtlpReceiver
from ml_shared.testing.servers import RedisServer, wait_until
from ml_shared.testing.worker import WorkerProcess
from ml_shared.worker.celery import build_celery_app

FOLDER = Path(__file__).parent
KEY = "sk-the-workers-own-key"
Start = Callable[..., AbstractContextManager[WorkerProcess]]


@pytest.fixture
def redis(redis_url: str) -> Iterator["Redis"]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def start(redis_url: str, fake_orchestrator: FakeOrchestrator, tmp_path: Path) -> Start:
    def start_worker(*, concurrency: int = 1, options: tuple[str, ...] = (), **env: str | None) -> WorkerProcess:
        values = {
            "REDIS_URL": redis_url,
            "ORCHESTRATOR_URL": fake_orchestrator.url,
            "SERVICE_API_KEY": KEY,
            "SERVICE_NAME": "scraper",
            "LEASE_RENEW_SECONDS": "1",
            "WORKER_METRICS_PORT": "0",
            "PYTHONWARNINGS": "error::RuntimeWarning",
            **env,
        }
        return WorkerProcess(
            "worker_app", queue="scraper", folder=FOLDER, env=values, concurrency=concurrency, options=options
        )

    return start_worker


@pytest.fixture
def send(redis_url: str) -> Iterator[Callable[..., str]]:
    settings = ServiceSettings(
        _env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1", REDIS_URL=redis_url
    )
    app = build_celery_app(settings, queue=Queue.SCRAPER, include=[], resources=nullcontext)

    def send_task(*, task_id: str | None = None, headers: dict[str, str] | None = None, **kwargs: Any) -> str:
        task_id = task_id or str(uuid.uuid4())
        app.send_task("probe.stage_task", kwargs=kwargs, task_id=task_id, queue="scraper", headers=headers)
        return task_id

    yield send_task
    app.close()


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
    with start(SOFT_LIMIT="2", HARD_LIMIT="30") as worker:
        send(**_job(1, behaviour="block=20"))
        callback = fake_orchestrator.wait_for_callback("job-1")
        assert (callback.status, callback.error_code) == (CallbackStatus.DEFERRED, "task_timeout")
        send(**_job(2, behaviour="sleep=0.5"))
        assert fake_orchestrator.wait_for_callback("job-2").status is CallbackStatus.SUCCESS
        assert redis.llen("ended") == 1
        assert len(fake_orchestrator.callbacks_for("job-1")) == 1
        assert worker.running


def test_a_soft_limit_that_strikes_while_the_loop_waits_cancels_the_body(
    start: Start, send: Callable[..., str], redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    """The body's own limit comes first; here the signal does, from outside."""
    with start(SOFT_LIMIT="60", HARD_LIMIT="90") as worker:
        send(**_job(1, behaviour="sleep=50", word="first"))
        assert wait_until(lambda: redis.llen("began") == 1, 20)
        [child] = worker.children()
        child.send_signal(signal.SIGUSR1)  # how Celery's main process tells a child of its soft limit
        callback = fake_orchestrator.wait_for_callback("job-1")
        assert callback.error_code == "task_timeout"
        assert redis.lrange("cancelled", 0, -1) == ["first"]
        send(**_job(2))
        assert fake_orchestrator.wait_for_callback("job-2").status is CallbackStatus.SUCCESS


def test_a_task_killed_at_the_hard_limit_is_told_of_by_the_main_process(
    start: Start, send: Callable[..., str], fake_orchestrator: FakeOrchestrator, spans: InMemorySpanExporter
) -> None:
    with start(SOFT_LIMIT="1", HARD_LIMIT="2") as worker:
        with trace.get_tracer("test").start_as_current_span("request") as request:
            send(**_job(1, behaviour="deaf=30"))
        callback = fake_orchestrator.wait_for_callback("job-1")
        assert (callback.status, callback.error_code) == (CallbackStatus.DEFERRED, "task_timeout")
        trace_id = fake_orchestrator.completed[0].headers["traceparent"].split("-")[1]
        assert trace_id == trace.format_trace_id(request.get_span_context().trace_id)
        send(**_job(2))
        fake_orchestrator.wait_for_callback("job-2")
        assert len(fake_orchestrator.callbacks_for("job-1")) == 1
        assert worker.running


def test_a_child_that_is_killed_runs_its_task_again_under_the_same_attempt(
    start: Start, send: Callable[..., str], redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    with start():
        send(**_job(1, behaviour="kill-once"))
        callback = fake_orchestrator.wait_for_callback("job-1", 30)
        assert callback.status is CallbackStatus.SUCCESS
        assert redis.llen("began") == 2
        assert fake_orchestrator.phases_for("job-1").count(ProgressPhase.STARTED) == 2
        assert len(fake_orchestrator.callbacks_for("job-1")) == 1


@pytest.mark.parametrize(
    ("behaviour", "runs", "code"),
    [("kill", 3, "worker_lost"), ("timeout", 4, "upstream_error")],
    ids=["kills its worker", "passing error"],
)
def test_a_task_without_a_job_comes_to_an_end_and_its_outcome_is_kept(
    start: Start, send: Callable[..., str], redis: Redis, redis_url: str, behaviour: str, runs: int, code: str
) -> None:
    """Celery queues what killed its worker without end; retries are three, by messages with a delay."""
    task_id = str(uuid.uuid4())
    settings = ServiceSettings(_env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1")

    async def kept(reserve: bool = False) -> StoredResult | PendingResult | None:
        async with open_redis(redis_url) as client:
            store = ResultStore(client, settings)
            if reserve:
                await store.reserve(task_id, "key:a")
            return await store.read(task_id, "key:a")

    asyncio.run(kept(reserve=True))
    with start():
        send(behaviour=behaviour, task_id=task_id, headers={REQUEST_ID_HEADER: "request-0001"})
        assert wait_until(lambda: isinstance(asyncio.run(kept()), StoredResult), 60, 0.1)
    result = asyncio.run(kept())
    assert isinstance(result, StoredResult)
    problem = json.loads(result.body)
    assert (problem["code"], problem["request_id"]) == (code, "request-0001")
    assert redis.llen("began") == runs


def test_a_worker_killed_whole_leaves_its_task_in_redis_and_no_process_behind(
    start: Start, send: Callable[..., str], redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    """Celery delivers it again after the visibility timeout; the job's lease is far quicker."""
    with start() as worker:
        send(**_job(1, behaviour="once-sleep=60"))
        assert wait_until(lambda: redis.llen("began") == 1, 20)
        children = worker.children()
        os.killpg(worker.pid, signal.SIGKILL)
        psutil.wait_procs([*children], timeout=10)
        assert not any(child.is_running() for child in children)
    assert redis.hlen("unacked") == 1
    assert fake_orchestrator.callbacks_for("job-1") == []


def test_a_worker_survives_a_restart_of_its_redis_under_a_running_task(
    start: Start, send: Callable[..., str], redis_server: RedisServer, fake_orchestrator: FakeOrchestrator
) -> None:
    with start() as worker:
        send(**_job(1, behaviour="sleep=3"))
        fake_orchestrator.wait_until(lambda: fake_orchestrator.phases_for("job-1") != [])
        redis_server.restart()
        fake_orchestrator.wait_for_callback("job-1", 30)
        send(**_job(2))
        assert fake_orchestrator.wait_for_callback("job-2", 40).status is CallbackStatus.SUCCESS
        assert worker.running
        assert len(fake_orchestrator.callbacks_for("job-1")) == 1


def test_spans_of_a_child_arrive_when_the_worker_is_stopped(
    start: Start, send: Callable[..., str], fake_orchestrator: FakeOrchestrator
) -> None:
    with OtlpReceiver() as receiver:
        with start(OTEL_TRACES_EXPORTER=None, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint) as worker:
            send(**_job(1))
            fake_orchestrator.wait_for_callback("job-1")
            [child] = worker.children()
            assert worker.terminate() == 0
        spans = receiver.wait_for(lambda all_of: any("stage_task" in span.name for span in all_of))
    [task] = [span for span in spans if "stage_task" in span.name]
    [callback] = [span for span in spans if "complete" in span.name]
    assert callback.parent_id == task.span_id
    assert task.resource["process.pid"] == child.pid
    assert task.resource["service.name"] == "scraper"
    assert {span.trace_id for span in spans} == {task.trace_id}, (
        "the broker's polling, or the resources' opening, is no trace of its own"
    )


def test_a_worker_stops_within_seconds_though_no_collector_listens(
    start: Start, send: Callable[..., str], fake_orchestrator: FakeOrchestrator, free_port: int
) -> None:
    endpoint = f"http://127.0.0.1:{free_port}"
    with start(OTEL_TRACES_EXPORTER=None, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as worker:
        send(**_job(1))
        fake_orchestrator.wait_for_callback("job-1")
        assert worker.terminate() == 0  # within WorkerProcess' limit of 20 s


def test_sigquit_as_under_docker_hands_an_unfinished_task_back(
    start: Start, send: Callable[..., str], redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    with start(REMAP_SIGTERM="SIGQUIT") as worker:
        send(**_job(1, behaviour="once-sleep=60"))
        assert wait_until(lambda: redis.llen("began") == 1, 20)
        worker.terminate()
    assert redis.llen("scraper") == 1
    with start():
        assert fake_orchestrator.wait_for_callback("job-1").status is CallbackStatus.SUCCESS


def test_a_worker_serves_the_metrics_of_all_its_children_recycled_ones_included(
    start: Start, send: Callable[..., str], fake_orchestrator: FakeOrchestrator, free_port: int, tmp_path: Path
) -> None:
    def count() -> float:
        text = httpx.get(f"http://127.0.0.1:{free_port}/metrics").text
        wanted = 'ml_task_outcomes_total{outcome="success",service="scraper",task="probe.stage_task"}'
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(wanted))

    env = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"), "WORKER_METRICS_PORT": str(free_port)}
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / "counter_999999.db").write_bytes(b"\0" * 65536)
    with start(concurrency=2, options=("--max-tasks-per-child=1",), **env):
        for number in range(5):
            send(**_job(number))
        for number in range(5):
            fake_orchestrator.wait_for_callback(f"job-{number}")
        assert wait_until(lambda: count() == 5, 20, 0.1)
        assert wait_until(lambda: count() == 5 and len(list((tmp_path / "metrics").glob("counter_*"))) <= 4, 20, 0.1)
