"""Connections that go to addresses which were judged, whatever the name says by then.

httpcore rather than httpx: it lets us give the connection its addresses, it follows no redirect, keeps no cookie, reads
no proxy from the environment, and telemetry does not put our trace context into its requests.
"""

import ssl
from collections.abc import Iterable, Sequence
from typing import Any

import httpcore

from ml_shared.errors import UpstreamError
from ml_shared.web.errors import TlsError


class PinnedBackend(httpcore.AnyIOBackend):
    """Connects to addresses that were judged, whatever name it is asked for."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """httpcore's hook."""
        failure: Exception | None = None
        for address in self._addresses:
            try:
                return await super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore.ConnectError("no address to connect to")


def connection_error(netloc: str, error: httpcore.ConnectError) -> UpstreamError:
    """Return why no connection to a host came about: as a `TlsError` where encrypting it is what failed."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if cause is None:
        return UpstreamError(f"no connection to {netloc} came about")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return TlsError(f"the certificate of {netloc} is not trusted: {cause.verify_message}", retryable=False)
    return TlsError(f"no encrypted connection to {netloc} came about: {cause.reason or 'handshake failed'}")
