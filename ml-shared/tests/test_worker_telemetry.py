"""What a real worker tells of itself: spans, metrics and log lines of its main process and its four children."""

import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis import Redis

from ml_shared.names import Queue
from ml_shared.settings import ServiceSettings
from ml_shared.testing import guard
from ml_shared.testing.orchestrator import FakeOrchestrator
from ml_shared.testing.otlp import OtlpReceiver, ReceivedSpan
from ml_shared.testing.servers import RedisServer, free_port, wait_until
from ml_shared.testing.worker import WorkerProcess
from ml_shared.worker.celery import build_celery_app

FOLDER = Path(__file__).parent
CHILDREN = 4
TASKS = 100


@dataclass(frozen=True)
class Told:
    """All that a worker told in its life."""

    spans: list[ReceivedSpan]
    metrics: str
    output: str
    children: set[int]
    requests: dict[str, str]
    """The trace that each job was sent in, by its id."""


def _environment(redis: RedisServer, orchestrator: FakeOrchestrator, **more: str | None) -> dict[str, str | None]:
    return {
        "REDIS_URL": redis.url,
        "ORCHESTRATOR_URL": orchestrator.url,
        "SERVICE_API_KEY": "sk-the-workers-own-key",
        "SERVICE_NAME": "scraper",
        "SERVICE_VERSION": "abc",
        "ENVIRONMENT": "test",
        "WORKER_METRICS_PORT": "0",
        "OTEL_TRACES_EXPORTER": None,
        "OTEL_EXPORTER_OTLP_TIMEOUT": "30",
        **more,
    }


@pytest.fixture(scope="module")
def send(redis_server: RedisServer) -> Iterator[Callable[[int], None]]:
    redis_server.flush()
    settings = ServiceSettings(
        _env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1", REDIS_URL=redis_server.url
    )
    app = build_celery_app(settings, queue=Queue.SCRAPER, include=[], resources=nullcontext)

    def send_task(number: int) -> None:
        kwargs = {"job_id": f"job-{number}", "attempt_id": f"attempt-{number}", "behaviour": "wait"}
        app.send_task("probe.stage_task", kwargs=kwargs, task_id=str(uuid.uuid4()), queue="scraper")

    yield send_task
    app.close()


@pytest.fixture(scope="module")
def told(
    redis_server: RedisServer,
    send: Callable[[int], None],
    tmp_path_factory: pytest.TempPathFactory,
    _span_exporter: InMemorySpanExporter,
) -> Told:
    """A worker's whole life: started, given work, and stopped while the last spans are still in its children."""
    port = free_port()
    folder = tmp_path_factory.mktemp("metrics")
    with FakeOrchestrator() as orchestrator, OtlpReceiver() as receiver:
        env = _environment(
            redis_server,
            orchestrator,
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            PROMETHEUS_MULTIPROC_DIR=str(folder),
            WORKER_METRICS_PORT=str(port),
        )
        with WorkerProcess("worker_app", queue="scraper", folder=FOLDER, env=env, concurrency=CHILDREN) as worker:
            children = {child.pid for child in worker.children()}
            requests = {}
            for number in range(TASKS):
                with trace.get_tracer("test").start_as_current_span("request") as request:
                    send(number)
                requests[f"job-{number}"] = trace.format_trace_id(request.get_span_context().trace_id)
            with Redis.from_url(redis_server.url) as redis:  # no child is left out because the others are quicker
                assert wait_until(lambda: redis.llen("began") == CHILDREN, 60)
                redis.rpush("go", *range(TASKS))
            for number in range(TASKS):
                orchestrator.wait_for_callback(f"job-{number}")
            metrics = _settled(port)
            assert worker.terminate() == 0
            output = worker.output
        return Told(receiver.spans(), metrics, output, children, requests)


def _settled(port: int) -> str:
    """The metrics, once the last task has been counted: that is after its callback."""
    deadline = time.monotonic() + 60
    while True:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
        if f"ml_task_duration_seconds_count{{{LABELS}}} {TASKS}.0" in text or time.monotonic() > deadline:
            return text
        time.sleep(0.05)


LABELS = 'operation="write",request_mode="async",service="scraper",task="probe.stage_task"'


def test_four_children_have_one_true_sum(told: Told) -> None:
    outcome = LABELS.replace('"write",', '"write",outcome="success",')
    assert f"ml_task_outcomes_total{{{outcome}}} {TASKS}.0" in told.metrics
    assert f"ml_task_duration_seconds_count{{{LABELS}}} {TASKS}.0" in told.metrics


def test_what_has_not_happened_yet_is_0_and_no_gap(told: Told) -> None:
    for outcome in ("killed", "abandoned", "failed"):
        labels = LABELS.replace('"write",', f'"write",outcome="{outcome}",')
        assert f"ml_task_outcomes_total{{{labels}}} 0.0" in told.metrics
    report = 'operation="write",outcome="unavailable",report="complete",request_mode="async",service="scraper"'
    assert f"ml_callback_outcomes_total{{{report}}} 0.0" in told.metrics


def test_no_span_is_lost_though_the_children_were_forked_and_are_stopped(told: Told) -> None:
    runs = [span for span in told.spans if span.name == "run/probe.stage_task"]
    assert len(runs) == TASKS
    assert {span.resource["process.pid"] for span in runs} == told.children
    by_task = Counter(span.parent_id for span in told.spans)
    assert {by_task[span.span_id] for span in runs} == {by_task[runs[0].span_id]}, "each task has all of its spans"
    assert by_task[runs[0].span_id] >= 4


def test_a_task_s_spans_are_of_its_request_s_trace_and_nothing_else_is_a_trace_of_its_own(told: Told) -> None:
    """Neither the broker's polling nor the resources' opening; and all of them name the service."""
    runs = [span for span in told.spans if span.name == "run/probe.stage_task"]
    assert {span.attributes["job.id"]: span.trace_id for span in runs} == told.requests
    assert {span.trace_id for span in told.spans} == set(told.requests.values())
    callbacks = [span for span in told.spans if span.name == "orchestrator.complete"]
    assert {span.parent_id for span in callbacks} == {span.span_id for span in runs}
    assert len(callbacks) == TASKS
    assert {span.resource["service.name"] for span in told.spans} == {"scraper"}


def test_every_line_of_a_worker_is_json_with_its_labels_from_the_first_to_the_last(told: Told) -> None:
    """Celery prints a banner, and what it is told by signals; as root it begins with a warning."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in told.output.splitlines()]
    assert all(line.keys() >= {"timestamp", "level", "logger", "event"} for line in lines)
    assert {(line["service"], line["version"], line["environment"]) for line in lines} == {("scraper", "abc", "test")}
    events = [line["event"] for line in lines]
    assert any(event.endswith(" ready.") for event in events)
    assert "worker: Warm shutdown (MainProcess)" in events
    ended = {line["job_id"]: line for line in lines if line["event"] == "task ended"}
    assert len(ended) == TASKS
    assert all({"trace_id", "span_id"} <= line.keys() for line in ended.values())


def test_a_worker_without_a_collector_says_so_once_a_child_and_stops_in_time(
    redis_server: RedisServer, send: Callable[[int], None], fake_orchestrator: FakeOrchestrator
) -> None:
    env = _environment(
        redis_server,
        fake_orchestrator,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}",
        OTEL_BSP_SCHEDULE_DELAY="50",
        OTEL_EXPORTER_OTLP_TIMEOUT="0.2",
        LAST_SPANS_SECONDS="3",
    )
    with WorkerProcess("worker_app", queue="scraper", folder=FOLDER, env=env) as worker:
        for number in range(20):
            send(number)
            redis_server.command("RPUSH", "go", "now")
            fake_orchestrator.wait_for_callback(f"job-{number}")
        assert worker.terminate() == 0
        lines = [json.loads(line) for line in worker.output.splitlines()]
    about = [line for line in lines if "opentelemetry" in line["logger"] or "export" in line["logger"]]
    assert [line["event"] for line in about] == ["spans get lost until their collector answers"]
    assert re.search("UNAVAILABLE|DEADLINE_EXCEEDED", about[0]["reason"]), "which of them depends on how quick it is"


def test_every_line_of_the_beat_is_json(redis_server: RedisServer, fake_orchestrator: FakeOrchestrator) -> None:
    """Its banner comes before any signal: `CELERY_QUIET` of the images and of the local fleet is what keeps it back."""
    env = _environment(
        redis_server, fake_orchestrator, OTEL_TRACES_EXPORTER="none", CELERY_QUIET="1", LOG_LEVEL="DEBUG"
    )
    command = [sys.executable, "-m", "celery", "-A", "worker_app", "beat", "--loglevel=info", "--pidfile="]
    given = {name: value for name, value in {**os.environ, **env}.items() if value is not None}
    beat = subprocess.Popen(command, cwd=FOLDER, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    guard.watch_process(beat.pid)
    assert beat.stdout is not None
    said = []
    try:
        for line in beat.stdout:
            said.append(line)
            if "beat: Starting..." in line:
                beat.terminate()
    finally:
        beat.kill()
        beat.wait(60)
        guard.forget_process(beat.pid)
        beat.stdout.close()
    lines = [json.loads(line) for line in said]
    assert "beat: Starting..." in {line["event"] for line in lines}
    assert all(line["service"] == "scraper" for line in lines)
