"""What a connection may send before there is a request: bounded headers in bounded time, no trailers, no websockets.

And what an answer that lasts needs of its connection: to hear that the server stops, and to break it off.

uvicorn bounds headers with h11 alone, which is half as fast as httptools; it takes trailers for headers, waits for ever for
what a connection has not said, and answers what is no HTTP in plain text. It offers no way to name another protocol class
to its command, so that a running application changes the one that it has: `guard_connections()`, in the lifespan.
"""

import asyncio
from collections.abc import Callable
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Final

import httptools
import orjson
from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from ml_shared.http.problem_documents import PROBLEM_MEDIA_TYPE, problem_body
from ml_shared.names import Header

if TYPE_CHECKING:
    from asyncio import Transport

HEADERS_MAX_BYTES: Final = 64 * 1024
# request line, names and values; the gateway passes on half of it
HEADERS_MAX: Final = 100
HEADERS_SECONDS: Final = 15.0
# from a connection's first sign to the end of a request's headers; above the gateway's own
LEFTOVER_SECONDS: Final = 30.0
# for a body that comes on although its request is answered: nginx sends it from its disk

ABORT: Final = "ml_shared.abort"
# an extension of the scope, with one member of the same name: called, it breaks the connection off, with whatever its client
# has not taken

_stopping: Final[list[Callable[[], None]]] = []
_made: Final = HttpToolsProtocol.connection_made
# uvicorn's own, before it was replaced


class _HeadersError(Exception):
    """Headers that are more than are taken."""


class GuardedCycle(RequestResponseCycle):
    """uvicorn's life of one request. What nobody is there to receive any more is dropped, and is no error.

    uvloop closes a transport some moments before it tells the protocol, and raises when it is written to meanwhile.
    """

    async def send(self, message: Any) -> None:
        """ASGI's send."""
        if self.transport.is_closing():
            self.disconnected = True
        await super().send(message)

    async def run_asgi(self, app: Any) -> None:
        """uvicorn's hook: serve the request."""
        extensions = self.scope.setdefault("extensions", {})
        extensions[ABORT] = {ABORT: self._abort}
        await super().run_asgi(app)

    def _abort(self) -> None:
        self.disconnected = True
        self.transport.abort()


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol of one connection, with bounds. It becomes one as the connection is made."""

    _waits_for: str
    _header_bytes: int
    _header_count: int
    _deadline: asyncio.TimerHandle | None
    _refused: _HeadersError | None
    _cycles: list[RequestResponseCycle]

    def connection_made(self, transport: "Transport") -> None:  # type: ignore[override]  # as uvicorn has it
        """asyncio's hook."""
        self._waits_for = "request"
        self._header_bytes = self._header_count = 0
        self._deadline = self._refused = None
        self._cycles = []
        self.parser = httptools.HttpRequestParser(self)  # anew: the first one took its hooks from the class it found
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        _made(self, transport)
        self._close_after(HEADERS_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's hook. uvicorn tells only the last of several requests in a row that nobody is there."""
        self._stop_waiting()
        for cycle in self._cycles:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """uvicorn's hook: the server stops, and waits for what is under way."""
        super().shutdown()
        for told in tuple(_stopping):
            told()

    def data_received(self, data: bytes) -> None:
        """asyncio's hook."""
        if self._waits_for != "body":
            self._header_bytes += len(data)
        super().data_received(data)
        if self._waits_for == "body" or self.transport.is_closing():
            return
        if self._header_bytes > HEADERS_MAX_BYTES + len(data):  # what goes beyond may be the last piece's body
            self._refused = _HeadersError(f"the headers have more than {HEADERS_MAX_BYTES} bytes")
            self.send_400_response("")
        elif self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._close_after(HEADERS_SECONDS)

    def on_message_begin(self) -> None:
        """httptools' hook."""
        super().on_message_begin()
        self._waits_for = "headers"
        self._header_bytes = self._header_count = 0

    def on_url(self, url: bytes) -> None:
        """httptools' hook."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools' hook, for trailers too: they come after the caller was asked who he is, and are dropped."""
        if self._waits_for == "body":
            return
        self._header_count += 1
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def _count(self, more: int) -> None:
        self._header_bytes += more
        if self._header_bytes > HEADERS_MAX_BYTES or self._header_count > HEADERS_MAX:
            self._refused = _HeadersError(
                f"at most {HEADERS_MAX} headers, of {HEADERS_MAX_BYTES} bytes with the request line, are taken"
            )
            raise self._refused  # it ends the parser's work

    def on_headers_complete(self) -> None:
        """httptools' hook."""
        self._waits_for = "body"
        self._stop_waiting()
        super().on_headers_complete()
        self._cycles = [cycle for cycle in self._cycles if not cycle.response_complete]
        self._cycles.append(self.cycle)
        if self.parser.should_upgrade():  # answered as what it is without, and then the parser is of no more use
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """httptools' hook."""
        self._waits_for = "request"
        self._header_bytes = 0
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """uvicorn's hook."""
        super().on_response_complete()
        if self._waits_for == "body" and not self.pipeline:
            self._close_after(LEFTOVER_SECONDS)

    def _should_upgrade_to_ws(self) -> bool:
        return False

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: a line in the log for each would be anybody's to write."""

    def send_400_response(self, msg: str) -> None:
        """uvicorn's hook: answer what is no request of HTTP, or none that is taken."""
        if self.transport.is_closing():
            return
        if any(not cycle.response_complete for cycle in self._cycles):
            self.transport.close()  # an answer is under way, which another one must not cut into
            return
        status, code = (431, "headers_too_large") if self._refused else (400, "bad_request")
        detail = str(self._refused) if self._refused else "this is not a request of HTTP/1.1"
        request_id = token_hex(16)
        document = orjson.dumps({**problem_body(status=status, code=code, detail=detail), "request_id": request_id})
        phrase = "Request Header Fields Too Large" if self._refused else "Bad Request"
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: {PROBLEM_MEDIA_TYPE}\r\ncontent-length: {len(document)}\r\n"
            f"{Header.REQUEST_ID.lower()}: {request_id}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + document)
        self.transport.close()

    def _close_after(self, seconds: float) -> None:
        self._stop_waiting()
        self._deadline = self.loop.call_later(seconds, self._close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()


def _become_guarded(protocol: HttpToolsProtocol, transport: Any) -> None:
    protocol.__class__ = GuardedProtocol
    transport.set_protocol(protocol)  # uvloop has taken `data_received` from the class that it found
    protocol.connection_made(transport)


def when_stopping(told: Callable[[], None]) -> Callable[[], None]:
    """Have something called as the server stops, while it waits for answers that are under way; perhaps more than once.

    Returns
    -------
    Callable
        Takes it back.
    """
    _stopping.append(told)
    return lambda: _stopping.remove(told)


def guard_connections() -> None:
    """Guard every connection that uvicorn takes in this process from now on. Again, it does nothing."""
    httptools_impl.RequestResponseCycle = GuardedCycle  # type: ignore[misc]
    HttpToolsProtocol.connection_made = _become_guarded  # type: ignore[method-assign,assignment]
