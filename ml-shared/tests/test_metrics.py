"""Metrics of several processes: added up, and kept when a process ends."""

import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from ml_shared.telemetry.metric_files import FOLDED_PID, fold_dead_processes, locked, remove_other_processes
from ml_shared.telemetry.metrics import (
    WORKER_METRICS_HOST,
    WorkerMetricsServer,
    count_rejection,
    count_report,
    count_task,
    observe_request,
    observe_task,
    render_metrics,
)

KEY = mmap_key("done", "done_total", ["task"], ["a"], "Done.")


def _write(folder: Path, kind: str, pid: int, value: float) -> None:
    values = MmapedDict(str(folder / f"{kind}_{pid}.db"))  # type: ignore[no-untyped-call]
    values.write_value(KEY, value, 0.0)  # type: ignore[no-untyped-call]
    values.close()  # type: ignore[no-untyped-call]


def _value(path: Path) -> float:
    found = list(MmapedDict.read_all_values_from_file(str(path)))  # type: ignore[no-untyped-call]
    return float(found[0][1])


ENDED_PID = 5_000_000
# Linux has no process of such a number; that of one that has ended may be another's by now


def test_counts_of_ended_processes_are_folded_into_one_file_and_stay(tmp_path: Path) -> None:
    _write(tmp_path, "counter", ENDED_PID, 3)
    _write(tmp_path, "histogram", ENDED_PID, 5)
    _write(tmp_path, "gauge_livesum", ENDED_PID, 7)
    _write(tmp_path, "counter", os.getpid(), 11)
    fold_dead_processes(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "counter_0.db",
        f"counter_{os.getpid()}.db",
        "histogram_0.db",
    ]
    assert _value(tmp_path / f"counter_{FOLDED_PID}.db") == 3
    _write(tmp_path, "counter", ENDED_PID, 4)
    fold_dead_processes(tmp_path)
    fold_dead_processes(tmp_path)
    assert _value(tmp_path / f"counter_{FOLDED_PID}.db") == 7


def test_a_process_killed_as_it_made_its_file_breaks_no_scrape(tmp_path: Path) -> None:
    (tmp_path / f"counter_{ENDED_PID}.db").touch()
    fold_dead_processes(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_new_life_of_a_worker_starts_with_an_empty_folder(tmp_path: Path) -> None:
    _write(tmp_path, "counter", ENDED_PID, 3)
    _write(tmp_path, "counter", FOLDED_PID, 3)
    _write(tmp_path, "counter", os.getpid(), 1)
    remove_other_processes(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"counter_{os.getpid()}.db"]


def test_many_scrapes_at_once_fold_each_process_once(tmp_path: Path) -> None:
    """Each API process may be asked at the same moment."""
    ended = range(ENDED_PID, ENDED_PID + 200)
    for pid in ended:
        _write(tmp_path, "counter", pid, 1)
    script = """
        import sys
        from ml_shared.telemetry.metrics import render_metrics
        print("ready", flush=True)
        sys.stdin.read()
        print(render_metrics().decode())
    """
    scrapes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)],
            env={"PATH": os.environ["PATH"], "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    pipes = [(scrape.stdin, scrape.stdout) for scrape in scrapes]
    assert all(output and output.readline() == "ready\n" for _, output in pipes)
    for begin, _ in pipes:
        assert begin is not None
        begin.close()
    texts = [output.read() if output else "" for _, output in pipes]
    assert [scrape.wait(60) for scrape in scrapes] == [0] * 4
    for _, output in pipes:
        assert output is not None
        output.close()
    assert [text.count(f'done_total{{task="a"}} {len(ended)}.0') for text in texts] == [1] * 4
    assert _value(tmp_path / f"counter_{FOLDED_PID}.db") == len(ended)


def test_tasks_and_what_else_goes_through_a_queue_are_asynchronous_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_NAME", "embedding")
    common = {"service": "embedding", "request_mode": "async", "operation": "write"}
    wanted = {
        "ml_task_outcomes_total": {"task": "embedding.embed_document", "outcome": "success"},
        "ml_task_duration_seconds_count": {"task": "embedding.embed_document"},
        "ml_callback_outcomes_total": {"report": "complete", "outcome": "gave_up"},
        "ml_queue_rejections_total": {"queue": "embed_jobs", "reason": "queue_full"},
    }

    def counted() -> dict[str, float]:
        return {name: REGISTRY.get_sample_value(name, labels | common) or 0.0 for name, labels in wanted.items()}

    before = counted()
    count_task("embedding.embed_document", "success")
    observe_task("embedding.embed_document", 0.2)
    count_report("complete", "gave_up")
    count_rejection("embed_jobs", "queue_full")
    assert counted() == {name: count + 1 for name, count in before.items()}


def _count(**labels: str) -> float:
    return REGISTRY.get_sample_value("ml_http_requests_total", labels) or 0.0


def test_a_request_is_counted_by_its_routes_template_mode_and_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_NAME", "embedding")
    search = SimpleNamespace(path="/search", tags=["sync", "read"])
    labels = {"service": "embedding", "route": "/search", "method": "POST", "status": "2xx"}
    labels |= {"request_mode": "sync", "operation": "read"}
    before = _count(**labels)
    observe_request({"method": "POST", "route": search}, 200, 0.01)
    assert _count(**labels) == before + 1
    observe_request({"method": "GET"}, 404, 0.01)
    observe_request({"method": "PROPFIND-whatever"}, 405, 0.01)
    assert b'route="unmatched"' in render_metrics()
    assert b"PROPFIND" not in render_metrics()


@pytest.mark.parametrize(("host", "elsewhere"), [(None, False), ("0.0.0.0", True)])
def test_a_workers_metrics_are_on_loopback_alone_unless_its_image_says_otherwise(
    free_port: int, monkeypatch: pytest.MonkeyPatch, host: str | None, elsewhere: bool
) -> None:
    if host is not None:
        monkeypatch.setenv(WORKER_METRICS_HOST, host)
    server = WorkerMetricsServer()
    server.start(free_port)
    try:
        assert httpx.get(f"http://127.0.0.1:{free_port}/metrics", timeout=30).status_code == 200
        with contextlib.closing(socket.socket()) as other:  # another address of this host
            assert (other.connect_ex(("127.0.0.2", free_port)) == 0) is elsewhere
    finally:
        server.stop()


def test_a_metrics_port_that_is_taken_costs_the_metrics_only(free_port: int, caplog: pytest.LogCaptureFixture) -> None:
    first, second, none = WorkerMetricsServer(), WorkerMetricsServer(), WorkerMetricsServer()
    first.start(free_port)
    second.start(free_port)
    none.start(0)
    assert "no worker metrics" in caplog.text
    assert httpx.get(f"http://127.0.0.1:{free_port}/metrics", timeout=30).status_code == 200
    for server in (first, second, none):
        server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{free_port}/metrics")


def test_a_child_forked_during_a_scrape_does_not_keep_the_folder_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the lock's file open as long as it lives; so has a descriptor's copy."""
    copies: list[int] = []
    flock = fcntl.flock

    def copying(file: Any, operation: int) -> None:
        copies.append(os.dup(file.fileno()))
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", copying)
    try:
        with locked(tmp_path):
            pass
        with (tmp_path / ".lock").open("a") as file:
            flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        for copy in copies:
            os.close(copy)
