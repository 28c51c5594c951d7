"""Asks the endpoint as fast as it answers, with bodies made beforehand and answers that nobody reads: its capacity over HTTP.

`python -m bench.gpu.load` is used as `bench.gpu.client` is, with the same `Work`; `at_once` are its connections.
"""

import asyncio
import sys
from typing import Final, cast
from urllib.parse import urlsplit

import orjson
import uvloop

from bench.gpu.client import Work, input_ends, read_work
from bench.gpu.words import documents

BODIES: Final = 64


class _Asking(asyncio.Protocol):
    """One connection: the next request is sent when the answer to the last one is whole."""

    def __init__(self, requests: list[bytes], number: int, ended: asyncio.Event) -> None:
        self._requests, self._number, self._ended = requests, number, ended
        self._head, self._left = b"", 0
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without being its subclass
        self._ask()

    def _ask(self) -> None:
        self._number = (self._number + 1) % len(self._requests)
        self._transport.write(self._requests[self._number])

    def data_received(self, data: bytes) -> None:
        if not self._left:
            self._head += data
            head, separator, data = self._head.partition(b"\r\n\r\n")
            if not separator:
                return
            if not head.startswith(b"HTTP/1.1 200 "):
                self.closed.set_exception(RuntimeError(f"not a 200: {head!r}"))
                self._transport.close()
                return
            self._left = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            self._head = b""
        self._left -= len(data)
        if self._left:
            return
        if self._ended.is_set():
            self._transport.close()
        else:
            self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


def bodies(work: Work) -> list[bytes]:
    """Return requests of `chunks` texts each, of like length, as bytes."""
    texts = [text for document in documents(BODIES, work.chunks, work.vocabulary, work.tokens) for text in document]
    texts.sort(key=lambda text: text.tokens)
    where = urlsplit(work.url)
    made = []
    for start in range(0, len(texts), work.chunks):
        asked = [text.text for text in texts[start : start + work.chunks]]
        body = orjson.dumps({"model": work.model, "input": asked, "encoding_format": "base64"})
        head = (
            f"POST {where.path}/embeddings HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: Bearer {work.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


async def ask(work: Work, made: list[bytes]) -> None:
    """Ask until the input ends."""
    where, loop, ended = urlsplit(work.url), asyncio.get_running_loop(), asyncio.Event()
    print("ready", flush=True)
    asking = []
    for number in range(work.at_once):
        first = number * len(made) // work.at_once
        _, one = await loop.create_connection(
            lambda first=first: _Asking(made, first, ended),  # type: ignore[misc]
            where.hostname or "",
            where.port or 80,
        )
        asking.append(one)
    end = loop.create_task(input_ends())
    end.add_done_callback(lambda _: ended.set())
    await asyncio.gather(end, *(one.closed for one in asking))


def main() -> int:
    """Do the work that standard input describes."""
    work = read_work()
    uvloop.run(ask(work, bodies(work)))
    print("{}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
