"""The service as it is deployed, two processes behind one port: its spans at a collector, its metrics, its log lines."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ORCHESTRATOR_KEY, WAIT_SECONDS

from ml_shared.clients.tls import shared_tls
from ml_shared.telemetry.logs import UVICORN_LOG_CONFIG
from ml_shared.testing import guard
from ml_shared.testing.otlp import OtlpReceiver
from ml_shared.testing.servers import START_ATTEMPTS, free_port, wait_until

SERVICE = Path(__file__).parent.parent
TEXTS = 20


@dataclass(frozen=True)
class Told:
    """What the service told in its life."""

    spans: list[Any]
    metrics: str
    lines: list[dict[str, Any]]
    traces: dict[str, str]
    # by job, as the answers named them


def _asked(method: str, url: str, **options: Any) -> httpx.Response:
    return httpx.request(method, url, timeout=WAIT_SECONDS, verify=shared_tls(), **options)


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return _asked("GET", f"{url}/health/live").status_code == 200
    return False


def _started(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until it answers or has ended; return which."""
    assert wait_until(lambda: process.poll() is not None or _answers(url), WAIT_SECONDS), "it neither answers nor ends"
    return process.poll() is None


@contextlib.contextmanager
def _served(env: dict[str, str], log: Path) -> Iterator[str]:
    values = {name: value for name, value in os.environ.items() if name != "OTEL_TRACES_EXPORTER"} | env
    for _ in range(START_ATTEMPTS):  # another process may take the port between our look and the start
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "app.main:app", "--port", str(port), "--workers", "2"]
        command += ["--log-config", str(UVICORN_LOG_CONFIG)]
        url = f"http://127.0.0.1:{port}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=SERVICE, env=values, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        guard.watch_process(process.pid)
        try:
            if _started(url, process):
                yield url
                return
        finally:
            process.terminate()
            try:
                process.wait(WAIT_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(WAIT_SECONDS)
            guard.forget_process(process.pid)
    raise AssertionError(f"it did not start:\n{log.read_text()}")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    folder = tmp_path_factory.mktemp("process")
    key = {"X-API-Key": ORCHESTRATOR_KEY}
    with OtlpReceiver() as receiver:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics")}
        with _served(env, folder / "log") as url:
            first = _asked("GET", f"{url}/metrics").text
            assert 'ml_chunk_texts_total{operation="write",outcome="success",request_mode="sync"} 0.0' in first
            traces = {}
            for number in range(TEXTS):  # a connection each, so that both processes get some
                body = {"text": "Some words.", "job_id": f"job-{number}"}
                answer = _asked("POST", f"{url}/chunk", json=body, headers=key)
                assert answer.status_code == 200
                traces[f"job-{number}"] = answer.headers["x-trace-id"]
            wrong = {"text": "x", "max_tokens": 513, "job_id": "job-wrong"}
            answer = _asked("POST", f"{url}/chunk", json=wrong, headers=key)
            assert answer.status_code == 422
            traces["job-wrong"] = answer.headers["x-trace-id"]
            metrics = _asked("GET", f"{url}/metrics").text
        lines = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
        return Told(receiver.spans(), metrics, lines, traces)


def test_the_splits_of_both_processes_arrive_in_their_requests_traces_with_their_jobs(told: Told) -> None:
    splits = [span for span in told.spans if span.name == "chunk.split"]
    assert {span.attributes["job.id"]: span.trace_id for span in splits} == told.traces
    requests = {span.span_id for span in told.spans if span.name == "POST /chunk"}
    assert {span.parent_id for span in splits} <= requests
    for span in splits:
        assert {name: span.attributes[name] for name in ("job.stage", "request.mode", "operation")} == {
            "job.stage": "chunk",
            "request.mode": "sync",
            "operation": "write",
        }
    [failed] = [span for span in splits if span.error]
    assert (failed.attributes["job.id"], failed.attributes["failed.stage"]) == ("job-wrong", "chunking")


def test_a_scrape_adds_up_what_both_processes_cut(told: Told) -> None:
    assert f'ml_chunk_texts_total{{operation="write",outcome="success",request_mode="sync"}} {TEXTS}.0' in told.metrics
    assert 'outcome="max_tokens_too_large",request_mode="sync"} 1.0' in told.metrics
    assert f'ml_chunk_chunks_total{{operation="write",request_mode="sync"}} {TEXTS}.0' in told.metrics
    assert f'ml_chunk_duration_seconds_count{{operation="write",request_mode="sync"}} {TEXTS + 1}.0' in told.metrics


def test_the_line_of_a_failure_names_trace_job_and_stage(told: Told) -> None:
    [line] = [line for line in told.lines if "failed_stage" in line]
    assert (line["job_id"], line["failed_stage"]) == ("job-wrong", "chunking")
    assert line["trace_id"] == told.traces["job-wrong"]
