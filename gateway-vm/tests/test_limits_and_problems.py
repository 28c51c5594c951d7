"""What nginx answers by itself: rates, sizes, and services that are not there."""

import socket
from collections.abc import Callable
from contextlib import ExitStack

import httpx
import pytest
from conftest import HANG_SECONDS, UNLIMITED, Gateway, StartGateway

from ml_shared.clients.tls import shared_tls
from ml_shared.testing.servers import wait_until

SLOW = "1r/m"


def problem(answer: httpx.Response, status: int, code: str) -> httpx.Response:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["code"]) == (status, code)
    assert body["request_id"] == answer.headers["x-request-id"]
    assert "nginx/" not in answer.text + str(answer.headers)
    return answer


def test_an_address_over_its_rate_is_told_when_to_come_back(start_gateway: StartGateway) -> None:
    with start_gateway(GATEWAY_RATE_PER_IP=SLOW, GATEWAY_EMBEDDING_BURST_PER_IP="2") as gateway:
        statuses = [gateway.get("/api/embedding/x").status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        answer = problem(gateway.get("/api/embedding/x?q=1"), 429, "rate_limited")
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["instance"] == "/api/embedding/x"
        assert gateway.log_line(answer.headers["x-request-id"])["limit_req_status"] == "REJECTED"
        # callbacks and health are never held up
        for _ in range(5):
            assert gateway.post("/api/orchestrator/jobs/a1/complete").status_code == 200
            assert gateway.get("/health").status_code == 200


def test_a_key_has_one_limit_whichever_header_carries_it(start_gateway: StartGateway) -> None:
    rates = {"GATEWAY_RATE_PER_IP": "10000r/s", "GATEWAY_RATE_PER_KEY": SLOW, "GATEWAY_SCRAPER_BURST_PER_KEY": "1"}
    with start_gateway(**rates) as gateway:
        one, other = "key-of-alice", "key-of-bob"
        assert gateway.get("/api/scraper/x", headers={"X-API-Key": one}).status_code == 200
        assert gateway.get("/api/scraper/x", headers={"Authorization": f"Bearer {one}"}).status_code == 200
        for headers in ({"X-API-Key": one}, {"Authorization": f"bearer {one}"}):
            problem(gateway.get("/api/scraper/x", headers=headers), 429, "rate_limited")
        assert gateway.get("/api/scraper/x", headers={"X-API-Key": other}).status_code == 200
        assert [gateway.get("/api/scraper/x").status_code for _ in range(4)] == [200] * 4


def test_an_address_with_too_many_requests_open_is_told_so_and_the_others_are_served(
    start_gateway: StartGateway,
) -> None:
    with start_gateway(GATEWAY_CONNECTIONS_PER_IP="2", **UNLIMITED) as gateway, ExitStack() as stack:
        upstream = gateway.upstreams["orchestrator"]
        opened = []
        for path in ("/api/orchestrator/jobs/a1/events", "/api/orchestrator/held"):  # a stream counts too
            opened.append(
                stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=HANG_SECONDS))
            )
            opened[-1].sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            _wait(lambda: len(upstream.received) == len(opened))
        answer = problem(gateway.get("/api/scraper/x"), 429, "rate_limited")
        assert answer.headers["retry-after"] == "1"
        assert gateway.log_line(answer.headers["x-request-id"])["limit_conn_status"] == "REJECTED"
        # health, callbacks and another address are none of it
        assert gateway.get("/health").status_code == 200
        assert gateway.post("/api/orchestrator/jobs/a1/complete").status_code == 200
        if _is_here("127.0.0.2"):
            with httpx.Client(transport=_from("127.0.0.2"), timeout=HANG_SECONDS) as other:
                assert other.get(f"{gateway.server.url}/api/scraper/x").status_code == 200
        upstream.release()
        _wait(lambda: gateway.get("/api/scraper/x").status_code == 200)


def test_what_the_gateway_refuses_of_openais_clients_is_in_their_shape(start_gateway: StartGateway) -> None:
    with start_gateway(GATEWAY_RATE_PER_IP=SLOW, GATEWAY_EMBEDDING_BURST_PER_IP="1") as gateway:
        refused = gateway.post("/api/embedding/v1/embeddings", params={"api_key": "k"}, json={})
        assert refused.status_code == 400
        assert "X-API-Key" in refused.json()["error"]["message"]
        answers = [gateway.post("/api/embedding/v1/embeddings", json={}) for _ in range(3)]
        assert answers[-1].status_code == 429
        assert answers[-1].headers["content-type"] == "application/json"
        assert answers[-1].headers["retry-after"] == "1"
        error = answers[-1].json()["error"]
        assert (error["type"], error["param"], error["code"]) == ("rate_limit_error", None, "rate_limit_exceeded")
        assert "too many requests" in error["message"]
    with start_gateway(dead=("embedding",), **UNLIMITED) as gateway:
        error = gateway.post("/api/embedding/v1/embeddings", json={}).json()["error"]
        assert (error["type"], error["code"]) == ("server_error", "upstream_error")


def _wait(until: Callable[[], bool]) -> None:
    assert wait_until(until, HANG_SECONDS)


def _from(address: str) -> httpx.HTTPTransport:
    return httpx.HTTPTransport(local_address=address, verify=shared_tls())


def _is_here(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:  # macOS has 127.0.0.1 alone
            return False
        return True


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("/api/scraper/scrape", 2 * 2**20),
        ("/api/chunking/chunk", 49 * 2**20),
        ("/api/orchestrator/content", 41 * 2**20),
    ],
)
def test_a_body_beyond_the_limit_is_a_problem_before_it_is_read(gateway: Gateway, path: str, size: int) -> None:
    with socket.create_connection(("127.0.0.1", gateway.server.port), timeout=HANG_SECONDS) as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
        said = connection.recv(4096).decode()
    assert said.startswith("HTTP/1.1 413 ")
    assert "application/problem+json" in said
    assert '"code":"too_large"' in said


def test_a_service_that_is_down_is_a_problem_with_retry_after(start_gateway: StartGateway) -> None:
    with start_gateway(dead=("scraper", "orchestrator"), **UNLIMITED) as gateway:
        answer = problem(gateway.get("/api/scraper/x"), 502, "upstream_error")
        assert "127.0.0.1" not in answer.text
        assert answer.headers["retry-after"] == "5"
        problem(gateway.get("/health"), 502, "upstream_error")
        problem(gateway.post("/api/orchestrator/jobs/a1/complete"), 502, "upstream_error")
        assert gateway.get("/api/chunking/x").status_code == 200


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
@pytest.mark.parametrize("path", ["/api/scraper/x", "/api/orchestrator/jobs/a1/events", "/health", "/nothing"])
def test_a_method_that_nginx_refuses_is_answered_with_those_that_it_hands_on(
    gateway: Gateway, method: str, path: str
) -> None:
    target = "nothing.example:443" if method == "CONNECT" and _takes_an_authority(gateway) else path
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=HANG_SECONDS) as connection:
        connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        said = connection.recv(4096).decode()
    assert said.startswith("HTTP/1.1 405 ")
    assert "\r\nAllow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n" in said
    assert '"code":"method_not_allowed"' in said


def _takes_an_authority(gateway: Gateway) -> bool:
    """Tell whether this nginx reads a CONNECT as it is meant, which the older ones don't."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=HANG_SECONDS) as connection:
        connection.sendall(b"CONNECT nothing.example:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        return connection.recv(4096).startswith(b"HTTP/1.1 405 ")


def test_every_other_method_is_the_services_to_refuse_and_its_allow_passes(gateway: Gateway) -> None:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"):
        answer = gateway.client.request(method, "/api/scraper/refused")
        assert gateway.last("scraper").method == method
        assert answer.status_code == 405
        assert answer.headers.get_list("allow") == ["GET"]


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 9000 + b"\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 505),
        (b"POST /api/scraper/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: nonsense\r\n\r\n", 501),
        (b"TRACE /api/scraper/x HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    ],
)
def test_an_unreadable_request_gets_a_problem_too(gateway: Gateway, request_head: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", gateway.server.port), timeout=HANG_SECONDS) as connection:
        connection.sendall(request_head)
        said = connection.recv(4096).decode()
    assert said.startswith(f"HTTP/1.1 {status} ")
    assert f'"status":{status}' in said
    assert "application/problem+json" in said
