"""How nginx keeps to its upstreams: several servers, kept connections, streams, and answers that do not come."""

import re
import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from conftest import GATEWAY_FOLDER, HANG_SECONDS, UNLIMITED, StartGateway, Upstream

from ml_shared.clients.tls import shared_tls
from ml_shared.testing.http_server import ThreadedServer

TIMEOUTS_SECONDS = {"orchestrator": 120, "scraper": 35, "chunking": 15, "embedding": 65}
SERVERS = "server {} max_fails=3 fail_timeout=5s;"


def test_requests_are_spread_over_the_servers_of_a_service(start_gateway: StartGateway) -> None:
    copies = [Upstream("chunking"), Upstream("chunking")]
    with ExitStack() as stack:
        servers = [stack.enter_context(ThreadedServer(copy)) for copy in copies]
        lines = " ".join(SERVERS.format(f"127.0.0.1:{server.port}") for server in servers)
        gateway = stack.enter_context(start_gateway(GATEWAY_CHUNKING_SERVERS=lines, **UNLIMITED))
        assert [gateway.get("/api/chunking/x").status_code for _ in range(20)] == [200] * 20
        assert [len(copy.received) for copy in copies] == [10, 10]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_server_that_is_down_costs_no_request_and_is_left_out_after_three(
    start_gateway: StartGateway, method: str
) -> None:
    living = Upstream("chunking")
    with socket.socket() as dead, ThreadedServer(living) as server:
        dead.bind(("127.0.0.1", 0))  # nothing listens
        down = f"127.0.0.1:{dead.getsockname()[1]}"
        lines = f"{SERVERS.format(down)} {SERVERS.format(f'127.0.0.1:{server.port}')}"
        # a day, so that no slow machine tries it again meanwhile
        lines = lines.replace("fail_timeout=5s", "fail_timeout=1d")
        with start_gateway(GATEWAY_CHUNKING_SERVERS=lines, **UNLIMITED) as gateway, ExitStack() as stack:
            # connections made at once are spread over nginx's workers, which know of each other's failures
            common = {"base_url": gateway.server.url, "timeout": HANG_SECONDS, "verify": shared_tls()}
            clients = [stack.enter_context(httpx.Client(**common)) for _ in range(20)]
            with ThreadPoolExecutor(len(clients)) as pool:
                list(pool.map(lambda client: client.get("/health"), clients))
            answers = [client.request(method, "/api/chunking/x") for client in clients]
            assert [answer.status_code for answer in answers] == [200] * 20
            tried = [gateway.log_line(answer.headers["x-request-id"])["upstream_addr"] for answer in answers]
    assert sum(down in addresses for addresses in tried) == 3
    assert len(living.received) == 20


def test_a_post_that_was_sent_is_not_sent_again(start_gateway: StartGateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as breaking:
        lines = SERVERS.format(f"127.0.0.1:{breaking.getsockname()[1]}") * 2
        breaking.settimeout(HANG_SECONDS)
        with (
            start_gateway(GATEWAY_SCRAPER_SERVERS=lines, **UNLIMITED) as gateway,
            socket.create_connection(("127.0.0.1", gateway.port), timeout=HANG_SECONDS) as client,
        ):
            client.sendall(b"POST /api/scraper/x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
            taken, _ = breaking.accept()
            assert taken.recv(4096).startswith(b"POST /x HTTP/1.1\r\n")
            taken.close()
            assert client.recv(4096).startswith(b"HTTP/1.1 502 ")
            breaking.setblocking(False)
            with pytest.raises(BlockingIOError):
                breaking.accept()


def test_a_connection_to_a_service_is_used_again(start_gateway: StartGateway) -> None:
    connections = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            connections.append(self.client_address)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            with start_gateway(GATEWAY_EMBEDDING_SERVERS=f"server 127.0.0.1:{server.server_port};") as gateway:
                assert [gateway.get("/api/embedding/x").status_code for _ in range(5)] == [204] * 5
        finally:
            server.shutdown()
            serving.join()
    assert len(connections) == 5
    assert len(set(connections)) == 1


@pytest.mark.parametrize("path", ["/jobs/a1/events", "/batches/b1/events", "/crawls/c1/runs/2/events"])
def test_an_event_reaches_the_client_before_the_next_is_made(start_gateway: StartGateway, path: str) -> None:
    # its end is the connection's: what comes in chunks, nginx hands on even from a buffer
    stream = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(HANG_SECONDS)
        servers = f"server 127.0.0.1:{listening.getsockname()[1]};"
        with (
            start_gateway(GATEWAY_ORCHESTRATOR_SERVERS=servers, **UNLIMITED) as gateway,
            socket.create_connection(("127.0.0.1", gateway.port), timeout=HANG_SECONDS) as client,
        ):
            client.sendall(
                f"GET /api/orchestrator{path} HTTP/1.0\r\nHost: x\r\nLast-Event-ID: 7\r\n"
                "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n".encode()
            )
            service, _ = listening.accept()
            with service:
                asked = service.recv(4096)
                assert asked.startswith(f"GET {path} HTTP/1.1\r\n".encode())
                assert b"\r\nLast-Event-ID: 7\r\n" in asked
                assert b"traceparent" not in asked
                service.sendall(stream)
                for number in range(3):
                    event = f"id: {number}\n\n".encode()
                    service.sendall(event)
                    said = b""
                    while event not in said:
                        said += (more := client.recv(4096))
                        assert more


@pytest.mark.parametrize("service", TIMEOUTS_SECONDS)
def test_a_service_that_does_not_answer_in_time_is_a_problem(
    start_gateway: StartGateway, tmp_path: Path, service: str
) -> None:
    folder = tmp_path / "gateway-vm"
    shutil.copytree(GATEWAY_FOLDER / "nginx", folder / "nginx")
    shutil.copy(GATEWAY_FOLDER / ".env.example", folder)
    template = folder / "nginx" / "nginx.conf.template"
    head, block = template.read_text().split(f"location /api/{service}/ {{")
    specified = f"proxy_read_timeout {TIMEOUTS_SECONDS[service]}s;"
    assert specified in block.split("\n        }")[0]
    template.write_text(f"{head}location /api/{service}/ {{{block.replace(specified, 'proxy_read_timeout 200ms;', 1)}")
    with start_gateway(folder=folder, **UNLIMITED) as gateway:
        answer = gateway.get(f"/api/{service}/held")
        assert answer.status_code == 504
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "timeout"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]


def test_every_route_of_the_orchestrator_waits_as_long_as_the_specification_says() -> None:
    template = (GATEWAY_FOLDER / "nginx" / "nginx.conf.template").read_text()
    blocks = re.findall(r"location [^{]*orchestrator/[^{]* \{\n(.*?)\n        \}", template, re.DOTALL)
    proxied = [block for block in blocks if "proxy_pass http://orchestrator" in block]
    assert len(proxied) == 4
    assert all("proxy_read_timeout 120s;" in block for block in proxied)


@pytest.mark.parametrize(
    ("status", "code", "retry_after"),
    [(500, "internal_error", None), (502, "upstream_error", "5"), (503, "unavailable", "5"), (504, "timeout", None)],
)
def test_whatever_nginx_answers_by_itself_is_a_problem(
    start_gateway: StartGateway, status: int, code: str, retry_after: str | None
) -> None:
    with start_gateway(server_files={"failing.conf": f"location = /failing {{ return {status}; }}"}) as gateway:
        answer: httpx.Response = gateway.get("/failing")
    assert (answer.status_code, answer.json()["status"], answer.json()["code"]) == (status, status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("retry-after") == retry_after
    assert answer.headers["server"] == "nginx"
