"""What a connection may do before it has made a request, seen from its other end."""

import asyncio
import contextlib
import json
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import uvloop
from fastapi import FastAPI
from fastapi.responses import Response
from guarded_app import build_app, settings_for

from ml_shared.http import bodies, transport
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.membership import FakeMembership
from ml_shared.testing.servers import wait_until

KEY = "user-key-0123456789"
HOST = b"Host: service\r\n"
SHORT_SECONDS = 0.3
# of a slow machine; uvicorn's own time, and the client's, are longer here
PATIENCE_SECONDS = 30
Connect = Callable[[], socket.socket]


@pytest.fixture
def app(membership: FakeMembership) -> FastAPI:
    membership.add(KEY)
    return build_app(settings_for(membership.url))


@pytest.fixture
def server(app: FastAPI) -> Iterator[ThreadedServer]:
    with ThreadedServer(app, loop_factory=uvloop.new_event_loop, keep_alive_seconds=3 * PATIENCE_SECONDS) as running:
        yield running


@pytest.fixture
def connect(server: ThreadedServer) -> Connect:
    return lambda: socket.create_connection((server.host, server.port), timeout=2 * PATIENCE_SECONDS)


def answer_of(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read until the other end closes."""
    received = b""
    while part := connection.recv(65536):
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(re.split(r":\s*", line.lower(), maxsplit=1) for line in lines)
    return int(status.split()[1]), headers, body


def told(connection: socket.socket, status: int, code: str) -> None:
    """The answer is a problem document, and the connection's end."""
    got, headers, body = answer_of(connection)
    assert (got, headers["content-type"]) == (status, "application/problem+json")
    document = json.loads(body)
    assert (document["status"], document["code"]) == (status, code)
    assert document["request_id"] == headers["x-request-id"]


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
        b"POST /numbers HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_request_is_told_so_by_a_problem_document(connect: Connect, sent: bytes) -> None:
    with closing(connect()) as connection:
        connection.sendall(sent)
        told(connection, 400, "bad_request")


@pytest.mark.parametrize(
    "headers",
    [
        b"".join(b"X-%d: 1\r\n" % number for number in range(transport.HEADERS_MAX)),
        b"X-Long: " + b"a" * transport.HEADERS_MAX_BYTES + b"\r\n",
        (b"X-Half: " + b"a" * (transport.HEADERS_MAX_BYTES // 2) + b"\r\n") * 2,
        b"X-Endless: " + b"a" * (32 * transport.HEADERS_MAX_BYTES),
    ],
    ids=["many", "one long", "long together", "without an end"],
)
def test_headers_are_bounded_in_number_and_bytes(connect: Connect, headers: bytes) -> None:
    with closing(connect()) as connection:
        try:
            connection.sendall(b"GET /health HTTP/1.1\r\n" + HOST + headers + b"\r\n")
        except ConnectionError:
            return  # refused while they were still being sent
        try:
            told(connection, 431, "headers_too_large")
        except ConnectionResetError:
            assert len(headers) > 2 * transport.HEADERS_MAX_BYTES  # the rest met a closed door, and the answer was lost


def test_headers_that_are_many_and_long_pass_within_the_bounds(connect: Connect) -> None:
    fine = b"".join(b"X-%d: %s\r\n" % (number, b"a" * 500) for number in range(90))
    with closing(connect()) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n" + HOST + fine + b"Connection: close\r\n\r\n")
        assert answer_of(connection)[0] == 200


@pytest.mark.parametrize("said", [b"", b"GET /health HTTP/1.1\r\nHost: ser", b"\r\n\r\n"])
def test_a_connection_that_makes_no_request_is_closed(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(transport, "HEADERS_SECONDS", SHORT_SECONDS)
    with closing(connect()) as connection:
        connection.sendall(said)
        began = time.monotonic()
        assert connection.recv(1) == b""
        assert time.monotonic() - began < PATIENCE_SECONDS


def test_headers_that_come_byte_by_byte_have_no_longer(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "HEADERS_SECONDS", SHORT_SECONDS)

    def closed_after(byte: bytes) -> bool:
        try:
            connection.sendall(byte)
            connection.settimeout(0.05)
            return connection.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    with closing(connect()) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nX-Slow: ")
        assert wait_until(lambda: closed_after(b"a"), PATIENCE_SECONDS)


def test_a_second_request_on_a_connection_has_the_same_bound(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(connect()) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n")
        assert b"request_id" in connection.recv(65536)
        monkeypatch.setattr(transport, "HEADERS_SECONDS", SHORT_SECONDS)
        began = time.monotonic()
        connection.sendall(b"GET /health HTTP/1.1\r\nHos")
        assert connection.recv(1) == b""
        assert time.monotonic() - began < PATIENCE_SECONDS


def test_a_key_in_a_trailer_is_no_key(connect: Connect, membership: FakeMembership) -> None:
    with closing(connect()) as connection:
        connection.sendall(
            b"POST /numbers HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
            b'Trailer: X-API-Key\r\nConnection: close\r\n\r\nd\r\n{"number": 1}\r\n0\r\nX-API-Key: '
            + KEY.encode()
            + b"\r\n\r\n"
        )
        status, _, body = answer_of(connection)
        assert (status, json.loads(body)["code"]) == (401, "missing_api_key")


def test_a_websocket_handshake_is_answered_as_what_it_is_without(connect: Connect) -> None:
    for path, status in ((b"/health", 200), (b"/whoami", 401), (b"/nowhere", 404)):
        with closing(connect()) as connection:
            connection.sendall(
                b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            assert answer_of(connection)[0] == status


@pytest.mark.parametrize("path", [b"/numbers", b"/large"])
def test_a_body_that_stops_coming_is_a_408(connect: Connect, monkeypatch: pytest.MonkeyPatch, path: bytes) -> None:
    monkeypatch.setattr(bodies, "IDLE_SECONDS", SHORT_SECONDS)
    monkeypatch.setattr(transport, "LEFTOVER_SECONDS", SHORT_SECONDS)
    head = b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"X-API-Key: " + KEY.encode() + b"\r\n"
    with closing(connect()) as connection:
        connection.sendall(head + b'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"numb')
        told(connection, 408, "request_timeout")


def test_a_body_that_comes_on_after_its_answer_has_an_end(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LEFTOVER_SECONDS", SHORT_SECONDS)
    with closing(connect()) as connection:
        connection.sendall(b"POST /numbers HTTP/1.1\r\n" + HOST + b"Content-Length: 1000\r\n\r\n")
        told(connection, 401, "missing_api_key")


@pytest.mark.parametrize("loop_factory", [None, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("rudely", [False, True])
def test_a_client_that_leaves_amid_pipelined_answers_is_no_error(
    app: FastAPI, caplog: pytest.LogCaptureFixture, loop_factory: Any, rudely: bool
) -> None:
    served: list[str] = []

    @app.get("/slow")
    async def slow() -> Response:
        await asyncio.sleep(0.1)
        served.append("slow")
        return Response(b"x" * 5_000_000)

    @app.get("/quick")
    async def quick() -> Response:
        served.append("quick")
        return Response(b"y" * 500_000)

    requests = b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n" + (b"GET /quick HTTP/1.1\r\n" + HOST + b"\r\n") * 20
    with ThreadedServer(app, loop_factory=loop_factory) as running:
        for stay_seconds in (0, 0.05, 0.11):
            seen = served.count("slow")
            connection = socket.create_connection((running.host, running.port))
            if rudely:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(requests)
            connection.settimeout(stay_seconds or 0.001)
            with contextlib.suppress(TimeoutError):
                connection.recv(1, socket.MSG_PEEK)  # to be gone before the first answer, or within it
            connection.close()
            assert wait_until(lambda seen=seen: served.count("slow") > seen, PATIENCE_SECONDS)
        with socket.create_connection((running.host, running.port)) as another:
            another.sendall(b"GET /health HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
            assert answer_of(another)[0] == 200
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []
