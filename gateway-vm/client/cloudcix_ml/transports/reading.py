"""What both transports do with httpx' requests, answers and errors."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import httpx

from cloudcix_ml.core.effects import Answer, Request
from cloudcix_ml.core.session import Session
from cloudcix_ml.errors import AnswerError, CloudCIXError, ConfigurationError, TransportError
from cloudcix_ml.texts import encoded

CONNECT_TIMEOUT_SECONDS: Final = 10.0
MOST_BYTES: Final = 64 * 1024 * 1024
# of one answer: twice the largest document
PIECE_BYTES: Final = 64 * 1024
LEAST_BYTES_PER_SECOND: Final = 8 * 1024
# of what is sent: slower than any line that somebody would send a file over


class Pieces:
    """A long body, piece after piece.

    How long a piece may take is bounded by the request's timeout, and the whole in proportion to its size: of a body that httpx gets
    in one, its awaiting client takes the whole for one write, and a file over a slow line is never sent.
    """

    def __init__(self, session: Session, body: bytes, seconds: float) -> None:
        self._clock = session.clock
        self._body = body
        self._seconds = seconds + len(body) / LEAST_BYTES_PER_SECOND

    def _cut(self) -> Iterator[bytes]:
        end = self._clock() + self._seconds
        for at in range(0, len(self._body), PIECE_BYTES):
            if self._clock() > end:
                raise TransportError("the request could not be sent in time", sent=True)
            yield self._body[at : at + PIECE_BYTES]


class BlockingPieces(Pieces):
    """For programs that block."""

    def __iter__(self) -> Iterator[bytes]:
        return self._cut()


class AwaitedPieces(Pieces):
    """For programs that await."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._cut():
            yield piece


def options(session: Session, request: Request, pieces: Callable[[Session, bytes, float], Pieces]) -> dict[str, Any]:
    """Return what httpx is told of a request."""
    seconds, body = request.timeout_seconds, request.body
    # as bytes, since httpx takes texts of ASCII alone; names in them are of others, such as an event's id
    headers: dict[str, Any] = {**session.headers(), **{name: encoded(value) for name, value in request.headers.items()}}
    content: bytes | Pieces | None = body
    if body is not None and len(body) > PIECE_BYTES:
        # said, since httpx knows it of bytes alone, and would send the pieces as a stream without a length
        headers, content = headers | {"Content-Length": str(len(body))}, pieces(session, body, seconds)
    return {
        "method": request.method,
        "url": session.url + request.path,
        "params": dict(request.params) or None,
        "headers": headers,
        "content": content,
        "timeout": httpx.Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT_SECONDS)),
    }


def head_of(response: httpx.Response, body: bytes = b"") -> Answer:
    """Return an answer with what has been read of its body."""
    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)


def grown(body: bytearray, part: bytes) -> None:
    """Add to a body, up to what one may be."""
    body += part
    if len(body) > MOST_BYTES:
        raise AnswerError(f"an answer of more than {MOST_BYTES} bytes is none of this API's")


def in_time(session: Session, end: float) -> None:
    """Raise if an answer that comes in drops has taken its time: of what came before it, sending is bounded by itself."""
    if session.clock() > end:
        raise TransportError("the answer did not end in time", sent=True)


def check_address(url: str) -> None:
    """See that a gateway's address is one for httpx, and its host one for the system's resolver.

    Raises
    ------
    ConfigurationError
        If not.
    """
    try:
        httpx.URL(url).raw_host.decode("ascii").encode("idna")  # as the resolver's own caller has it
    except (httpx.InvalidURL, UnicodeError):
        raise ConfigurationError(
            "the gateway's address has no host that can be; it looks like https://ml.example.com"
        ) from None


def failure_of(error: httpx.RequestError | httpx.InvalidURL, session: Session) -> CloudCIXError:
    """Return what a program is told of an error of httpx, which may quote what was sent."""
    if isinstance(error, httpx.InvalidURL):
        return ConfigurationError("what was given is too long for an address, or has what none may have")
    if isinstance(error, httpx.DecodingError):
        return AnswerError(f"{session.url}: an answer that is not compressed as it says it is")
    if not isinstance(error, httpx.TransportError):
        return AnswerError(f"{session.url}: no answer, but one address after the other")
    unsent = isinstance(
        error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol
    )
    reasons: dict[type[httpx.TransportError], str] = {
        httpx.ConnectError: "no connection",
        httpx.ConnectTimeout: "no connection in time",
        httpx.ReadTimeout: "no answer in time",
        httpx.RemoteProtocolError: "the connection ended before the answer did",
    }
    reason = reasons.get(type(error), type(error).__name__)
    detail = f" ({error})" if isinstance(error, httpx.ConnectError) and str(error) else ""
    text = f"{session.url}: {reason}{detail}"
    return TransportError(session.key.masked_in(text) if session.key else text, sent=not unsent)
