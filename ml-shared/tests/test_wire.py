"""Calls of our own: what goes over the connections, and what is not believed that comes back."""

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from ml_shared.web.wire import FIELD_MAX_BYTES, ExchangeError, Loss, Reply, Timeouts, Wire

TIMES = Timeouts(silence_seconds=30, whole_seconds=30, connect_seconds=30)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """Read one request: its head, and its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = next((int(line.split(":")[1]) for line in head.lower().split("\r\n") if "content-length" in line), 0)
    return head, await reader.readexactly(length)


class Server:
    """Speaks as each test has it, and counts the connections that were made to it."""

    def __init__(self) -> None:
        self.talk: Talk = self.answer_all
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.answer = OK
        self.url = ""
        self.talking: set[asyncio.Task[None]] = set()

    async def answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer every request alike."""
        while True:
            await self.take(reader)
            writer.write(self.answer)

    async def take(self, reader: asyncio.StreamReader) -> None:
        """Read a request and remember it."""
        head, body = await _request(reader)
        self.heads.append(head)
        self.bodies.append(body)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.talking.add(task)
        task.add_done_callback(self.talking.discard)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await self.talk(reader, writer)
        finally:
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield made
    listening.close()
    left = set(made.talking)
    for talk in left:
        talk.cancel()
    await asyncio.gather(*left, return_exceptions=True)


@pytest.fixture
async def wire(server: Server) -> AsyncIterator[Wire]:
    async with Wire.open(f"{server.url}/api", {"X-Fixed": "1"}, connections=1) as opened:
        yield opened


async def ask(wire: Wire, method: str = "GET", times: Timeouts = TIMES, **more: Any) -> Reply:
    return await wire.exchange(method, "/it", times, **{"max_bytes": 1_000} | more)


async def lost(wire: Wire, **more: Any) -> Loss:
    with pytest.raises(ExchangeError) as error:
        await ask(wire, **more)
    return error.value.loss


async def test_a_request_says_what_it_has_to_and_answers_come_over_one_connection(wire: Wire, server: Server) -> None:
    for _ in range(3):
        reply = await ask(wire, "POST", parameters={"a": "b c&"}, content=b"body", headers={"X-Own": "2"})
    assert (reply.status, reply.body, reply.headers.get("Content-Length")) == (200, b"ok", "2")
    assert (server.connections, server.bodies) == (1, [b"body"] * 3)
    line, *fields = server.heads[-1].strip().split("\r\n")
    assert line == "POST /api/it?a=b+c%26 HTTP/1.1"
    host = server.url.removeprefix("http://")
    assert {f"Host: {host}", "X-Fixed: 1", "X-Own: 2", "Content-Length: 4"} <= set(fields)


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again(wire: Wire, server: Server) -> None:
    async def one_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.take(reader)
        writer.write(OK)

    server.talk = one_answer
    for _ in range(3):
        assert (await ask(wire)).body == b"ok"
        await asyncio.sleep(0.05)
    assert server.connections == 3


async def test_nor_is_one_that_was_closed_while_nobodys_loop_ran() -> None:
    """As between two tasks of a worker."""
    answered, closed = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for last in (False, True):
                connection, _ = listening.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(OK)
                    if not last:
                        answered.wait(60)
            closed.set()

        def leave() -> None:
            answered.set()
            time.sleep(0.1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        async with Wire.open(f"http://127.0.0.1:{listening.getsockname()[1]}", {}, connections=1) as wire:
            assert (await ask(wire)).body == b"ok"
            leave()  # beside which the loop stands still
            assert (await ask(wire)).body == b"ok"
        assert closed.wait(60)
        thread.join(60)


async def test_a_connection_that_idled_long_is_not_used_again(server: Server) -> None:
    async with Wire.open(server.url, {}, connections=1, idle_seconds=0.05) as wire:
        await ask(wire)
        await asyncio.sleep(0.1)
        await ask(wire)
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Encoding: gzip\r\n\r\n" + OK,
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    ],
    ids=["chunked", "hints before", "continue before"],
)
async def test_an_answer_is_whole_however_it_comes(wire: Wire, server: Server, answer: bytes) -> None:
    async def in_bits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.take(reader)
            for start in range(len(answer)):
                writer.write(answer[start : start + 1])
                await writer.drain()

    server.talk = in_bits
    for _ in range(2):
        reply = await ask(wire)
        assert (reply.status, reply.body) == (200, b"ok")
        assert "link" not in reply.headers
    assert server.connections == 1


async def test_an_answer_without_a_length_ends_with_its_connection(wire: Wire, server: Server) -> None:
    async def until_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.take(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nok")

    server.talk = until_the_end
    assert (await ask(wire)).body == b"ok"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxyz",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n" + b"X: %s\r\n" % (b"x" * FIELD_MAX_BYTES) + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"X: y\r\n" * 1_000 + b"\r\n",
        b"",
    ],
    ids=[
        "half",
        "half a chunk",
        "half a head",
        "no HTTP",
        "upgrade",
        "two lengths",
        "packed",
        "endless head",
        "headers without end",
        "nothing",
    ],
)
async def test_what_is_no_whole_answer_is_broken_and_its_connection_gone(
    wire: Wire, server: Server, answer: bytes
) -> None:
    async def badly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.take(reader)
        writer.write(answer)

    server.talk = badly
    assert await lost(wire, method="POST") is Loss.BROKEN  # a GET would be asked once more
    server.talk = server.answer_all
    assert (await ask(wire)).body == b"ok"
    assert server.connections == 2


async def test_an_answer_that_nothing_was_asked_for_is_nobodys(wire: Wire, server: Server) -> None:
    server.answer = OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    assert [(await ask(wire)).body for _ in range(2)] == [b"ok", b"ok"]
    assert server.connections == 2


async def test_a_longer_answer_than_is_read_is_too_long(wire: Wire, server: Server) -> None:
    server.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2_000
    assert await lost(wire) is Loss.TOO_LONG
    assert len((await ask(wire, max_bytes=2_000)).body) == 2_000


async def test_silence_has_an_end_and_slowness_only_where_the_whole_has_one(wire: Wire, server: Server) -> None:
    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.take(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        for _ in range(8):
            await asyncio.sleep(0.5)
            writer.write(b"x")
            await writer.drain()

    async def silently(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.take(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nx")
        await reader.read()

    server.talk = slowly
    assert len((await ask(wire, times=Timeouts(3, float("inf"), 30))).body) == 8
    assert await lost(wire, times=Timeouts(3, 0.3)) is Loss.TIMED_OUT
    server.talk = silently
    assert await lost(wire, times=Timeouts(0.2, float("inf"))) is Loss.TIMED_OUT


async def test_a_server_that_reads_slowly_is_not_silent(wire: Wire, server: Server) -> None:
    async def read_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        left = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while left > 0:
            left -= len(await reader.read(2**20))
            await asyncio.sleep(0.01)
        writer.write(OK)

    server.talk = read_slowly
    body = b"x" * (24 * 2**20)
    assert (await ask(wire, "PUT", content=body, times=Timeouts(30, 60, 30))).body == b"ok"


async def test_an_answer_before_the_request_was_read_ends_the_connection(wire: Wire, server: Server) -> None:
    answered = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        await answered.wait()

    server.talk = refuse
    assert (await ask(wire, "PUT", content=b"x" * (64 * 2**20))).status == 413
    answered.set()
    server.talk = server.answer_all
    assert (await ask(wire)).body == b"ok"
    assert server.connections == 2


async def test_a_request_that_was_given_up_takes_its_connection_along(wire: Wire, server: Server) -> None:
    taken, left, said = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.take(reader)
        taken.set()
        await left.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
        said.set()
        await reader.read()

    server.talk = late
    given_up = asyncio.create_task(ask(wire))
    await taken.wait()
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    server.talk = server.answer_all
    left.set()
    await said.wait()
    assert (await ask(wire)).body == b"ok"
    assert server.connections == 2


async def test_who_finds_no_connection_free_in_time_has_sent_nothing(wire: Wire, server: Server) -> None:
    taken = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.take(reader)
        taken.set()
        await reader.read()

    server.talk = hang
    hanging = asyncio.create_task(ask(wire))
    await taken.wait()
    assert await lost(wire, times=Timeouts(10, 10, connect_seconds=0.1)) is Loss.UNREACHED
    assert len(server.heads) == 1
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "no address", "ftp://127.0.0.1", "http://", "http://host.invalid", "http://[::1"]
)
async def test_where_nobody_is_nothing_was_sent(url: str) -> None:
    async with Wire.open(url, {}, connections=1) as wire:
        assert await lost(wire) is Loss.UNREACHED


@pytest.mark.parametrize(
    "more",
    [{"headers": {"X-Own": "a\r\nX-Injected: b"}}, {"headers": {"X\nY": "a"}}, {"headers": {"X-Own": "é"}}],
    ids=["value", "name", "beyond ASCII"],
)
async def test_a_header_that_can_not_be_one_is_not_sent(wire: Wire, server: Server, more: dict[str, Any]) -> None:
    assert await lost(wire, **more) is Loss.UNREACHED
    assert server.heads == []


@pytest.mark.parametrize("path", ["/a b", "/a\r\nX-Injected: b", "/é", "no/slash"])
async def test_a_path_that_can_not_be_one_is_not_sent(server: Server, path: str) -> None:
    async with Wire.open(server.url, {}, connections=1) as wire:
        with pytest.raises(ExchangeError) as error:
            await wire.exchange("GET", path, TIMES, max_bytes=10)
    assert (error.value.loss, server.heads) == (Loss.UNREACHED, [])


async def test_a_fixed_header_that_can_not_be_one_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="X-Fixed"):
        async with Wire.open("http://127.0.0.1:1", {"X-Fixed": "a\r\nb"}, connections=1):
            pass


async def test_a_user_in_the_address_is_sent_as_such_and_told_to_nobody(
    server: Server, spans: InMemorySpanExporter
) -> None:
    async with Wire.open(server.url.replace("//", "//user:pass%20word@"), {}, connections=1) as wire:
        await ask(wire)
    assert "Authorization: Basic dXNlcjpwYXNzIHdvcmQ=" in server.heads[0]
    [span] = spans.get_finished_spans()
    assert "pass" not in str(span.attributes)


async def test_a_request_is_a_clients_span_and_carries_it_on(
    wire: Wire, server: Server, spans: InMemorySpanExporter
) -> None:
    with trace.get_tracer("test").start_as_current_span("above") as above:
        await ask(wire, parameters={"secret": "value"})
    span = next(span for span in spans.get_finished_spans() if span.name == "GET")
    assert span.parent is not None
    assert (span.kind, span.parent.span_id) == (SpanKind.CLIENT, above.get_span_context().span_id)
    known = dict(span.attributes or {})
    assert (known["http.request.method"], known["http.response.status_code"]) == ("GET", 200)
    assert known["url.full"] == f"{server.url}/api/it"
    assert f"{span.context.trace_id:032x}-{span.context.span_id:016x}" in server.heads[0]


async def test_a_request_that_failed_is_so_on_its_span(wire: Wire, server: Server, spans: InMemorySpanExporter) -> None:
    server.answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    await ask(wire)
    server.answer = b"nonsense"
    await lost(wire)
    told = [(span.status.status_code, (span.attributes or {})["error.type"]) for span in spans.get_finished_spans()]
    assert told == [(StatusCode.ERROR, "503"), (StatusCode.ERROR, "broken")]


async def test_a_certificate_that_nobody_vouches_for_is_not_accepted(server: Server, tmp_path: Any) -> None:
    trustme = pytest.importorskip("trustme")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    listening = await asyncio.start_server(server, "127.0.0.1", 0, ssl=context)
    port = listening.sockets[0].getsockname()[1]
    async with Wire.open(f"https://127.0.0.1:{port}", {}, connections=1) as wire:
        assert await lost(wire) is Loss.UNREACHED
    assert server.heads == []
    listening.close()
