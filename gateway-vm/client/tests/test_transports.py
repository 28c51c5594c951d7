"""What bounds a request and its answer, in both transports: on a clock that only the server moves."""

import asyncio
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from cloudcix_ml.core.effects import Operation
from cloudcix_ml.core.session import Session
from cloudcix_ml.errors import TransportError
from cloudcix_ml.models.jobs import JobAccepted
from cloudcix_ml.operations.uploads import UPLOAD_TIMEOUT_SECONDS, upload
from cloudcix_ml.transports import reading
from cloudcix_ml.transports.awaiting import AwaitingTransport
from cloudcix_ml.transports.blocking import BlockingTransport

ACCEPTED = b'{"job_id": "j1", "status": "queued"}'
MEGABYTE = 1024 * 1024


class Clock:
    """Seconds that pass when somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """A server that takes its time for each piece of a request, and for each byte of its answer."""

    def __init__(self, clock: Clock, *, a_piece: float = 0.0, a_byte: float = 0.0) -> None:
        self._clock, self._a_piece, self._a_byte = clock, a_piece, a_byte
        self.pieces: list[int] = []
        self.lengths: list[str | None] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        for piece in request.stream:
            self._came(piece)
        return self._answer(request, self._drops())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        async for piece in request.stream:
            self._came(piece)

        async def drops() -> Any:
            for drop in self._drops():
                yield drop

        return self._answer(request, drops())

    def _came(self, piece: bytes) -> None:
        self.pieces.append(len(piece))
        self._clock.now += self._a_piece

    def _drops(self) -> Iterator[bytes]:
        for at in range(len(ACCEPTED)):
            self._clock.now += self._a_byte
            yield ACCEPTED[at : at + 1]

    def _answer(self, request: httpx.Request, content: Any) -> httpx.Response:
        self.lengths.append(request.headers.get("content-length"))
        assert "transfer-encoding" not in request.headers
        return httpx.Response(202, content=content)


def blocking(session: Session, server: Slow, operation: Operation[Any]) -> Any:
    with httpx.Client(transport=server) as http:
        return BlockingTransport(session, http).run(operation)


def awaiting(session: Session, server: Slow, operation: Operation[Any]) -> Any:
    async def run() -> Any:
        async with httpx.AsyncClient(transport=server) as http:
            return await AwaitingTransport(session, http).run(operation)

    return asyncio.run(run())


Run = Callable[[Session, Slow, Operation[Any]], Any]
both = pytest.mark.parametrize("run", [blocking, awaiting])


def sent(run: Run, server: Slow, clock: Clock, size: int = MEGABYTE) -> JobAccepted:
    session = Session("http://x", None, clock=clock)
    accepted: JobAccepted = run(session, server, upload(session, BytesIO(b"x" * size), name="a.md"))
    return accepted


@both
def test_a_file_that_takes_long_to_send_is_accepted_when_the_answer_comes(run: Run) -> None:
    clock = Clock()
    server = Slow(clock, a_piece=UPLOAD_TIMEOUT_SECONDS / 10)
    assert sent(run, server, clock).job_id == "j1"
    assert clock.now > UPLOAD_TIMEOUT_SECONDS
    assert len(server.pieces) > 10


@both
def test_a_long_body_is_sent_in_pieces_and_with_its_length(run: Run) -> None:
    server = Slow(Clock())
    sent(run, server, Clock())
    assert max(server.pieces) <= reading.PIECE_BYTES
    assert server.lengths == [str(sum(server.pieces))]
    sent(run, server, Clock(), size=10)
    assert server.lengths[1] == str(server.pieces[-1])


@both
def test_a_request_that_is_hardly_read_is_given_up(run: Run) -> None:
    clock = Clock()
    server = Slow(clock, a_piece=UPLOAD_TIMEOUT_SECONDS - 1)
    with pytest.raises(TransportError, match="could not be sent in time") as caught:
        sent(run, server, clock)
    assert caught.value.sent
    assert clock.now < UPLOAD_TIMEOUT_SECONDS * 2 + MEGABYTE / reading.LEAST_BYTES_PER_SECOND


@both
def test_an_answer_that_comes_in_drops_is_given_up(run: Run) -> None:
    clock = Clock()
    with pytest.raises(TransportError, match="did not end in time"):
        sent(run, Slow(clock, a_byte=UPLOAD_TIMEOUT_SECONDS / 10), clock)
