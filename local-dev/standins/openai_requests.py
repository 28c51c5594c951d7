"""What the servers that speak OpenAI's embeddings API ask of a request before they read it."""

import hashlib
import secrets
from typing import Final

from starlette.requests import Request

from standins.openai_errors import RefusedError

MAX_TEXTS: Final = 2_048
# OpenAI's own limit for one request
MAX_BODY_BYTES: Final = 32 * 2**20


def key_hash(key: str) -> bytes:
    """Return what is kept of a key."""
    return hashlib.sha256(key.encode()).digest()


def check_key(request: Request, expected: bytes) -> None:
    """Refuse a request without the key.

    Raises
    ------
    RefusedError
        401.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secrets.compare_digest(key_hash(key.strip()), expected):
        raise RefusedError("Incorrect API key provided.", status=401, code="invalid_api_key")


async def read_body(request: Request) -> bytes:
    """Return a request's body.

    Raises
    ------
    RefusedError
        413, as soon as it is too long.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise RefusedError(f"The request is longer than {MAX_BODY_BYTES} bytes.", status=413)
    return bytes(body)
