"""Celery's beat as a service runs it: a process that may be restarted at any moment, or be there twice."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from ml_shared.names import Queue
from ml_shared.probe import HEARTBEAT_FILE, MAX_HEARTBEAT_AGE_SECONDS
from ml_shared.settings import ServiceSettings
from ml_shared.testing import guard
from ml_shared.testing.servers import wait_until
from ml_shared.worker.celery import build_celery_app
from ml_shared.worker.heartbeat import HeartbeatScheduler

FOLDER = Path(__file__).parent
COMMAND = (sys.executable, "-m", "celery", "-A", "worker_app", "beat")


def test_two_beats_share_nothing_and_leave_no_file(
    redis_url: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What both send comes twice, expires, and is the task's to bear. The heartbeat is asked for, or not written."""
    env = {**os.environ, "REDIS_URL": redis_url, "SERVICE_NAME": "scraper", "PYTHONPATH": str(FOLDER)}
    heartbeat = tmp_path_factory.mktemp("heartbeat") / "beat"
    with ExitStack() as stack, Redis.from_url(redis_url) as redis:
        beats = []
        for more in ({}, {HEARTBEAT_FILE: str(heartbeat)}):
            beat = subprocess.Popen(
                COMMAND, cwd=tmp_path, env={**env, **more}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            guard.watch_process(beat.pid)
            stack.callback(beat.wait, 60)
            stack.callback(beat.kill)
            beats.append(beat)

        def senders() -> set[str]:
            messages = [json.loads(message) for message in redis.lrange("scraper", 0, -1)]
            assert all(message["headers"]["expires"] for message in messages)
            return {message["headers"]["origin"] for message in messages}

        assert wait_until(lambda: len(senders()) == 2 and heartbeat.exists(), 60)
        written = heartbeat.stat().st_mtime_ns
        assert wait_until(lambda: heartbeat.stat().st_mtime_ns > written, 60)
        for beat in beats:
            beat.terminate()
            assert beat.wait(60) == 0
            guard.forget_process(beat.pid)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("schedule", [{}, {"daily": {"task": "probe.daily", "schedule": 86_400.0}}])
def test_beat_wakes_and_shows_that_it_lives_however_seldom_something_is_due(
    schedule: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HEARTBEAT_FILE, str(tmp_path / "beat"))
    settings = ServiceSettings(
        _env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1", REDIS_URL="redis://127.0.0.1:1/0"
    )
    with build_celery_app(
        settings, queue=Queue.SCRAPER, include=[], resources=nullcontext, beat_schedule=schedule
    ) as app:
        beat = app.Beat()
        scheduler = beat.Service(app, scheduler_cls=beat.scheduler_cls).scheduler
        assert isinstance(scheduler, HeartbeatScheduler)
        assert 0 < scheduler.tick() <= MAX_HEARTBEAT_AGE_SECONDS / 3
    assert (tmp_path / "beat").is_file()
