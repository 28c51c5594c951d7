"""The gateway's log stages, run on what a real nginx writes with the gateway's own template."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from alloy_files import REPOSITORY, blocks
from alloy_stages import Entry, Metrics, run

from ml_shared.testing.binaries import find_nginx
from ml_shared.testing.gateway import SERVICES, GatewayServer
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.plugin import require
from ml_shared.testing.servers import wait_until

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
ROUTES = {"orchestrator", "scraper", "chunking", "embedding", "events", "health", "other"}
SCRAPED_TOO_OFTEN = 6


async def service(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the number that the path ends in, and 200 where it ends in none; with a trace id, as services do."""
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    last = scope["path"].rpartition("/")[2]
    status = int(last) if last.isdecimal() else 200
    headers = [(b"x-trace-id", TRACE_ID.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


class Logged(NamedTuple):
    """What nginx wrote, as it came out of the stages."""

    lines: list[str]
    entries: list[Entry]
    metrics: Metrics
    errors: list[Entry]

    def entry(self, request_id: str) -> Entry:
        (found,) = (entry for entry in self.entries if entry.metadata["request_id"] == request_id)
        return found


def ask(client: httpx.Client) -> list[int]:
    """Send one request of each kind; nobody's limit is reached before the scraper's, whose burst is 1."""
    answers = [
        client.get("/api/orchestrator/jobs", headers={"X-Request-Id": "read-jobs-1"}),
        client.post("/api/orchestrator/jobs/201"),
        client.get("/api/orchestrator/jobs/404", headers={"X-Request-Id": "no-such-job"}),
        client.get("/api/orchestrator/jobs/a1/events?after=3"),
        client.get("/api/orchestrator/batches/a1/events"),
        client.request("PROPFIND", "/api/chunking/503"),
        client.get("/api/embedding/307"),
        client.get("/nothing/here", headers={"X-Request-Id": "by-nginx-itself"}),
        client.get("/health?api_key=told"),
        *(client.get("/api/scraper/200") for _ in range(SCRAPED_TOO_OFTEN)),
    ]
    return [answer.status_code for answer in answers]


def read_log(path: Path, wanted: int) -> list[str]:
    """nginx writes a line after the answer, so the last may be a moment away."""
    assert wait_until(lambda: len(path.read_text().splitlines()) >= wanted, 60), path.read_text()
    return path.read_text().splitlines()


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    nginx = require(find_nginx)
    limits = {f"GATEWAY_{name.upper()}_BURST_PER_IP": "1" if name == "scraper" else "20" for name in SERVICES}
    limits |= {"GATEWAY_RATE_PER_IP": "1r/m", "GATEWAY_FLEET_ALLOW": "", "GATEWAY_REQUEST_ERROR_LEVEL": "error"}
    with ThreadedServer(service) as upstream:
        addresses = dict.fromkeys(SERVICES, f"127.0.0.1:{upstream.port}")
        state = tmp_path_factory.mktemp("gateway")
        with GatewayServer(nginx, REPOSITORY / "gateway-vm", state, upstreams=addresses, **limits) as gateway:
            with httpx.Client(base_url=gateway.url, timeout=30) as client:
                statuses = ask(client)
                client.get("/api/orchestrator/content")  # of the fleet's networks only: a line in the error log
            lines = read_log(gateway.access_log, len(statuses) + 1)
            errors = read_log(gateway.error_log, 1)
    assert [json.loads(line)["status"] for line in lines[: len(statuses)]] == [str(status) for status in statuses]
    components = blocks("gateway-vm")
    label = {"filename": "/var/log/nginx/access.log"}
    entries, nothing = run(components["loki.process.access_log"], lines, label)
    assert nothing.names() == set()
    _, metrics = run(components["loki.process.access_log_metrics"], lines, label)
    return Logged(lines, entries, metrics, run(components["loki.process.error_log"], errors, label)[0])


def requests(logged: Logged, **labels: str) -> float | None:
    return logged.metrics.counter("ml_gateway_requests_total", **labels)


def test_requests_are_counted_by_route_method_and_status_class(logged: Logged) -> None:
    assert requests(logged, route="orchestrator", method="GET", status="2xx") == 1
    assert requests(logged, route="orchestrator", method="POST", status="2xx") == 1
    assert requests(logged, route="orchestrator", method="GET", status="4xx") == 2
    assert requests(logged, route="events", method="GET", status="2xx") == 2
    assert requests(logged, route="embedding", method="GET", status="3xx") == 1
    assert requests(logged, route="other", method="GET", status="4xx") == 1
    assert requests(logged, route="health", method="GET", status="4xx") == 1
    total = sum(value for (name, _), value in logged.metrics.counters.items() if name == "ml_gateway_requests_total")
    assert total == len(logged.lines)


def test_a_method_that_nobody_knows_makes_no_series_of_its_own(logged: Logged) -> None:
    assert requests(logged, route="chunking", method="other", status="5xx") == 1
    methods = {
        dict(labels)["method"] for name, labels in logged.metrics.counters if name == "ml_gateway_requests_total"
    }
    assert methods == {"GET", "POST", "other"}


def test_refusals_are_counted_by_route_and_begin_at_0(logged: Logged) -> None:
    refused = requests(logged, route="scraper", method="GET", status="4xx")
    assert refused == SCRAPED_TOO_OFTEN, "the requests before have used the address's burst up"
    assert logged.metrics.counter("ml_gateway_limited_total", route="scraper") == refused
    for route in ROUTES - {"scraper"}:
        assert logged.metrics.counter("ml_gateway_limited_total", route=route) == 0


def test_latency_is_observed_by_route_in_seconds(logged: Logged) -> None:
    for route in ROUTES:
        written = [json.loads(line)["request_time"] for line in logged.lines if json.loads(line)["route"] == route]
        assert logged.metrics.observations("ml_gateway_request_duration_seconds", route=route) == written
        assert written
    assert logged.metrics.names() == {
        *("ml_gateway_requests_total", "ml_gateway_request_duration_seconds", "ml_gateway_limited_total"),
    }


def test_lines_are_one_stream_with_ids_beside_them(logged: Logged) -> None:
    assert {tuple(sorted(entry.labels.items())) for entry in logged.entries} == {
        (("log", "access"), ("service", "nginx"))
    }
    entry = logged.entry("read-jobs-1")
    assert entry.metadata == {"request_id": "read-jobs-1", "trace_id": TRACE_ID, "status": "200"}
    assert entry.timestamp is not None
    assert entry.timestamp.isoformat() == json.loads(entry.line)["timestamp"]
    assert entry.line in logged.lines


def test_an_answer_of_nginx_itself_has_no_empty_trace_id(logged: Logged) -> None:
    assert logged.entry("by-nginx-itself").metadata == {"request_id": "by-nginx-itself", "status": "404"}


def test_an_error_line_has_its_level_as_a_label(logged: Logged) -> None:
    assert "access forbidden by rule" in "".join(entry.line for entry in logged.errors)
    assert {entry.labels["level"] for entry in logged.errors} <= {"warn", "error", "crit", "alert", "emerg"}
    assert {(entry.labels["service"], entry.labels["log"]) for entry in logged.errors} == {("nginx", "error")}
    assert all("filename" not in entry.labels for entry in logged.errors)


def test_a_line_of_an_older_nginx_counts_as_another_route() -> None:
    old = json.dumps({"method": "GET", "status": "200", "request_time": 0.2, "limit_req_status": "PASSED"})
    _, metrics = run(blocks("gateway-vm")["loki.process.access_log_metrics"], [old], {})
    assert metrics.counter("ml_gateway_requests_total", route="other", method="GET", status="2xx") == 1


def test_a_laptop_reads_the_gateways_log_in_the_same_way() -> None:
    names = ("access_log", "access_log_metrics", "error_log")
    on_vm, on_laptop = blocks("gateway-vm"), blocks("laptop")
    for component in (f"{kind}.{name}" for kind in ("loki.process", "loki.source.file") for name in names):
        assert [block.attributes for block in on_vm[component].walk()] == [
            block.attributes for block in on_laptop[component].walk()
        ]


def test_the_files_are_those_that_nginx_writes_in_the_volume() -> None:
    compose = (REPOSITORY / "gateway-vm" / "docker-compose.yml").read_text()
    template = (REPOSITORY / "gateway-vm" / "nginx" / "nginx.conf.template").read_text()
    assert "GATEWAY_LOG_DIR: /var/log/nginx\n" in compose
    for name in ("access", "error"):
        assert f"{name}_log ${{GATEWAY_LOG_DIR}}/{name}.log " in template
        (target,) = blocks("gateway-vm")[f"local.file_match.{name}_log"].attributes["path_targets"]
        assert target == {"__path__": f"/var/log/nginx/{name}.log"}
