"""How a call is carried out: connections that are shared, and answers that are not waited for or read without end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr

from ml_shared.clients.peer import UNSENT_ONLY, Call, ExchangeError, Loss, Peer, Timeouts, open_peer
from ml_shared.testing.http_server import ThreadedServer

TIMES = Timeouts(silence_seconds=30, whole_seconds=30, connect_seconds=30)
BRIEF = Timeouts(silence_seconds=0.5, whole_seconds=0.6)


@dataclass
class _Tally:
    """What came of one test's requests: the connections that they came over, and how many there were at once."""

    connections: set[int] = field(default_factory=set)
    at_once: int = 0
    most_at_once: int = 0
    two: asyncio.Event = field(default_factory=asyncio.Event)


class _Odd:
    """Answers by path. Each request counts on the tally that it began on: one that was given up ends in the next test."""

    def __init__(self) -> None:
        self.tally = _Tally()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        tally = self.tally
        tally.connections.add(scope["client"][1])
        tally.at_once += 1
        tally.most_at_once = max(tally.most_at_once, tally.at_once)
        if tally.at_once == 2:
            tally.two.set()
        try:
            if scope["path"] == "/in-company":
                await tally.two.wait()
            await self._answer(scope["path"], send)
        finally:
            tally.at_once -= 1

    async def _answer(self, path: str, send: Any) -> None:
        headers = [(b"content-encoding", b"gzip")] if path == "/packed" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(100 if path in ("/drips", "/endless") else 1):
            size = 1 if path == "/drips" else 5_000
            await send({"type": "http.response.body", "body": b"x" * size, "more_body": True})
            await asyncio.sleep(0.05 if path == "/drips" else 0)
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture(scope="module")
def odd_server() -> Iterator[tuple[_Odd, ThreadedServer]]:
    odd = _Odd()
    with ThreadedServer(odd) as server:
        yield odd, server


@pytest.fixture
def tally(odd_server: tuple[_Odd, ThreadedServer]) -> _Tally:
    odd, server = odd_server
    server.settle()
    odd.tally = _Tally()
    return odd.tally


@pytest.fixture
async def peer(tally: _Tally, odd_server: tuple[_Odd, ThreadedServer]) -> AsyncIterator[Peer]:
    async with open_peer(odd_server[1].url, SecretStr("key"), max_connections=2) as opened:
        yield opened


def call(path: str) -> Call:
    return Call("GET", path, BRIEF if path == "/drips" else TIMES, UNSENT_ONLY, max_answer_bytes=20_000)


async def test_calls_one_after_the_other_share_a_connection(peer: Peer, tally: _Tally) -> None:
    for _ in range(5):
        assert len((await peer.exchange(call("/"))).body) == 5_000
    assert len(tally.connections) == 1


async def test_calls_at_once_have_as_many_connections_as_they_may(peer: Peer, tally: _Tally) -> None:
    await asyncio.gather(*(peer.exchange(call("/in-company")) for _ in range(8)))  # one alone is not answered
    assert (len(tally.connections), tally.most_at_once) == (2, 2)


async def test_a_request_that_was_given_up_counts_for_nobody_who_comes_after(
    peer: Peer, tally: _Tally, odd_server: tuple[_Odd, ThreadedServer]
) -> None:
    odd, server = odd_server
    given_up = asyncio.create_task(peer.exchange(call("/in-company")))
    async with asyncio.timeout(30):
        while not tally.at_once:
            await asyncio.sleep(0.005)
    given_up.cancel()
    await asyncio.wait({given_up})
    server.settle()
    odd.tally = later = _Tally()
    tally.two.set()
    await peer.exchange(call("/"))
    server.settle()  # it has answered before it is done
    assert (len(later.connections), later.at_once, later.most_at_once) == (1, 0, 1)


@pytest.mark.parametrize(
    ("path", "loss"), [("/drips", Loss.TIMED_OUT), ("/endless", Loss.TOO_LONG), ("/packed", Loss.BROKEN)]
)
async def test_an_answer_without_end_is_given_up(peer: Peer, path: str, loss: Loss) -> None:
    with pytest.raises(ExchangeError) as error:
        await peer.exchange(call(path))
    assert error.value.loss is loss
    assert (await peer.exchange(call("/"))).status == 200, "the connection that was given up is not used again"
