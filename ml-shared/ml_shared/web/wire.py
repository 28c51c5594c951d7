"""HTTP/1.1 to one server of ours, or one that we are told to use: pooled connections, one exchange on each at a time.

httpx does this and far more for five times the CPU, a tenth of what a whole page may cost, several times a page. What is
left out is what no peer of ours needs: redirects, cookies, proxies, encodings, answers that are read in parts.
"""

import asyncio
import base64
import select
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self, cast
from urllib.parse import urlencode

import httptools
import httpx
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.http_attributes import HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.semconv.attributes.url_attributes import URL_FULL
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from ml_shared.clients.tls import shared_tls
from ml_shared.telemetry.urls import told_url

CONNECT_TIMEOUT_SECONDS: Final = 2.0
HEAD_MAX_BYTES: Final = 65_536
# of an answer
IDLE_SECONDS: Final = 5.0
# A connection that idled longer is not used again: the other end may be about to close it. nginx waits 75 s for the next
# request and uvicorn 5
JOINED_MAX_BYTES: Final = 65_536
# a longer body is not copied behind its head to be sent in one go
_PORTS: Final = {"http": 80, "https": 443}
_BROKEN_LINES: Final = ("\r", "\n", "\0")

_tracer = trace.get_tracer(__name__)


class Loss(StrEnum):
    """How an exchange came to have no answer."""

    UNREACHED = "unreached"  # nothing was sent, so nothing was done
    BROKEN = "broken"  # sent, and the connection ended before a whole answer came
    TIMED_OUT = "timed_out"  # sent, and no whole answer came in time
    TOO_LONG = "too_long"  # an answer of more bytes than are read


class ExchangeError(Exception):
    """There is no answer.

    Attributes
    ----------
    loss
        How, which says whether the request may have been carried out.
    """

    def __init__(self, loss: Loss, reason: str) -> None:
        super().__init__(f"{loss} ({reason})")
        self.loss = loss


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an exchange may take.

    Attributes
    ----------
    connect_seconds
        To get a connection: from the pool, and again to make one.
    silence_seconds
        The longest pause of the peer while it reads or answers.
    whole_seconds
        From asking for a connection to the answer's last byte; a peer that drips is not waited for.
    """

    silence_seconds: float
    whole_seconds: float
    connect_seconds: float = CONNECT_TIMEOUT_SECONDS


class ReplyHeaders(dict[str, str]):
    """An answer's headers: the names are lower-case, and may be asked for as they are usually written."""

    def get(self, name: str, otherwise: Any = None) -> Any:
        """Return a header's value."""
        return super().get(name.lower(), otherwise)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer, whatever its status."""

    status: int
    headers: ReplyHeaders
    body: bytes


class Wire:
    """Connections to one origin, of the loop that it was opened on. Make it with `open`."""

    def __init__(
        self, origin: "_Origin | None", headers: Mapping[str, str], *, connections: int, idle_seconds: float
    ) -> None:
        self._origin = origin
        self._fixed = _lines(headers)
        self._places = asyncio.Semaphore(connections)
        self._idle: list[_Connection] = []
        self._idle_seconds = idle_seconds

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, headers: Mapping[str, str], *, connections: int, idle_seconds: float = IDLE_SECONDS
    ) -> AsyncIterator[Self]:
        """Open a pool that is empty yet.

        Parameters
        ----------
        url
            The origin, and any path before that of each request. One that is none can't be reached.
        headers
            Of every request.
        connections
            How many there may be; who finds none waits for one.
        idle_seconds
            How long one that idled is used again.

        Raises
        ------
        ValueError
            If a header can't be one.
        """
        origin = _Origin.of(url)
        wire = cls(
            origin,
            {**headers, **(origin.headers if origin is not None else {})},
            connections=connections,
            idle_seconds=idle_seconds,
        )
        try:
            yield wire
        finally:
            for connection in wire._idle:
                connection.close()
            wire._idle.clear()
            await asyncio.sleep(0)  # the loop closes them on its next turn

    async def exchange(
        self,
        method: str,
        path: str,
        times: Timeouts,
        *,
        parameters: Mapping[str, str] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int,
    ) -> Reply:
        """Send a request and return the whole answer to it. The span is a client's, and the request carries it on.

        Parameters
        ----------
        path
            As it is to stand in the request, escaped where it has to be.
        max_bytes
            Of the answer's body.

        Raises
        ------
        ExchangeError
            If there is none.
        """
        origin = self._origin
        if origin is None:
            raise ExchangeError(Loss.UNREACHED, "no address")
        target = origin.prefix + path
        span = _client_span(origin, method, target)
        try:
            told: dict[str, str] = {}
            propagate.inject(told, trace.set_span_in_context(span) if span is not None else None)
            query = f"?{urlencode(parameters)}" if parameters else ""
            head = self._head(method, target + query, content, {**(headers or {}), **told})
            reply = await self._exchanged(origin, head, content or b"", times, max_bytes)
        except BaseException as error:
            _tell(span, error)
            raise
        if span is not None:
            span.set_attribute(HTTP_RESPONSE_STATUS_CODE, reply.status)
            if reply.status >= 400:
                span.set_attribute(ERROR_TYPE, str(reply.status))
                span.set_status(Status(StatusCode.ERROR))
            span.end()
        return reply

    def _head(self, method: str, target: str, content: bytes | None, headers: Mapping[str, str]) -> bytes:
        try:
            own = _lines(headers)
            if content is not None or method in ("POST", "PUT", "PATCH"):
                own += f"Content-Length: {len(content or b'')}\r\n"
            if not target.startswith("/") or not target.isprintable() or " " in target:
                raise ValueError("a path that can't be one")
            return f"{method} {target} HTTP/1.1\r\n{self._fixed}{own}\r\n".encode("ascii")
        except ValueError as error:  # of characters beyond ASCII, too
            raise ExchangeError(Loss.UNREACHED, type(error).__name__) from error

    async def _exchanged(
        self, origin: "_Origin", head: bytes, content: bytes, times: Timeouts, max_bytes: int
    ) -> Reply:
        until = time.monotonic() + times.whole_seconds
        await self._take_place(min(times.connect_seconds, times.whole_seconds))
        try:
            seconds = min(times.connect_seconds, until - time.monotonic())
            connection = self._fresh() or await _connected(origin, seconds)
            try:
                return await connection.exchange(head, content, times.silence_seconds, until, max_bytes)
            finally:
                if connection.reusable:
                    self._idle.append(connection)
                else:
                    connection.close()
        finally:
            self._places.release()

    async def _take_place(self, seconds: float) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(seconds):
                await self._places.acquire()
        except TimeoutError as error:
            raise ExchangeError(Loss.UNREACHED, "no connection came free") from error

    def _fresh(self) -> "_Connection | None":
        """Return an open connection that idled not long, the last one used first, and close those that are of no use."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_fresh(self._idle_seconds):
                return connection
            connection.close()
        return None


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a wire leads, as its parts are needed."""

    host: str
    port: int
    tls: bool
    told: str
    prefix: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, url: str) -> "_Origin | None":
        try:
            parsed = httpx.URL(url)
        except httpx.InvalidURL:
            return None
        if parsed.scheme not in _PORTS or not parsed.host:
            return None
        netloc = parsed.netloc.decode("ascii")
        headers = {"Host": netloc}
        if parsed.userinfo:
            named = f"{parsed.username}:{parsed.password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(named).decode()}"
        return cls(
            host=parsed.raw_host.decode("ascii").strip("[]"),
            port=parsed.port or _PORTS[parsed.scheme],
            tls=parsed.scheme == "https",
            told=f"{parsed.scheme}://{netloc}",
            prefix=parsed.raw_path.partition(b"?")[0].decode("ascii").rstrip("/"),
            headers=headers,
        )


async def _connected(origin: _Origin, seconds: float) -> "_Connection":
    loop = asyncio.get_running_loop()
    tls = shared_tls() if origin.tls else None
    try:
        async with asyncio.timeout(seconds):
            _, connection = await loop.create_connection(lambda: _Connection(loop), origin.host, origin.port, ssl=tls)
    except (OSError, UnicodeError) as error:  # a TimeoutError is one, and what is wrong with TLS
        raise ExchangeError(Loss.UNREACHED, type(error).__name__) from error
    return connection


def _client_span(origin: _Origin, method: str, target: str) -> Span | None:
    if not is_http_instrumentation_enabled():
        return None
    known: dict[str, str | int] = {
        HTTP_REQUEST_METHOD: method,
        URL_FULL: told_url(origin.told + target),  # without its query
        SERVER_ADDRESS: origin.host,
        SERVER_PORT: origin.port,
    }
    return _tracer.start_span(method, kind=SpanKind.CLIENT, attributes=known)  # as httpx' instrumentation names it


class _Connection(asyncio.Protocol):
    """One connection, and what comes over it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answered: asyncio.Future[Reply] | None = None
        self._begin(0)
        self._spoiled = False
        self.stirred_at = 0.0  # when the other end last read or said something

    def _begin(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._headers = ReplyHeaders()
        self._parts: list[bytes] = []
        self._length = self._head_length = 0
        self._in_body = False

    # what a pool does with it

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent over it."""
        return not self._spoiled and self._transport is not None and not self._transport.is_closing()

    def is_fresh(self, idle_seconds: float) -> bool:
        """Return whether it is still open, as far as can be known.

        The loop may not have run since it was used last, in a worker between two tasks, so the socket itself is asked.
        """
        if not self.reusable or self._transport is None or time.monotonic() - self.stirred_at > idle_seconds:
            return False
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket"), select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close it, whatever is under way."""
        self._spoiled = True
        if self._transport is not None:
            self._transport.abort()

    async def exchange(
        self, head: bytes, content: bytes, silence_seconds: float, until: float, max_bytes: int
    ) -> Reply:
        """Send a request, and return the answer."""
        if not self.reusable or self._transport is None:
            raise ExchangeError(Loss.UNREACHED, "the connection was closed")
        self._begin(max_bytes)
        self._answered = answered = self._loop.create_future()
        self.stirred_at = time.monotonic()
        if len(content) <= JOINED_MAX_BYTES:
            self._transport.write(head + content)
        else:
            self._transport.write(head)
            self._transport.write(content)
        watch = _Watch(self, self._transport, silence_seconds, until)
        try:
            reply: Reply = await answered
            return reply
        finally:
            watch.stop()
            self._answered = None
            if answered.cancelled() or answered.exception() is not None or self._transport.get_write_buffer_size():
                self._spoiled = True  # an answer before the request was read whole: the rest of it is none

    def fail(self, loss: Loss, reason: str) -> None:
        """End the exchange that is under way without an answer."""
        self._spoiled = True
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ExchangeError(loss, reason))

    # asyncio's hooks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        self.stirred_at = time.monotonic()
        try:
            self._parser.feed_data(data)
        except Exception as error:  # noqa: BLE001 - the parser's, or one that a hook raised; a server's words are not told
            self.fail(Loss.BROKEN, type(error).__name__)
        if self._answered is None:
            self._spoiled = True  # an answer that nothing was asked for
        if self._spoiled and self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        without_length = "content-length" not in self._headers and "transfer-encoding" not in self._headers
        if error is None and self._in_body and without_length:
            self._end()  # such a body is as long as the connection is open
        self.fail(Loss.BROKEN, type(error).__name__ if error is not None else "closed")

    # the parser's hooks

    def on_message_begin(self) -> None:
        """Begin an answer."""
        if self._answered is None or self._answered.done():
            self._spoiled = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; of one that comes twice both values, parted by a comma."""
        self._head_length += len(name) + len(value)
        if self._head_length > HEAD_MAX_BYTES:
            self.fail(Loss.BROKEN, "endless headers")
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        """Look at the headers before there is a body."""
        if self._parser.get_status_code() < 200:
            return
        self._in_body = True
        if self._headers.get("content-encoding", "identity") != "identity":
            # not asked for, and a few bytes of it may unpack to gigabytes
            self.fail(Loss.BROKEN, "an answer in an encoding that was not asked for")

    def on_body(self, part: bytes) -> None:
        """Take part of the body."""
        self._length += len(part)
        if self._length > self._max_bytes:
            self.fail(Loss.TOO_LONG, f"more than {self._max_bytes} bytes")
        elif not self._spoiled:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        """End an answer, unless it was one of those that announce another."""
        if self._parser.get_status_code() < 200:
            self._headers = ReplyHeaders()
            return
        if not self._parser.should_keep_alive():
            self._spoiled = True
        self._end()

    def _end(self) -> None:
        self._in_body = False
        if self._answered is not None and not self._answered.done():
            status = self._parser.get_status_code()
            self._answered.set_result(Reply(status, self._headers, b"".join(self._parts)))


class _Watch:
    """Ends an exchange whose time is up: in all, or since the other end last read or said something."""

    def __init__(
        self, connection: _Connection, transport: asyncio.Transport, silence_seconds: float, until: float
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._silence = silence_seconds
        self._until = until
        self._loop = asyncio.get_running_loop()
        self._unsent = transport.get_write_buffer_size()
        self._look_at(time.monotonic() + silence_seconds)

    def stop(self) -> None:
        """Look no longer."""
        self._timer.cancel()

    def _look_at(self, moment: float) -> None:
        self._timer = self._loop.call_later(max(min(moment, self._until) - time.monotonic(), 0.0), self._look)

    def _look(self) -> None:
        now = time.monotonic()
        unsent, before = self._transport.get_write_buffer_size(), self._unsent
        if unsent != before:
            self._unsent, self._connection.stirred_at = unsent, now
        if now >= self._until:
            self._connection.fail(Loss.TIMED_OUT, "in all")
        elif now >= self._connection.stirred_at + self._silence:
            self._connection.fail(Loss.TIMED_OUT, "silence")
        else:
            self._look_at(self._connection.stirred_at + self._silence)


def _lines(headers: Mapping[str, str]) -> str:
    lines = ""
    for name, value in headers.items():
        if any(character in name or character in value for character in _BROKEN_LINES):
            raise ValueError(f"the header {name!r} can't be sent")
        lines += f"{name}: {value}\r\n"
    return lines


def _tell(span: Span | None, error: BaseException) -> None:
    if span is not None:
        span.set_attribute(ERROR_TYPE, str(error.loss) if isinstance(error, ExchangeError) else type(error).__name__)
        span.set_status(Status(StatusCode.ERROR))
        span.end()
