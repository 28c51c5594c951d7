"""The gateway's error log on its way to Loki: of what a client sent, nothing leaves the VM that may be a key."""

import socket

import httpx
import pytest
from alloy_files import REPOSITORY, blocks
from alloy_stages import Entry, run

from ml_shared.testing.binaries import find_nginx
from ml_shared.testing.gateway import SERVICES, GatewayServer
from ml_shared.testing.plugin import require
from ml_shared.testing.servers import wait_until

CANARY = "sk-Canary4711"
REFERER = f"http://elsewhere.example/?page={CANARY}"
BEGINNING = "2026/11/28 08:00:00 [error] 7#7: *3 "
CLIENT = "client: 192.0.2.7, server: _, "


def passed_on(lines: list[str], config: str = "gateway-vm") -> list[Entry]:
    return run(blocks(config)["loki.process.error_log"], lines, {"filename": "/var/log/nginx/error.log"})[0]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What nginx writes of requests that fail, if it is told to: no service is there."""
    nginx = require(find_nginx)
    told = {"GATEWAY_REQUEST_ERROR_LEVEL": "warn", "GATEWAY_FLEET_ALLOW": ""}
    state = tmp_path_factory.mktemp("gateway")
    with socket.socket() as silent:  # bound, so that nobody else is there, and not listening
        silent.bind(("127.0.0.1", 0))
        addresses = dict.fromkeys(SERVICES, f"127.0.0.1:{silent.getsockname()[1]}")
        with (
            GatewayServer(nginx, REPOSITORY / "gateway-vm", state, upstreams=addresses, **told) as gateway,
            httpx.Client(base_url=gateway.url, headers={"Referer": REFERER}, timeout=30) as client,
        ):
            query = f"?page={CANARY}&q=%73k{CANARY}"
            assert client.get(f"/api/scraper/pages/a1{query}").status_code == 502
            assert client.get(f"/api/orchestrator/content/r1{query}").status_code == 404
            assert client.post(f"/api/chunking/chunk{query}", content=bytes(100_000)).status_code == 502
            assert client.post(f"/health{query}", content=bytes(2000)).status_code == 413
            # nginx writes a line about a request after the answer to it
            assert wait_until(lambda: len(gateway.error_log.read_text().splitlines()) >= 5, 60)
            return gateway.error_log.read_text().splitlines()


@pytest.mark.parametrize("config", ["gateway-vm", "laptop"])
def test_a_line_about_a_request_leaves_without_query_and_referer(lines: list[str], config: str) -> None:
    assert all(CANARY in line for line in lines)
    entries = passed_on(lines, config)
    assert "Canary" not in "".join(entry.line for entry in entries)
    assert "elsewhere.example" not in "".join(entry.line for entry in entries)


def test_it_still_says_what_failed_and_for_which_path(lines: list[str]) -> None:
    said = "\n".join(entry.line for entry in passed_on(lines))
    for what, request in (
        ("connect() failed (111: Connection refused) while connecting to upstream", "GET /api/scraper/pages/a1"),
        ("access forbidden by rule", "GET /api/orchestrator/content/r1"),
        ("a client request body is buffered to a temporary file", "POST /api/chunking/chunk"),
        ("client intended to send too large body: 2000 bytes", "POST /health"),
    ):
        assert what in said
        assert f'client: 127.0.0.1, server: _, request: "{request} (masked)\n' in f"{said}\n"


@pytest.mark.parametrize(
    ("behind", "left"),
    [
        (f'request: "GET /x?q={CANARY} HTTP/1.1", host: "x"', 'request: "GET /x (masked)'),
        (f'request: "GET /x", request: "?{CANARY} HTTP/1.1", host: "x"', 'request: "GET /x (masked)'),
        (f'request: "GET /x%3Fq={CANARY} HTTP/1.1", host: "x"', 'request: "GET /x (masked)'),
        (f'request: "GET http://x/?q={CANARY} HTTP/1.1", host: "x"', 'request: " (masked)'),
        (f'request: "{CANARY}"', 'request: " (masked)'),
        ('request: "', 'request: " (masked)'),
        (f'subrequest: "/x?{CANARY}", upstream: "http://192.0.2.9/x?{CANARY}"', 'subrequest: " (masked)'),
        (f'upstream: "http://192.0.2.9:80/x?{CANARY}", host: "x"', 'upstream: " (masked)'),
        (f'host: "x{CANARY}", referrer: "{REFERER}"', 'host: " (masked)'),
        (f'referrer: "a", request: "{CANARY}\n{CANARY}"', 'referrer: " (masked)'),
    ],
)
def test_whatever_a_client_sent_is_cut_off_at_the_first_thing_that_is_not_plain(behind: str, left: str) -> None:
    (entry,) = passed_on([f"{BEGINNING}upstream timed out, {CLIENT}{behind}"])
    assert entry.line == f"{BEGINNING}upstream timed out, {CLIENT}{left}"
    assert entry.labels["level"] == "error"


@pytest.mark.parametrize(
    "line",
    [
        "2026/11/28 08:00:00 [alert] 7#7: 16384 worker_connections are not enough",
        "2026/11/28 08:00:00 [crit] 7#7: accept4() failed (24: Too many open files)",
        '2026/11/28 08:00:00 [emerg] 1#1: host not found in upstream "scraper:8001" in /etc/nginx/nginx.conf:98',
        "2026/11/28 08:00:00 [warn] 7#7: *9 SSL_do_handshake() failed, client: 192.0.2.7, server: 0.0.0.0:443",
    ],
)
def test_a_line_about_nginx_itself_stays_as_it_is(line: str) -> None:
    (entry,) = passed_on([line])
    assert entry.line == line
