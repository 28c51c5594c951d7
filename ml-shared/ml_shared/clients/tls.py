"""How every client of a process speaks TLS."""

from functools import cache
from ssl import SSLContext

import httpx


@cache
def shared_tls() -> SSLContext:
    """Return the one context of this process: reading the certificates takes 40 ms and a megabyte, for each that is made."""
    return httpx.create_ssl_context(trust_env=False)
