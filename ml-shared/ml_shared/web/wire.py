"""HTTP/1.1 to one server of ours, or one that we are told to use: pooled connections, and answers that are bounded.

aiohttp does the work, for a tenth of httpx' CPU, several times a page. Here stands what it leaves to who uses it: which
way an answer was lost, how long and how large it may be, and the span.
"""

import asyncio
import base64
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from typing import Any, Final, Self
from urllib.parse import urlencode

import aiohttp
import httpx
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.utils import is_http_instrumentation_enabled
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.http_attributes import HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.semconv.attributes.url_attributes import URL_FULL
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from yarl import URL

from ml_shared.clients.tls import shared_tls
from ml_shared.telemetry.urls import told_url

CONNECT_TIMEOUT_SECONDS: Final = 2.0
FIELD_MAX_BYTES: Final = 16_384
# of one of an answer's headers
IDLE_SECONDS: Final = 5.0
# A connection that idled longer is not used again: the other end may be about to close it. nginx waits 75 s for the next
# request and uvicorn 5
REST_SECONDS: Final = 0.02
# from such a rest on the loop is let run before a connection is used again: in a worker it stood still between two tasks,
# and has yet to hear that the other end closed
AT_ONCE_MAX_BYTES: Final = 65_536
# of a body that is sent in one go
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
        To get a connection, from the pool or a new one.
    silence_seconds
        The longest pause of the peer.
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

    def __init__(self, origin: "_Origin | None", headers: Mapping[str, str], session: aiohttp.ClientSession) -> None:
        self._origin = origin
        self._fixed = _checked(headers)
        self._session = session
        self._used_at = 0.0

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
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=connections, keepalive_timeout=idle_seconds, ssl=shared_tls() if origin and origin.tls else False
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            auto_decompress=False,
            max_line_size=FIELD_MAX_BYTES,
            max_field_size=FIELD_MAX_BYTES,
        ) as session:
            yield cls(origin, {**headers, **(origin.headers if origin is not None else {})}, session)

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
            try:
                url = origin.url(target, parameters)
                fields = {**self._fixed, **_checked(headers or {}), **told}
            except ValueError as error:
                raise ExchangeError(Loss.UNREACHED, type(error).__name__) from error
            reply = await self._exchanged(method, url, fields, content, times, max_bytes)
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

    async def _exchanged(
        self, method: str, url: URL, headers: Mapping[str, str], content: bytes | None, times: Timeouts, max_bytes: int
    ) -> Reply:
        if time.monotonic() - self._used_at > REST_SECONDS:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        timeout = aiohttp.ClientTimeout(
            total=times.whole_seconds if times.whole_seconds < math.inf else None,
            connect=min(times.connect_seconds, times.whole_seconds),
            sock_read=times.silence_seconds,
        )
        try:
            async with self._session.request(
                method, url, headers=headers, data=_body(content), timeout=timeout, allow_redirects=False
            ) as answer:
                return await _read(answer, max_bytes)
        except aiohttp.ConnectionTimeoutError as error:
            raise ExchangeError(Loss.UNREACHED, "no connection in time") from error
        except (aiohttp.ClientConnectorError, aiohttp.InvalidURL, aiohttp.ClientConnectorDNSError) as error:
            raise ExchangeError(Loss.UNREACHED, type(error).__name__) from error
        except TimeoutError as error:
            raise ExchangeError(Loss.TIMED_OUT, type(error).__name__) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # a server's own words are not told
            raise ExchangeError(Loss.BROKEN, type(error).__name__) from error
        finally:
            self._used_at = time.monotonic()


def _body(content: bytes | None) -> bytes | BytesIO | None:
    """Return a body as it is to be sent: a long one bit by bit, beside what else the loop does."""
    return content if content is None or len(content) <= AT_ONCE_MAX_BYTES else BytesIO(content)


async def _read(answer: aiohttp.ClientResponse, max_bytes: int) -> Reply:
    """Read an answer's body. Leaving before its end closes the connection."""
    if answer.status < 200:
        answer.close()
        raise ExchangeError(Loss.BROKEN, "another protocol")
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        # not asked for, and a few bytes of it may unpack to gigabytes
        answer.close()
        raise ExchangeError(Loss.BROKEN, "an answer in an encoding that was not asked for")
    parts: list[bytes] = []
    length = 0
    async for part in answer.content.iter_any():
        length += len(part)
        if length > max_bytes:
            answer.close()
            raise ExchangeError(Loss.TOO_LONG, f"more than {max_bytes} bytes")
        parts.append(part)
    headers = ReplyHeaders()
    for name, value in answer.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return Reply(answer.status, headers, b"".join(parts))


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
        headers = {}
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

    def url(self, target: str, parameters: Mapping[str, str] | None) -> URL:
        """Return a request's address, nothing of it escaped once more.

        Raises
        ------
        ValueError
            If it can't be one.
        """
        if not target.startswith("/") or not target.isprintable() or " " in target or not target.isascii():
            raise ValueError("a path that can't be one")
        query = f"?{urlencode(parameters)}" if parameters else ""
        return URL(f"{self.told}{target}{query}", encoded=True)


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


def _checked(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in headers.items():
        if not (name + value).isascii() or any(sign in name or sign in value for sign in _BROKEN_LINES):
            raise ValueError(f"the header {name!r} can't be sent")
    return headers


def _tell(span: Span | None, error: BaseException) -> None:
    if span is not None:
        span.set_attribute(ERROR_TYPE, str(error.loss) if isinstance(error, ExchangeError) else type(error).__name__)
        span.set_status(Status(StatusCode.ERROR))
        span.end()
