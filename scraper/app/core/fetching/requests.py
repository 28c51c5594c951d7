"""One HTTP request to an address that a stranger named (`ml_shared.web.pinned` says why by httpcore)."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import httpcore

from app.core.errors import FetchTimeoutError, PageTooLargeError, UnsupportedContentTypeError
from app.core.extraction import kinds, sniffing
from app.core.fetching.decoding import ACCEPT_ENCODING, Decoder
from ml_shared.errors import UpstreamError
from ml_shared.web.addresses import AddressGuard
from ml_shared.web.pinned import PinnedBackend, connection_error

ACCEPT: Final = "text/html, application/xhtml+xml, text/markdown, text/plain;q=0.9, application/pdf;q=0.9, */*;q=0.5"
_PORTS: Final = {"http": 80, "https": 443}
_JOINED: Final = {
    **dict.fromkeys(("cache-control", "content-encoding", "content-type", "vary"), ", "),
    "x-robots-tag": "\n",  # a robot's name holds in its own line
}
# of these headers each one counts
_CIPHERTEXT_SLACK_BYTES: Final = 65_536
# a body is read encoded; it may be this much longer than the limit on what it decodes to


class Budget:
    """Time on the network for one page, shared by everything that is fetched on its behalf; it keeps count of that.

    Attributes
    ----------
    bytes_received
        Of bodies, as they were sent.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.bytes_received = 0
        self._left = seconds

    @asynccontextmanager
    async def spend(self) -> AsyncIterator[None]:
        """Take the time of the `async with` block off the budget, and end the block when nothing is left.

        Raises
        ------
        FetchTimeoutError
            If nothing is left.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(max(self._left, 0.0)) as limit:
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise FetchTimeoutError(f"the page did not arrive within {self.seconds:g} s") from error
        finally:
            self._left -= loop.time() - began


@dataclass(frozen=True)
class BodyRule:
    """Which bodies are read, and how far.

    Attributes
    ----------
    media_types
        What is read; `None` for anything. Another type ends the request before its body is read, and so does a body
        that begins like one, whatever the header says. Where the header says nothing, the body alone tells.
    max_bytes
        Most decoded bytes.
    cut
        Whether a longer body is cut off there, or refused.
    """

    max_bytes: int
    media_types: frozenset[str] | None = None
    cut: bool = False


@dataclass(frozen=True)
class Answer:
    """What a host answered. The body is empty unless the status is one of success.

    Attributes
    ----------
    headers
        By their names in lower case. Of those that are lists, all that came: by comma, or a line each of `x-robots-tag`.
    """

    url: str
    status: int
    headers: dict[str, str]
    body: bytes = b""

    @property
    def _content_type(self) -> str:
        """The first of those that the header lists, which some servers make of several headers."""
        return self.headers.get("content-type", "").partition(",")[0]

    @property
    def media_type(self) -> str:
        """The content type, lower-case and without parameters."""
        return self._content_type.partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The character set that the content type names, if it does."""
        for parameter in self._content_type.split(";")[1:]:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                return value.strip().strip("\"'") or None
        return None

    @property
    def retry_after_seconds(self) -> float | None:
        """How long the host asks us to wait, if it does: given in seconds or as a date."""
        value = self.headers.get("retry-after", "").strip()
        if value.isdecimal():
            return float(value[:9])
        try:
            return max((parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds(), 0.0)
        except (ValueError, TypeError, OverflowError):  # the last for a year or a day of twenty digits
            return None


def origin_of(url: str) -> str:
    """Return scheme, host and port: what a robots.txt holds for."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class Fetcher:
    """Makes single requests: no redirects, no cookies, a new connection each.

    Parameters
    ----------
    guard
        Says where connections may go.
    user_agent
        The `User-Agent` header.
    connect_timeout_seconds
        For each address that is tried.
    ssl_context
        Whom to trust.
    """

    def __init__(
        self, guard: AddressGuard, *, user_agent: str, connect_timeout_seconds: float, ssl_context: ssl.SSLContext
    ) -> None:
        self._guard = guard
        self._headers = {
            "User-Agent": user_agent,
            "Accept": ACCEPT,
            "Accept-Encoding": ACCEPT_ENCODING,
            "Connection": "close",
        }
        self._timeouts = {"connect": connect_timeout_seconds}
        self._ssl_context = ssl_context

    async def get(self, url: str, budget: Budget, rule: BodyRule, headers: Mapping[str, str] | None = None) -> Answer:
        """Fetch a normalised URL.

        Parameters
        ----------
        headers
            Sent beside our own, or in place of them: what a site is told that we have already, or what a script asks for.

        Raises
        ------
        ServiceError
            `blocked_port`, `blocked_address`, `dns_failed`, `tls_failed`, `fetch_timeout`, `too_large`,
            `unsupported_content_type`, or `upstream_error` for a connection that failed or broke.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or _PORTS[parts.scheme]
        async with budget.spend():
            addresses = await self._guard.candidates(host, port)
            try:
                return await self._exchange(url, parts.netloc, addresses, rule, budget, headers or {})
            except httpcore.TimeoutException as error:
                raise FetchTimeoutError(f"{parts.netloc} did not answer in time") from error
            except httpcore.ConnectError as error:
                raise connection_error(parts.netloc, error) from error
            except (httpcore.NetworkError, httpcore.ProtocolError) as error:
                raise UpstreamError(f"the connection to {parts.netloc} broke before the page was complete") from error

    async def _exchange(
        self,
        url: str,
        netloc: str,
        addresses: Sequence[str],
        rule: BodyRule,
        budget: Budget,
        more: Mapping[str, str],
    ) -> Answer:
        target = httpcore.URL(url)
        connection = httpcore.AsyncHTTPConnection(
            origin=target.origin, ssl_context=self._ssl_context, network_backend=PinnedBackend(addresses)
        )
        # as bytes: a validator goes back letter by letter
        sent = {"Host": netloc, **self._headers, **more}
        headers = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
        async with (
            connection,
            connection.stream("GET", target, headers=headers, extensions={"timeout": self._timeouts}) as response,
        ):
            answer = Answer(url, response.status, _lower_case(response.headers))
            if not 200 <= answer.status < 300:
                return answer
            _check_headers(answer, rule)
            body = await _read(response.aiter_stream(), answer, rule, budget)
        return Answer(url, answer.status, answer.headers, body)


def _lower_case(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1").lower()
        value = raw_value.decode("latin-1")
        merged[name] = f"{merged[name]}{_JOINED[name]}{value}" if name in _JOINED and name in merged else value
    return merged


def _check_headers(answer: Answer, rule: BodyRule) -> None:
    declared = answer.media_type
    if rule.media_types is None or sniffing.is_undeclared(declared):
        pass
    elif kinds.canonical(declared) not in rule.media_types:
        raise UnsupportedContentTypeError(f"the page is {declared[:100]}; what can be read is {kinds.NAMES}")
    length = answer.headers.get("content-length", "")
    if not rule.cut and length.isdecimal() and int(length) > rule.max_bytes + _CIPHERTEXT_SLACK_BYTES:
        raise _too_large(rule)


def _too_large(rule: BodyRule) -> PageTooLargeError:
    return PageTooLargeError(f"the page is longer than {rule.max_bytes} bytes")


def _check_head(head: bytes, answer: Answer, rule: BodyRule) -> None:
    kind = sniffing.signature(head) if rule.media_types is not None else None
    if kind is None or (kind is sniffing.OLE and kinds.canonical(answer.media_type) in sniffing.PACKAGES):
        return  # or one that is encrypted, which is told as that
    if not sniffing.is_one_of(kind, rule.media_types or frozenset()):
        raise sniffing.unsupported(kind, answer.media_type)


async def _read(stream: AsyncIterator[bytes], answer: Answer, rule: BodyRule, budget: Budget) -> bytes:
    """Return the decoded body. Both forms are counted: one that never decodes to anything ends as well."""
    decoder = Decoder(answer.headers.get("content-encoding", ""))
    body = bytearray()
    judged = False
    received = 0
    async for data in stream:
        received += len(data)
        budget.bytes_received += len(data)
        for part in decoder.feed(data):
            body += part
            if len(body) > rule.max_bytes:
                break
        if not judged and len(body) >= sniffing.HEAD_BYTES:
            judged = True
            _check_head(bytes(body[: sniffing.HEAD_BYTES]), answer, rule)
        if max(len(body), received - _CIPHERTEXT_SLACK_BYTES) > rule.max_bytes:
            if rule.cut:
                return bytes(body[: rule.max_bytes])
            raise _too_large(rule)
    decoder.finish()
    if not judged:
        _check_head(bytes(body), answer, rule)
    return bytes(body)
