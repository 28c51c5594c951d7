"""How a request presents its key, and how the OpenAPI document says so."""

from typing import Final

from fastapi import Request
from fastapi.security import APIKeyHeader, HTTPBearer

from ml_shared.names import Header

_BLANKS: Final = " \t"
# HTTP's; Python's own strip() takes twenty characters more


class _DocumentedApiKey(APIKeyHeader):
    """Puts the header into the OpenAPI document; reads nothing, so that no key becomes a dependency's value."""

    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        return None


class _DocumentedBearer(HTTPBearer):
    """As `_DocumentedApiKey`, for clients that can only send a bearer token."""

    async def __call__(self, request: Request) -> None:  # type: ignore[override]
        return None


API_KEY: Final = _DocumentedApiKey(name=Header.API_KEY, scheme_name="ApiKey", auto_error=False)
BEARER: Final = _DocumentedBearer(scheme_name="Bearer", auto_error=False)


def presented_key(request: Request) -> str | None:
    """Return the key of a request: `X-API-Key`, else the bearer token, else nothing.

    Read as the gateway reads it, which counts by it: a repeated header is one value, and only blanks stand around a
    key. Otherwise one key, dressed up anew for each request, would have as many limits there as it likes.
    """
    key = ", ".join(request.headers.getlist(Header.API_KEY)).strip(_BLANKS)
    if key:
        return key
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip(_BLANKS) or None if scheme.lower() == "bearer" else None
