"""One delivery to an address that its owner named: bounded in time and size, pinned to addresses that were judged."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import httpcore
import orjson
from standardwebhooks import Webhook

from ml_shared.contracts.values import storable
from ml_shared.errors import ServiceError
from ml_shared.web.addresses import AddressGuard
from ml_shared.web.pinned import PinnedBackend, connection_error

TIMEOUT_SECONDS: Final = 10.0
# of all of a delivery: looking the host up, connecting, sending, and the head of the answer
CONNECT_SECONDS: Final = 5.0
# to each address of the host
EXCERPT_SECONDS: Final = 2.0
EXCERPT_BYTES: Final = 4_096
EXCERPT_CHARACTERS: Final = 500
# of an answer's body; whatever follows is not read
USER_AGENT: Final = "CloudCIX-Webhooks/1"
RETRY_AFTER_MOST_SECONDS: Final = 3_600.0
_PORTS: Final = {"http": 80, "https": 443}

TIMEOUT: Final = "timeout"
CONNECTION_FAILED: Final = "connection_failed"
REDIRECTED: Final = "redirected"
HTTP_STATUS: Final = "http_status"
GONE: Final = "gone"
SECRET_UNREADABLE: Final = "secret_unreadable"  # noqa: S105 - a code
ERROR_CODES: Final = (
    *(TIMEOUT, CONNECTION_FAILED, REDIRECTED, HTTP_STATUS, GONE, SECRET_UNREADABLE),
    *("blocked_address", "blocked_port", "dns_failed", "tls_failed"),
)
"""Why a delivery did not arrive."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent, as the receiver reads it.

    Attributes
    ----------
    id
        The same however often it is sent: by it a receiver knows what it has had.
    """

    id: UUID
    type: str
    created_at: datetime
    data: dict[str, Any]

    def body(self) -> bytes:
        """Return the JSON that is signed and sent."""
        at = self.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return orjson.dumps({"type": self.type, "timestamp": at, "data": self.data})


@dataclass(frozen=True, slots=True)
class Attempt:
    """How a delivery went.

    Attributes
    ----------
    error
        Why it did not arrive, one of `ERROR_CODES`; `None` if it did.
    status, excerpt
        The receiver's answer, and how it begins, if there was one.
    retry_after_seconds
        How long the receiver asks us to wait, if it does.
    """

    error: str | None
    seconds: float
    status: int | None = None
    excerpt: str | None = None
    retry_after_seconds: float | None = None


def signed_headers(message: Message, secrets: Sequence[str], body: bytes, now: datetime) -> dict[str, str]:
    """Return the headers of Standard Webhooks: a signature for each secret that is live."""
    told = str(message.id)
    return {
        "webhook-id": told,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(told, now, body.decode()) for secret in secrets),
    }


class Sender:
    """Sends messages: a new connection each, no redirects, nothing of ours beside the message.

    Parameters
    ----------
    guard
        Says where connections may go.
    ssl_context
        Whom to trust.
    """

    def __init__(
        self, guard: AddressGuard, ssl_context: ssl.SSLContext, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._guard = guard
        self._ssl_context = ssl_context
        self._timeout_seconds = timeout_seconds

    async def send(self, url: str, message: Message, secrets: Sequence[str]) -> Attempt:
        """Send a message to a normalised URL; return how that went, and raise nothing."""
        body = message.body()
        headers = signed_headers(message, secrets, body, datetime.now(UTC))
        began = time.monotonic()

        def failed(code: str) -> Attempt:
            return Attempt(code, time.monotonic() - began)

        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._exchange(url, headers, body, began)
        except (TimeoutError, httpcore.TimeoutException):
            return failed(TIMEOUT)
        except httpcore.ConnectError as error:
            found = connection_error("", error)
            return failed(found.code if found.code in ERROR_CODES else CONNECTION_FAILED)
        except (httpcore.NetworkError, httpcore.ProtocolError):
            return failed(CONNECTION_FAILED)
        except ServiceError as error:  # the guard's
            return failed(error.code)

    async def _exchange(self, url: str, headers: dict[str, str], body: bytes, began: float) -> Attempt:
        parts = urlsplit(url)
        addresses = await self._guard.candidates(parts.hostname or "", parts.port or _PORTS[parts.scheme])
        target = httpcore.URL(url)
        connection = httpcore.AsyncHTTPConnection(
            origin=target.origin, ssl_context=self._ssl_context, network_backend=PinnedBackend(addresses)
        )
        sent = {
            "Host": parts.netloc,
            "User-Agent": USER_AGENT,
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Accept-Encoding": "identity",
            "Connection": "close",
            **headers,
        }
        async with (
            connection,
            connection.stream(
                "POST",
                target,
                headers=[(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
                content=body,
                extensions={"timeout": {"connect": CONNECT_SECONDS}},
            ) as response,
        ):
            seconds = time.monotonic() - began
            return Attempt(
                _error_of(response.status),
                seconds,
                response.status,
                await _excerpt(response),
                _retry_after(response),
            )


def _error_of(status: int) -> str | None:
    if 200 <= status < 300:
        return None
    if status == 410:
        return GONE
    return REDIRECTED if 300 <= status < 400 else HTTP_STATUS


async def _excerpt(response: httpcore.Response) -> str:
    """Return how an answer begins. It is no reason to take what has arrived for lost."""
    read = bytearray()
    with suppress(TimeoutError, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        async with asyncio.timeout(EXCERPT_SECONDS):
            async for part in response.aiter_stream():
                read += part
                if len(read) >= EXCERPT_BYTES:
                    break
    return storable(read[:EXCERPT_BYTES].decode("utf-8", "replace"))[:EXCERPT_CHARACTERS]


def _retry_after(response: httpcore.Response) -> float | None:
    for name, value in response.headers:
        if name.lower() == b"retry-after" and value.strip().isdigit():
            return min(float(value.strip()[:9]), RETRY_AFTER_MOST_SECONDS)
    return None
