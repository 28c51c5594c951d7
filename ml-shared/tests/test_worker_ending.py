"""A worker's stop, while what it talks to goes away, hangs or is restarted itself."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psutil
import pytest
from redis import Redis

from ml_shared.contracts.jobs import CallbackStatus
from ml_shared.names import Queue
from ml_shared.settings import ServiceSettings
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.servers import RedisServer, wait_until
from ml_shared.testing.worker import WorkerProcess
from ml_shared.worker.celery import build_celery_app

FOLDER = Path(__file__).parent
JOB = {"job_id": "job-1", "attempt_id": "attempt-1"}


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis of this test's own, which it may stop."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def send(server: RedisServer) -> Iterator[Callable[..., Any]]:
    settings = ServiceSettings(
        _env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1", REDIS_URL=server.url
    )
    with build_celery_app(settings, queue=Queue.SCRAPER, include=[], resources=nullcontext) as app:
        yield lambda task, **kwargs: app.send_task(task, kwargs=kwargs, queue="scraper")


@pytest.fixture
def redis(server: RedisServer) -> Iterator["Redis"]:
    with Redis.from_url(server.url, decode_responses=True) as client:
        yield client


@pytest.fixture
def start(server: RedisServer, fake_orchestrator: FakeOrchestrator) -> Callable[..., WorkerProcess]:
    def start_worker(**env: str) -> WorkerProcess:
        values = {
            "REDIS_URL": server.url,
            "ORCHESTRATOR_URL": fake_orchestrator.url,
            "SERVICE_API_KEY": "sk-the-workers-own-key",
            "SERVICE_NAME": "scraper",
            "WORKER_METRICS_PORT": "0",
            "REMAP_SIGTERM": "SIGQUIT",  # as under Docker
            "SOFT_SHUTDOWN": "0.2",
            **env,
        }
        return WorkerProcess("worker_app", queue="scraper", folder=FOLDER, env=values, concurrency=2)

    return start_worker


@contextmanager
def stopped(worker: WorkerProcess) -> Iterator[None]:
    """Tell a worker to stop, and wait until it and its children have ended; `WorkerProcess` sets the limit."""
    children = worker.children()
    assert children
    worker.send_signal(signal.SIGTERM)
    worker.wait_for(lambda: "Soft Shutdown" in worker.output)
    yield
    assert worker.wait() in (0, 1)  # 1: by force
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


def test_a_worker_whose_redis_hangs_while_it_stops_ends_all_the_same(
    start: Callable[..., WorkerProcess], send: Callable[..., Any], redis: Redis, server: RedisServer
) -> None:
    """Each of a dozen steps would wait for its answer."""
    with start() as worker:
        send("probe.stage_task", **JOB, behaviour="sleep=60")
        assert wait_until(lambda: redis.llen("began") == 1, 60)
        with stopped(worker), server.paused():
            worker.wait()


def test_a_worker_whose_child_does_not_end_is_killed_and_the_message_comes_again(
    start: Callable[..., WorkerProcess], send: Callable[..., Any], redis: Redis, fake_orchestrator: FakeOrchestrator
) -> None:
    with start() as worker:
        send("probe.stage_task", **JOB, behaviour="stubborn=60")
        assert wait_until(lambda: redis.llen("began") == 1, 60)
        with stopped(worker):
            pass
    assert redis.hlen("unacked") + redis.llen("scraper") == 1
    redis.zadd("unacked_index", dict.fromkeys(redis.zrange("unacked_index", 0, -1), 0))  # as if so long ago
    with start():
        assert fake_orchestrator.wait_for_callback("job-1", 60).status is CallbackStatus.SUCCESS


def test_a_failure_with_a_long_traceback_does_not_keep_a_worker_from_stopping(
    start: Callable[..., WorkerProcess], send: Callable[..., Any], redis: Redis
) -> None:
    """Celery's main process does not read what children send while its stop begins, and a pipe holds so much only."""
    with start(SOFT_SHUTDOWN="4") as worker:
        send("probe.plain_task", word="fail-deeply")
        assert wait_until(lambda: redis.llen("plain") == 1, 60)
        with stopped(worker):
            redis.rpush("go", "now")
            worker.wait_for(lambda: "deep down" in worker.output)
        assert "by force" not in worker.output


def test_a_worker_tells_of_a_failure_where_it_was(
    start: Callable[..., WorkerProcess], send: Callable[..., Any], redis: Redis
) -> None:
    with start() as worker:
        redis.rpush("go", "now")
        send("probe.plain_task", word="fail-deeply")
        worker.wait_for(lambda: any("deep down" in line.get("exc_info", "") for line in worker.lines))
        [text] = [line["exc_info"] for line in worker.lines if "deep down" in line.get("exc_info", "")]
        assert "worker_app.py" in text
