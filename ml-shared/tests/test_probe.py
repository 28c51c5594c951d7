"""The health check of our containers: one line, 0 or 1, and quick."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import FastAPI, Response

from ml_shared import probe
from ml_shared.testing.http_server import ThreadedServer

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def check(*words: str) -> tuple[int, str]:
        status = probe.main(list(words))
        [line] = capsys.readouterr().out.splitlines()
        return status, line

    return check


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (200, (0, "healthy: port {} answers 200 OK to GET /health/live")),
        (503, (1, "unhealthy: port {} answers 503 Service Unavailable to GET /health/live")),
    ],
)
def test_an_api_is_healthy_when_it_says_that_it_lives(
    run: Run, status: int, wanted: tuple[int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 30.0)
    app = FastAPI()
    app.get("/health/live")(lambda: Response(status_code=status))
    with ThreadedServer(app) as server:
        assert run("api", str(server.port)) == (wanted[0], wanted[1].format(server.port))


def test_an_api_that_is_not_there_or_hangs_is_not_healthy(
    run: Run, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("api", str(free_port)) == (1, f"unhealthy: no answer from port {free_port}: Connection refused")
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listening:  # the system takes the connection, and nobody reads it
        port = listening.getsockname()[1]
        assert run("api", str(port)) == (1, f"unhealthy: no answer from port {port} within 0.1 s")


def test_the_api_s_port_is_that_of_our_images_unless_one_is_given(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(probe, "probe_api", lambda port: (not asked.append(port), "asked"))
    assert [run(), run("api"), run("api", "8001")] == [(0, "healthy: asked")] * 3
    assert asked == [8000, 8000, 8001]


@pytest.mark.parametrize("words", [["wrong"], ["api", "x"], ["api", "0"], ["worker", "8000"], ["api", "80", "81"]])
def test_words_that_mean_nothing_are_not_healthy(run: Run, words: list[str]) -> None:
    assert run(*words) == (1, f"unhealthy: {probe.USAGE}")


@pytest.mark.parametrize("what", ["worker", "beat"])
def test_a_heartbeat_is_fresh_or_too_old_or_missing(
    run: Run, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(probe.HEARTBEAT_FILE, raising=False)
    assert run(what) == (1, f"unhealthy: HEARTBEAT_FILE is not set, for this check and for the {what}")
    path = tmp_path / "heartbeat"
    monkeypatch.setenv(probe.HEARTBEAT_FILE, str(path))
    assert run(what) == (1, f"unhealthy: no heartbeat of the {what} yet: {path} is not there")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    path.touch()
    os.utime(path, (now, now))
    assert run(what) == (0, f"healthy: last heartbeat of the {what} 0 s ago, 30 s are allowed")
    for age in (probe.MAX_HEARTBEAT_AGE_SECONDS + 10, -probe.MAX_HEARTBEAT_AGE_SECONDS - 10):
        os.utime(path, (now - age,) * 2)
        status, line = run(what)
        assert (status, line.split(":")[0]) == (1, "unhealthy")
        assert f"{age:.0f} s ago" in line


def test_the_command_s_exit_status_is_the_check_s(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ml_shared.probe", "worker"]
    env = {**os.environ, probe.HEARTBEAT_FILE: str(tmp_path)}  # a folder made just now does for a file
    assert subprocess.run(command, env=env, capture_output=True, check=False).returncode == 0
    os.utime(tmp_path, (1, 1))
    assert subprocess.run(command, env=env, capture_output=True, check=False).returncode == 1


def test_it_imports_next_to_nothing() -> None:
    """It starts in each container every few seconds; what it needs beyond Python's own start is a few modules."""
    code = (
        "import sys; before = set(sys.modules); import ml_shared.probe as probe; probe.main(['api', '1']); "
        "print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.splitlines()[-1].split())
    assert {name for name in imported if name.startswith("ml_shared")} == {"ml_shared", "ml_shared.probe"}
    assert {name.partition(".")[0] for name in imported} - sys.stdlib_module_names - {"ml_shared"} == set()
    assert len(imported) < 25, sorted(imported)
