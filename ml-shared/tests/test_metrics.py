"""Metrics of several processes: added up, and kept when a process ends."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from prometheus_client import REGISTRY
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from ml_shared.metric_files import FOLDED_PID, fold_dead_processes, remove_other_processes
from ml_shared.metrics import WorkerMetricsServer, observe_request, render_metrics

KEY = mmap_key("done", "done_total", ["task"], ["a"], "Done.")


def _write(folder: Path, kind: str, pid: int, value: float) -> None:
    values = MmapedDict(str(folder / f"{kind}_{pid}.db"))  # type: ignore[no-untyped-call]
    values.write_value(KEY, value, 0.0)  # type: ignore[no-untyped-call]
    values.close()  # type: ignore[no-untyped-call]


def _value(path: Path) -> float:
    found = list(MmapedDict.read_all_values_from_file(str(path)))  # type: ignore[no-untyped-call]
    return float(found[0][1])


@pytest.fixture
def ended_pid() -> int:
    """The id of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(10)
    return process.pid


def test_counts_of_ended_processes_are_folded_into_one_file_and_stay(tmp_path: Path, ended_pid: int) -> None:
    _write(tmp_path, "counter", ended_pid, 3)
    _write(tmp_path, "histogram", ended_pid, 5)
    _write(tmp_path, "gauge_livesum", ended_pid, 7)
    _write(tmp_path, "counter", os.getpid(), 11)
    fold_dead_processes(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "counter_0.db",
        f"counter_{os.getpid()}.db",
        "histogram_0.db",
    ]
    assert _value(tmp_path / f"counter_{FOLDED_PID}.db") == 3
    _write(tmp_path, "counter", ended_pid, 4)
    fold_dead_processes(tmp_path)
    fold_dead_processes(tmp_path)
    assert _value(tmp_path / f"counter_{FOLDED_PID}.db") == 7


def test_a_new_life_of_a_worker_starts_with_an_empty_folder(tmp_path: Path, ended_pid: int) -> None:
    _write(tmp_path, "counter", ended_pid, 3)
    _write(tmp_path, "counter", FOLDED_PID, 3)
    _write(tmp_path, "counter", os.getpid(), 1)
    remove_other_processes(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"counter_{os.getpid()}.db"]


def _count(**labels: str) -> float:
    return REGISTRY.get_sample_value("ml_http_requests_total", labels) or 0.0


def test_a_request_is_counted_by_its_routes_template_mode_and_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_NAME", "embedding")
    search = SimpleNamespace(path="/search", tags=["sync", "read"])
    observe_request({"method": "POST", "route": search}, 200, 0.01)
    assert (
        _count(
            service="embedding",
            route="/search",
            method="POST",
            status="2xx",
            request_mode="sync",
            operation="read",
        )
        == 1
    )
    observe_request({"method": "GET"}, 404, 0.01)
    observe_request({"method": "PROPFIND-whatever"}, 405, 0.01)
    assert b'route="unmatched"' in render_metrics()
    assert b"PROPFIND" not in render_metrics()


def test_a_metrics_port_that_is_taken_costs_the_metrics_only(free_port: int, caplog: pytest.LogCaptureFixture) -> None:
    first, second, none = WorkerMetricsServer(), WorkerMetricsServer(), WorkerMetricsServer()
    first.start(free_port)
    second.start(free_port)
    none.start(0)
    assert "no worker metrics" in caplog.text
    assert httpx.get(f"http://127.0.0.1:{free_port}/metrics").status_code == 200
    for server in (first, second, none):
        server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{free_port}/metrics")
