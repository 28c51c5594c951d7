"""How a call is carried out: connections that are shared, and answers that are not waited for or read without end."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import SecretStr

from ml_shared.clients.peer import UNSENT_ONLY, Call, ExchangeError, Loss, Peer, Timeouts, open_peer
from ml_shared.testing.http_server import ThreadedServer

TIMES = Timeouts(silence_seconds=20, whole_seconds=20)
BRIEF = Timeouts(silence_seconds=0.5, whole_seconds=0.6)


@dataclass
class _Odd:
    """Answers by path; remembers the connections that it was asked over, and how many requests it had at once."""

    connections: set[int] = field(default_factory=set)
    at_once: int = 0
    most_at_once: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        self.connections.add(scope["client"][1])
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        headers = [(b"content-encoding", b"gzip")] if scope["path"] == "/packed" else []
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(100 if scope["path"] in ("/drips", "/endless") else 1):
            size = 1 if scope["path"] == "/drips" else 5_000
            await send({"type": "http.response.body", "body": b"x" * size, "more_body": True})
            await asyncio.sleep(0.05 if scope["path"] in ("/drips", "/brief") else 0)
        await send({"type": "http.response.body", "body": b""})
        self.at_once -= 1


@pytest.fixture(scope="module")
def odd_server() -> Iterator[tuple[_Odd, str]]:
    odd = _Odd()
    with ThreadedServer(odd) as server:
        yield odd, server.url


@pytest.fixture
def odd(odd_server: tuple[_Odd, str]) -> _Odd:
    odd_server[0].connections.clear()
    odd_server[0].at_once = odd_server[0].most_at_once = 0
    return odd_server[0]


@pytest.fixture
async def peer(odd: _Odd, odd_server: tuple[_Odd, str]) -> AsyncIterator[Peer]:
    async with open_peer(odd_server[1], SecretStr("key"), max_connections=2) as opened:
        yield opened


def call(path: str) -> Call:
    return Call("GET", path, BRIEF if path == "/drips" else TIMES, UNSENT_ONLY, max_answer_bytes=20_000)


async def test_calls_one_after_the_other_share_a_connection(peer: Peer, odd: _Odd) -> None:
    for _ in range(5):
        assert len((await peer.exchange(call("/"))).body) == 5_000
    assert len(odd.connections) == 1


async def test_calls_at_once_have_as_many_connections_as_they_may(peer: Peer, odd: _Odd) -> None:
    await asyncio.gather(*(peer.exchange(call("/brief")) for _ in range(8)))
    assert (len(odd.connections), odd.most_at_once) == (2, 2)


@pytest.mark.parametrize(
    ("path", "loss"), [("/drips", Loss.TIMED_OUT), ("/endless", Loss.TOO_LONG), ("/packed", Loss.BROKEN)]
)
async def test_an_answer_without_end_is_given_up(peer: Peer, path: str, loss: Loss) -> None:
    with pytest.raises(ExchangeError) as error:
        await peer.exchange(call(path))
    assert error.value.loss is loss
    assert (await peer.exchange(call("/"))).status == 200, "the connection that was given up is not used again"
