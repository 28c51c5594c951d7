"""How a request presents its key."""

from typing import Final

from fastapi import Request

from ml_shared.names import Header

_BLANKS: Final = " \t"
# HTTP's; Python's own strip() takes twenty characters more


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
