"""Celery's beat as a service runs it: a process that may be restarted at any moment, or be there twice."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from redis import Redis

from ml_shared.testing import guard
from ml_shared.testing.servers import wait_until

COMMAND = (sys.executable, "-m", "celery", "-A", "worker_app", "beat")


def test_two_beats_share_nothing_and_leave_no_file(redis_url: str, tmp_path: Path) -> None:
    """What both send comes twice, expires, and is the task's to bear."""
    env = {**os.environ, "REDIS_URL": redis_url, "SERVICE_NAME": "scraper", "PYTHONPATH": str(Path(__file__).parent)}
    with ExitStack() as stack, Redis.from_url(redis_url) as redis:
        beats = []
        for _ in range(2):
            beat = subprocess.Popen(
                COMMAND, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            guard.watch_process(beat.pid)
            stack.callback(beat.wait, 10)
            stack.callback(beat.kill)
            beats.append(beat)

        def senders() -> set[str]:
            messages = [json.loads(message) for message in redis.lrange("scraper", 0, -1)]
            assert all(message["headers"]["expires"] for message in messages)
            return {message["headers"]["origin"] for message in messages}

        assert wait_until(lambda: len(senders()) == 2, 20)
        for beat in beats:
            beat.terminate()
            assert beat.wait(10) == 0
            guard.forget_process(beat.pid)
    assert list(tmp_path.iterdir()) == []
