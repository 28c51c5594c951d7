"""Asks one route as fast as it answers, over connections that stay open: a process of its own.

`python -m bench.overhead.load PORT CONNECTIONS SECONDS` reads the key from standard input and prints one JSON object:
`requests`, `seconds`, and the sorted latencies' `p50` and `p95` in seconds.
"""

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

PATIENCE_SECONDS = 10.0


class _Asking(asyncio.Protocol):
    """One connection: the next request is sent when the answer to the last one is whole."""

    def __init__(self, request: bytes, until: float, latencies: list[float], done: "asyncio.Future[None]") -> None:
        self._request, self._until, self._latencies, self._done = request, until, latencies, done
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without being its subclass
        self._ask()

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = bytes(self._buffer).partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        now = time.perf_counter()
        if not head.startswith(b"HTTP/1.1 200 "):
            self._end(RuntimeError(f"not a 200: {bytes(self._buffer)!r}"))
            return
        self._buffer.clear()
        self._latencies.append(now - self._sent)
        if now < self._until:
            self._ask()
        else:
            self._end(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or ConnectionError("the server closed the connection"))

    def _end(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None) if error is None else self._done.set_exception(error)
        self._transport.close()


async def ask(port: int, connections: int, seconds: float, key: str) -> dict[str, float]:
    """Ask for so long, and return what the answers took."""
    request = f"GET /item HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-API-Key: {key}\r\nAccept: */*\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    latencies: list[float] = []
    began = time.perf_counter()
    ended = [loop.create_future() for _ in range(connections)]
    for done in ended:
        await loop.create_connection(
            lambda done=done: _Asking(request, began + seconds, latencies, done), "127.0.0.1", port
        )
    async with asyncio.timeout(seconds + PATIENCE_SECONDS):
        await asyncio.gather(*ended)
    elapsed = time.perf_counter() - began
    latencies.sort()
    return {
        "requests": len(latencies),
        "seconds": elapsed,
        "p50": latencies[len(latencies) // 2],
        "p95": latencies[len(latencies) * 95 // 100],
    }


if __name__ == "__main__":
    port, connections, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    print(json.dumps(uvloop.run(ask(port, connections, seconds, sys.stdin.read().strip()))))
