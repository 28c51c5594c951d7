"""The file that tells a container's health check of a real worker: fresh as long as it can take work, and no longer."""

import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from ml_shared import probe
from ml_shared.names import Queue
from ml_shared.settings import ServiceSettings
from ml_shared.testing.servers import RedisServer, wait_until
from ml_shared.testing.worker import WorkerProcess
from ml_shared.worker.celery import build_celery_app
from ml_shared.worker.heartbeat import Heartbeat

STALE_SECONDS = 2.0
# many beats of a worker of `worker_app`, and longer than one that waits for Redis in vain


@pytest.fixture
def heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "heartbeat"
    monkeypatch.setenv(probe.HEARTBEAT_FILE, str(path))
    monkeypatch.setattr(probe, "MAX_HEARTBEAT_AGE_SECONDS", STALE_SECONDS)
    return path


@pytest.fixture
def start(redis_url: str) -> Callable[..., WorkerProcess]:
    def start_worker(**env: str) -> WorkerProcess:
        values = {
            "REDIS_URL": redis_url,
            "SERVICE_NAME": "scraper",
            "WORKER_METRICS_PORT": "0",
            "REMAP_SIGTERM": "SIGQUIT",
            "SOFT_SHUTDOWN": "0.2",
            "RESTORE_SECONDS": "100",  # about as seldom as a deployed worker's loop itself asks Redis for anything
            **env,
        }
        return WorkerProcess("worker_app", queue="scraper", folder=Path(__file__).parent, env=values)

    return start_worker


@pytest.fixture
def send(redis_url: str) -> Iterator[Callable[..., Any]]:
    settings = ServiceSettings(
        _env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1", REDIS_URL=redis_url
    )
    with build_celery_app(settings, queue=Queue.SCRAPER, include=[], resources=nullcontext) as app:
        yield lambda **kwargs: app.send_task("probe.stage_task", kwargs=kwargs, queue="scraper")


def healthy() -> bool:
    return probe.main(["worker"]) == 0


def beats(heartbeat: Path, count: int) -> bool:
    """Whether it is written so often within a minute."""
    seen: set[int] = set()
    return wait_until(lambda: len(seen) >= count or bool(seen.add(heartbeat.stat().st_mtime_ns)), 60)


def test_a_worker_is_healthy_while_its_children_are_busy_and_not_while_it_or_its_redis_hangs_or_that_is_gone(
    heartbeat: Path, start: Callable[..., WorkerProcess], send: Callable[..., Any], redis_server: RedisServer
) -> None:
    with start() as worker, Redis.from_url(redis_server.url) as redis:
        send(behaviour="block=40")
        assert wait_until(lambda: redis.llen("began") == 1, 60)
        assert beats(heartbeat, 5)
        assert wait_until(healthy, 60)
        worker.send_signal(signal.SIGSTOP)
        try:
            assert wait_until(lambda: not healthy(), 60)
        finally:
            worker.send_signal(signal.SIGCONT)
        assert wait_until(healthy, 60)
        with redis_server.paused():
            assert wait_until(lambda: not healthy(), 60)
        assert wait_until(healthy, 60)
        redis_server.stop()
        assert wait_until(lambda: not healthy(), 60)
        redis_server.start()
        assert wait_until(healthy, 60)
        assert beats(heartbeat, 5)
        assert worker.running


def test_a_worker_that_can_t_write_its_heartbeat_works_on_and_says_so_once(
    heartbeat: Path, start: Callable[..., WorkerProcess], send: Callable[..., Any], redis_url: str
) -> None:
    missing = heartbeat.parent / "not" / "there"
    with start(**{probe.HEARTBEAT_FILE: str(missing)}) as worker, Redis.from_url(redis_url) as redis:
        worker.wait_for(lambda: "no heartbeat" in worker.output)
        send(behaviour="sleep=1")
        assert wait_until(lambda: redis.llen("ended") == 1, 60)
        [line] = [line for line in worker.lines if line["event"].startswith("no heartbeat")]
    assert line["level"] == "ERROR"
    assert str(missing) in line["event"]


def test_the_heartbeat_is_told_of_again_when_it_fails_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "later"
    monkeypatch.setenv(probe.HEARTBEAT_FILE, str(folder / "heartbeat"))
    heartbeat = Heartbeat()
    for there in (False, False, True, True):
        if there:
            folder.mkdir(exist_ok=True)
        heartbeat.touch()
    assert len(caplog.records) == 1
    (folder / "heartbeat").unlink()
    folder.rmdir()
    heartbeat.touch()
    assert len(caplog.records) == 2


def test_without_the_variable_there_is_no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(probe.HEARTBEAT_FILE, raising=False)
    heartbeat = Heartbeat()
    heartbeat.touch()
    assert not heartbeat.wanted


def test_a_worker_whose_redis_went_away_during_its_last_seconds_ends_by_itself(
    start: Callable[..., WorkerProcess],
) -> None:
    with RedisServer() as server, Redis.from_url(server.url) as redis:
        settings = ServiceSettings(
            _env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1", REDIS_URL=server.url
        )
        # longer than two of Celery's own event heartbeats are apart
        with start(REDIS_URL=server.url, SOFT_SHUTDOWN="4") as worker:
            with build_celery_app(settings, queue=Queue.SCRAPER, include=[], resources=nullcontext) as app:
                app.send_task("probe.stage_task", kwargs={"behaviour": "sleep=60"}, queue="scraper")
            assert wait_until(lambda: redis.llen("began") == 1, 60)
            worker.send_signal(signal.SIGTERM)
            worker.wait_for(lambda: "Soft Shutdown" in worker.output)
            server.stop()
            assert worker.wait() in (0, 1)  # 1: it could not give its task back
