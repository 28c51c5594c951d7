"""Who is answered over HTTP: whoever knows the token, and nobody else on this machine."""

import hashlib
import hmac
import json
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

REFUSAL = {
    "error": "unauthorized",
    "error_description": "this server answers requests with its token: Authorization: Bearer …",
}


class TokenGuard:
    """An ASGI application that passes on what has the token, and refuses the rest unread."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._expected = _digest(b"Bearer " + token.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan" or (scope["type"] == "http" and self._knows(scope)):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "http":
            await _refuse(send)

    def _knows(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        # digests, since a comparison in constant time wants two of one length
        return len(given) == 1 and hmac.compare_digest(_digest(_scheme_as_usual(given[0])), self._expected)


def _scheme_as_usual(value: bytes) -> bytes:
    scheme, _, token = value.partition(b" ")
    return (b"Bearer " if scheme.lower() == b"bearer" else scheme + b" ") + token.strip()


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()


async def _refuse(send: Send) -> None:
    body = json.dumps(REFUSAL).encode()
    headers: list[tuple[bytes, bytes]] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b'Bearer realm="cloudcix-ml"'),
        (b"connection", b"close"),
    ]
    start: dict[str, Any] = {"type": "http.response.start", "status": 401, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body})
