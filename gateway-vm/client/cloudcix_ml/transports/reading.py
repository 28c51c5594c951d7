"""What both transports do with httpx' requests, answers and errors."""

from typing import Any, Final

import httpx

from cloudcix_ml.core.effects import Answer, Request
from cloudcix_ml.core.session import Session
from cloudcix_ml.errors import AnswerError, TransportError

CONNECT_TIMEOUT_SECONDS: Final = 10.0
MOST_BYTES: Final = 64 * 1024 * 1024
# of one answer: twice the largest document


def options(session: Session, request: Request) -> dict[str, Any]:
    """Return what httpx is told of a request."""
    seconds = request.timeout_seconds
    return {
        "method": request.method,
        "url": session.url + request.path,
        "params": dict(request.params) or None,
        "headers": session.headers() | dict(request.headers),
        "content": request.body,
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


def in_time(clock: float, end: float) -> None:
    """Raise if an answer that comes in drops has taken its time."""
    if clock > end:
        raise TransportError("the answer did not end in time", sent=True)


def failure_of(error: httpx.TransportError, session: Session) -> TransportError:
    """Return what a program is told of an error of httpx, which may quote what was sent."""
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
