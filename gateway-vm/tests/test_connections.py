"""What one client can hold of the gateway: connections without a request, open bodies, and the memory that those take."""

import re
import select
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from conftest import GATEWAY_FOLDER, HANG_SECONDS, UNLIMITED, Gateway, StartGateway
from test_kernel_rules import AT_ONCE, EXAMPLE, still_open, told

from ml_shared.clients.tls import shared_tls
from ml_shared.testing.servers import wait_until

HALF_SENT = Path(__file__).with_name("half_sent.py")
TEMPLATE = (GATEWAY_FOLDER / "nginx" / "nginx.conf.template").read_text()
COMPOSE = (GATEWAY_FOLDER / "docker-compose.yml").read_text()
MEGABYTE = 2**20


def _folder(tmp_path: Path, **changes: str) -> Path:
    """Return a gateway-vm whose template has other values for these directives."""
    folder = tmp_path / "gateway-vm"
    shutil.copytree(GATEWAY_FOLDER / "nginx", folder / "nginx")
    shutil.copy(GATEWAY_FOLDER / ".env.example", folder)
    text = TEMPLATE
    for name, value in changes.items():
        text, found = re.subn(rf"^( +{name} +)[^;]+;", rf"\g<1>{value};", text, flags=re.MULTILINE)
        assert found == 1, name
    (folder / "nginx" / "nginx.conf.template").write_text(text)
    return folder


@contextmanager
def _half_sent(gateway: Gateway, count: int) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, str(HALF_SENT), "127.0.0.1", str(gateway.port), str(count), str(HANG_SECONDS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flood:
        try:
            yield flood
        finally:
            flood.terminate()


def test_half_sent_requests_leave_others_their_answers(start_gateway: StartGateway, tmp_path: Path) -> None:
    """A fifteenth of the connections that a worker has, and all that the kernel lets one address open."""
    long = _folder(tmp_path, client_header_timeout="1000s")
    with start_gateway(folder=long, GATEWAY_WORKER_CONNECTIONS="1024", **UNLIMITED) as gateway:
        with _half_sent(gateway, AT_ONCE) as flood:
            assert told(flood) == AT_ONCE
            for _ in range(20):
                with httpx.Client(timeout=HANG_SECONDS, verify=shared_tls()) as other:
                    # far less patient than the flood, which is ended after a thousand seconds
                    assert other.get(f"{gateway.server.url}/api/scraper/x").status_code == 200
            assert still_open(flood) == AT_ONCE
        assert "not enough" not in gateway.server.error_log.read_text()


def test_a_half_sent_request_is_ended_when_its_time_is_over(start_gateway: StartGateway, tmp_path: Path) -> None:
    with (
        start_gateway(folder=_folder(tmp_path, client_header_timeout="2s"), **UNLIMITED) as gateway,
        _half_sent(gateway, 300) as flood,
        socket.create_connection(("127.0.0.1", gateway.port), timeout=HANG_SECONDS) as endless,
    ):
        assert told(flood) == 300
        with suppress(ConnectionError):  # which may be over already
            endless.sendall(b"GET / HTTP/1.1\r\n")
        # a drop now and then doesn't gain any time
        assert wait_until(lambda: not _takes_more(endless), HANG_SECONDS, 0.1)
        assert wait_until(lambda: still_open(flood) == 0, HANG_SECONDS, 0.1)


def test_a_slow_request_is_answered(start_gateway: StartGateway, tmp_path: Path) -> None:
    """With more time than any machine takes for its pieces: the deployment's own is ten seconds."""
    with (
        start_gateway(folder=_folder(tmp_path, client_header_timeout="600s"), **UNLIMITED) as gateway,
        socket.create_connection(("127.0.0.1", gateway.port), timeout=HANG_SECONDS) as slow,
    ):
        for piece in (b"GET /api/scr", b"aper/x HTTP/1.1\r\n", b"Host: x\r\n", b"\r\n"):
            slow.sendall(piece)
            time.sleep(0.05)
        assert slow.recv(4096).startswith(b"HTTP/1.1 200 ")


def _takes_more(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"A: b\r\n")
    except ConnectionError:
        return False
    return True


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 1000000",
        "Content-Length: 60000000",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: CHUNKED",
    ],
)
def test_an_address_with_too_many_large_bodies_open_sends_only_small_ones(
    start_gateway: StartGateway, head: str
) -> None:
    with start_gateway(GATEWAY_LARGE_BODIES_PER_IP="2", **UNLIMITED) as gateway, ExitStack() as stack:
        begun = []
        for _ in range(3):
            begun.append(
                stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=HANG_SECONDS))
            )
            request = f"POST /api/embedding/x HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n5\r\nhello\r\n"
            begun[-1].sendall(request.encode())
        # one of the three, whichever worker was the last
        (refused,) = select.select(begun, [], [], HANG_SECONDS)[0]
        said = refused.recv(4096)
        assert b'"code":"rate_limited"' in said
        assert b"Retry-After: 1\r\n" in said
        assert gateway.post("/api/embedding/x", content=bytes(999_999)).status_code == 200
        assert gateway.post("/api/embedding/x", content=bytes(1_000_000)).status_code == 429
        assert gateway.get("/api/embedding/x").status_code == 200
        for connection in begun:
            connection.close()
        assert wait_until(
            lambda: gateway.post("/api/embedding/x", content=bytes(1_000_000)).status_code == 200, HANG_SECONDS
        )


def test_what_waits_for_one_address_leaves_the_others_some_of_the_memory() -> None:
    """The figure that README.md names: large bodies, small ones, and as many answers that wait to be read."""
    (most,) = {max(int(size) for size in re.findall(r"client_max_body_size (\d+)m;", TEMPLATE))}
    (answer,) = re.findall(r"proxy_max_temp_file_size +(\d+)m;", TEMPLATE)
    large, all_requests = int(EXAMPLE["GATEWAY_LARGE_BODIES_PER_IP"]), int(EXAMPLE["GATEWAY_CONNECTIONS_PER_IP"])
    waiting = large * most * MEGABYTE + (all_requests - large) * 1_000_000 + all_requests * int(answer) * MEGABYTE
    assert EXAMPLE["NGINX_TEMP_SIZE"] == "1g"
    assert waiting < 2**30 * 0.9
    assert f"{round(waiting / 1e6, -1):.0f} MB" in (GATEWAY_FOLDER / "README.md").read_text()


def test_every_route_that_takes_a_large_body_counts_them() -> None:
    blocks = re.findall(r"\n        location ([^{]+) \{\n(.*?)\n        \}", TEMPLATE, re.DOTALL)
    open_to_all = {name: block for name, block in blocks if "proxy_pass" in block and "deny all" not in block}
    assert len(open_to_all) == 7
    for name, block in open_to_all.items():
        counted = "limit_conn large_per_ip ${GATEWAY_LARGE_BODIES_PER_IP};" in block
        assert counted or name == "= /health"


@pytest.mark.parametrize("path", ["/health", "/api/orchestrator/jobs/a1/events"])
def test_a_route_without_a_body_takes_none_that_would_wait_in_memory(outside: Gateway, path: str) -> None:
    assert outside.post(path, content=bytes(1025)).status_code == 413

    def chunks() -> Iterator[bytes]:
        yield bytes(2000)

    assert outside.post(path, content=chunks()).status_code == 413


def test_a_body_of_unknown_length_is_measured_as_it_comes(gateway: Gateway) -> None:
    def chunks(megabytes: int) -> Iterator[bytes]:
        for _ in range(megabytes):
            yield bytes(MEGABYTE)

    assert gateway.post("/api/orchestrator/jobs", content=chunks(2)).status_code == 200
    assert gateway.last("orchestrator").body_bytes == 2 * MEGABYTE
    seen = len(gateway.upstreams["scraper"].received)
    with suppress(httpx.WriteError):  # told so while it still sends
        assert gateway.post("/api/scraper/scrape", content=chunks(3)).status_code == 413
    assert len(gateway.upstreams["scraper"].received) == seen


def test_a_compressed_body_is_handed_on_as_it_came(gateway: Gateway) -> None:
    content = b"\x1f\x8b\x08not unpacked here"
    assert gateway.post("/api/embedding/x", content=content, headers={"Content-Encoding": "gzip"}).status_code == 200
    assert gateway.last("embedding").headers["content-encoding"] == "gzip"
    assert gateway.last("embedding").body_bytes == len(content)


def test_a_body_that_stands_still_is_ended(start_gateway: StartGateway, tmp_path: Path) -> None:
    with (
        start_gateway(folder=_folder(tmp_path, client_body_timeout="1s"), **UNLIMITED) as gateway,
        socket.create_connection(
            ("127.0.0.1", gateway.port), timeout=25
        ) as client,  # not the thirty seconds that it else has
    ):
        client.sendall(b"POST /api/scraper/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{}")
        try:
            said = client.recv(4096)
        except ConnectionResetError:
            said = b""
        assert said == b""
        assert not gateway.upstreams["scraper"].received
