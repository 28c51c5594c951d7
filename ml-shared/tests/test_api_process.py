"""A real uvicorn with two workers: telemetry, logs, metrics and health of an API as it is deployed."""

import contextlib
import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from opentelemetry.instrumentation.utils import suppress_http_instrumentation

from ml_shared import probe
from ml_shared.clients.tls import shared_tls
from ml_shared.telemetry.logs import UVICORN_LOG_CONFIG
from ml_shared.testing import guard
from ml_shared.testing.otlp import OtlpReceiver
from ml_shared.testing.servers import RedisServer, free_port, wait_until

FOLDER = Path(__file__).parent
BOUND_SECONDS = 60
# tells what hangs from what a slow machine takes
get = functools.partial(httpx.get, timeout=BOUND_SECONDS)


class Api:
    """The running API."""

    def __init__(self, url: str, log: Path, process: "subprocess.Popen[bytes]") -> None:
        self.url = url
        self._log = log
        self.process = process

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Its log lines, each of them JSON."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def terminate(self) -> int:
        """SIGTERM, and its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(BOUND_SECONDS)

    def answers(self) -> bool:
        """Whether it answers at all."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/health/live", verify=shared_tls()).status_code == 200
        return False


Serve = Callable[..., AbstractContextManager[Api]]
ANEW = {"Connection": "close"}
# a connection that is kept asks one process


@pytest.fixture
def serve(redis_url: str, tmp_path: Path) -> Serve:
    @contextlib.contextmanager
    def run(*, workers: int = 1, **env: str | None) -> Iterator[Api]:
        port = free_port()
        values = {
            "REDIS_URL": redis_url,
            "SERVICE_NAME": "scraper",
            "SERVICE_VERSION": "abc",
            "ENVIRONMENT": "test",
            "UVICORN_LOG_CONFIG": str(UVICORN_LOG_CONFIG),
            "OTEL_EXPORTER_OTLP_TIMEOUT": "30",
            **env,
        }
        log = tmp_path / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "api_app:app", "--port", str(port), "--workers", str(workers)],
                cwd=FOLDER,
                env={name: value for name, value in {**os.environ, **values}.items() if value is not None},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        guard.watch_process(process.pid)
        api = Api(f"http://127.0.0.1:{port}", log, process)
        try:
            assert wait_until(lambda: process.poll() is not None or api.answers(), BOUND_SECONDS), log.read_text()
            yield api
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                process.wait(BOUND_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(BOUND_SECONDS)
            guard.forget_process(process.pid)

    return run


def test_spans_arrive_when_the_api_is_stopped_and_only_those_that_are_wanted(serve: Serve) -> None:
    with OtlpReceiver() as receiver:
        with serve(OTEL_TRACES_EXPORTER=None, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint) as api:
            answer = get(f"{api.url}/items/a", headers={"baggage": "secret=1"})
            for path in ("/health", "/health/live", "/metrics", "/jobs/metrics-report"):
                assert get(api.url + path).status_code == 200
            assert probe.main(["api", api.url.rpartition(":")[2]]) == 0
            api.terminate()
            [line] = [line for line in api.lines if line.get("logger") == "item"]
        spans = receiver.wait_for(lambda all_of: any(span.name == "GET /items/{name}" for span in all_of))
    assert sorted(span.name for span in spans) == ["GET /items/{name}", "GET /jobs/metrics-report", "SET"]
    by_name = {span.name: span for span in spans}
    request = by_name["GET /items/{name}"]
    assert by_name["SET"].parent_id == request.span_id
    assert answer.headers["X-Trace-Id"] == request.trace_id == line["trace_id"]
    assert answer.headers["X-Request-Id"] == request.attributes["http.request_id"] == line["request_id"]
    assert request.resource["process.pid"] == int(answer.json()["pid"])
    told = {"http.request.method": "GET", "url.path": "/items/a", "http.route": "/items/{name}", "url.scheme": "http"}
    assert {**told, "http.response.status_code": 200}.items() <= request.attributes.items()


def test_of_traces_that_are_not_kept_failed_and_slow_requests_are(serve: Serve) -> None:
    caller = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"}
    settings = {"OTEL_TRACES_EXPORTER": None, "OTEL_TRACES_SAMPLER_ARG": "0", "SLOW_REQUEST_SECONDS": "2.5"}
    with OtlpReceiver() as receiver:
        # an earlier test may have had this process' httpx send traces of its own, which would be kept
        with serve(**settings, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint) as api, suppress_http_instrumentation():
            well = get(f"{api.url}/items/a")
            failed = get(f"{api.url}/broken?key=abc", headers=caller)
            slow = get(f"{api.url}/held?seconds=3")
            unknown, health = get(f"{api.url}/nowhere"), get(f"{api.url}/health")
            assert (unknown.status_code, health.status_code) == (404, 200)
            api.terminate()
            lines = {line.get("logger"): line for line in api.lines if "trace_id" in line}
            [error] = [line for line in api.lines if line["event"] == "unexpected_error"]
        arrived = receiver.wait_for(lambda all_of: {"GET /broken", "GET /held"} <= {span.name for span in all_of})
    # one that the machine was slow with is slow
    slow_too = {
        answer.headers["X-Trace-Id"] for answer in (well, unknown, health) if answer.elapsed.total_seconds() > 2
    }
    spans = {span.name: span for span in arrived if span.trace_id not in slow_too}
    assert sorted(spans) == ["GET /broken", "GET /held"]
    assert lines["item"]["trace_id"] == well.headers["X-Trace-Id"]
    broken = spans["GET /broken"]
    assert broken.trace_id == failed.json()["trace_id"] == failed.headers["X-Trace-Id"] == error["trace_id"]
    assert broken.span_id == error["span_id"]
    assert broken.trace_id in caller["traceparent"]
    assert broken.parent_id in caller["traceparent"]
    assert broken.attributes["http.request_id"] == failed.headers["X-Request-Id"]
    wanted = {"http.response.status_code": 500, "error.type": "500", "http.route": "/broken", "sampling.priority": 1}
    assert wanted.items() <= broken.attributes.items()
    assert broken.attributes["url.query"] == "***"
    assert spans["GET /held"].trace_id == slow.headers["X-Trace-Id"]
    assert spans["GET /held"].attributes["http.response.status_code"] == 200


def test_a_share_of_traces_is_kept_each_with_all_that_was_done(serve: Serve) -> None:
    with OtlpReceiver() as receiver:
        settings = {"OTEL_TRACES_EXPORTER": None, "OTEL_TRACES_SAMPLER_ARG": "0.5"}
        with serve(**settings, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint) as api:
            with httpx.Client(base_url=api.url, timeout=BOUND_SECONDS) as client, suppress_http_instrumentation():
                answered = {client.get("/items/a").headers["X-Trace-Id"] for _ in range(60)}
            api.terminate()
        spans = receiver.wait_for(lambda all_of: len(all_of) >= 2)
    requests = {span.trace_id for span in spans if span.name == "GET /items/{name}"}
    assert 10 < len(requests) < 50
    assert requests <= answered
    assert {span.trace_id for span in spans if span.name == "SET"} == requests


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere uvicorn starts each worker anew")
def test_workers_share_what_their_parent_imported_and_each_sends_its_own_spans(serve: Serve) -> None:
    with OtlpReceiver() as receiver:
        with serve(workers=2, OTEL_TRACES_EXPORTER=None, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint) as api:
            pids: set[int] = set()
            answered: set[str] = set()
            with httpx.Client(base_url=api.url, headers=ANEW, timeout=BOUND_SECONDS) as client:
                with suppress_http_instrumentation():
                    while len(pids) < 2 or len(answered) < 20:
                        answer = client.get("/items/a")
                        pids.add(int(answer.json()["pid"]))
                        answered.add(answer.headers["X-Trace-Id"])
            children = psutil.Process(api.process.pid).children()
            assert {child.pid for child in children} == pids
            for child in children:
                memory = child.memory_full_info()
                assert memory.uss < 0.6 * memory.rss, "less than two thirds of it are its own"
            assert api.terminate() == 0
        spans = receiver.wait_for(lambda all_of: {one.resource["process.pid"] for one in all_of} == pids)
    requests = [span.trace_id for span in spans if span.name == "GET /items/{name}"]
    assert len(set(requests)) == len(requests), "two processes made the same ids"
    assert answered <= set(requests)


def test_an_api_without_a_collector_says_so_once_and_stops_in_time(serve: Serve, free_port: int) -> None:
    env = {
        "OTEL_TRACES_EXPORTER": None,
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port}",
        "OTEL_BSP_SCHEDULE_DELAY": "20",  # dozens of exports within this test
        "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2",
        "LAST_SPANS_SECONDS": "3",
    }
    with serve(**env) as api:
        began = time.monotonic()
        while time.monotonic() < began + 1.5:
            get(f"{api.url}/items/a")
        api.terminate()
        about = [line for line in api.lines if "opentelemetry" in line["logger"] or "export" in line["logger"]]
    assert [line["event"] for line in about] == ["spans get lost until their collector answers"]
    assert re.search("UNAVAILABLE|DEADLINE_EXCEEDED", about[0]["reason"]), "which of them depends on how quick it is"


def test_a_scrape_sees_both_processes_whichever_answers_and_what_a_killed_one_has_counted_stays(
    serve: Serve, tmp_path: Path
) -> None:
    folder = tmp_path / "metrics"
    with serve(workers=2, PROMETHEUS_MULTIPROC_DIR=str(folder)) as api:
        pids: set[str] = set()
        asked = 0
        with httpx.Client(base_url=api.url, headers=ANEW, timeout=BOUND_SECONDS) as client:
            while len(pids) < 2 or asked < 30:
                asked += 1
                assert asked < 20_000
                pids.add(client.get("/items/a").json()["pid"])
            client.post("/enqueue")
            client.get("/nowhere/at/all")
            counted = (
                'ml_http_requests_total{method="GET",operation="read",request_mode="sync",route="/items/{name}",'
                f'service="scraper",status="2xx"}} {asked}.0',
                'operation="write",request_mode="async",route="/enqueue",service="scraper",status="5xx"} 1.0',
                'route="unmatched",service="scraper",status="4xx"} 1.0',
            )

            def whole() -> bool:
                text = client.get("/metrics").text
                return all(line in text for line in counted)

            assert wait_until(whole, BOUND_SECONDS), "a request is counted after its answer"
            texts = {_numbers(client.get("/metrics").text) for _ in range(10)}
            killed = pids.pop()
            os.kill(int(killed), signal.SIGKILL)
            assert wait_until(lambda: not psutil.pid_exists(int(killed)), BOUND_SECONDS), (
                "uvicorn puts another in its place"
            )
            assert wait_until(api.answers, BOUND_SECONDS)
            later = {_numbers(client.get("/metrics").text) for _ in range(3)}
    assert len(texts) == 1
    assert later == texts
    [text] = texts
    assert all(line in text for line in counted)
    assert "health" not in text
    names = {path.name for path in folder.iterdir()}
    assert not [name for name in names if name.endswith(f"_{killed}.db")]
    assert "counter_0.db" in names


def _numbers(text: str) -> str:
    return "\n".join(sorted(line for line in text.splitlines() if line.startswith("ml_http_requests_total")))


def test_health_says_what_does_not_work_and_live_goes_on(serve: Serve) -> None:
    with RedisServer() as redis, serve(REDIS_URL=redis.url) as api:
        assert wait_until(lambda: get(f"{api.url}/health").status_code == 200, BOUND_SECONDS)
        well = get(f"{api.url}/health")
        assert well.json()["status"] == "ok"
        assert well.json()["service"] == "scraper"
        assert well.json()["checks"]["redis"]["status"] == "ok"
        redis.kill()
        ill = get(f"{api.url}/health")
        assert ill.status_code == 503
        assert ill.json()["checks"]["redis"]["status"] == "error"
        assert get(f"{api.url}/health/live").status_code == 200
        redis.start()
        assert wait_until(lambda: get(f"{api.url}/health").status_code == 200, BOUND_SECONDS)
        with redis.paused():
            assert get(f"{api.url}/health").status_code == 503


def test_every_line_is_json_with_its_labels_from_the_first_to_the_last(serve: Serve) -> None:
    """The parent's too, which speaks before any application is imported."""
    with serve(workers=2) as api:
        get(f"{api.url}/items/a", headers={"X-Request-Id": "request-0001"})
        failed = get(f"{api.url}/broken")
        get(f"{api.url}/thread")
        api.terminate()
        lines = api.lines
    wanted = {"timestamp", "level", "logger", "event", "service", "version", "environment"}
    assert all(line.keys() >= wanted for line in lines)
    assert {(line["service"], line["version"], line["environment"]) for line in lines} == {("scraper", "abc", "test")}
    events = [line["event"] for line in lines]
    assert events[0].startswith("Uvicorn running on")
    assert any(event.startswith("Started parent process") for event in events)
    assert any(event.startswith("Stopping parent process") for event in events)
    assert not any(line["logger"] == "uvicorn.access" for line in lines)
    by_logger = {line["logger"]: line for line in lines}
    assert by_logger["item"]["request_id"] == "request-0001"
    assert {"trace_id", "span_id"} <= by_logger["item"].keys()
    [error] = [line for line in lines if line["event"] == "unexpected_error"]
    assert error["trace_id"] == failed.headers["x-trace-id"]
    assert "RuntimeError: nobody foresaw it" in error["exc_info"]
    [thread] = [line for line in lines if line["event"] == "thread_failed"]
    assert "in a thread" in thread["exc_info"]


def test_a_process_that_works_is_not_ended_for_being_busy(serve: Serve) -> None:
    """By default uvicorn ends one that does not answer within five seconds, and every request in it."""
    with serve(workers=2, UVICORN_TIMEOUT_WORKER_HEALTHCHECK="30") as api:
        answer = get(f"{api.url}/held?seconds=7")
        assert answer.status_code == 200
        assert psutil.pid_exists(int(answer.json()["pid"]))
        assert [
            line for line in api.lines if "died" in line.get("event", "") or "Terminated" in line.get("event", "")
        ] == []
