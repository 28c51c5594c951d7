"""What can go wrong on the way to an address that a stranger named. The codes are part of the services' contracts."""

from ml_shared.errors import InvalidError, UpstreamError


class BlockedAddressError(InvalidError):
    """The host is at an address that is not on the public internet."""

    code = "blocked_address"


class BlockedPortError(InvalidError):
    """The URL names a port that is not open."""

    code = "blocked_port"


class DnsError(UpstreamError):
    """The host name could not be resolved."""

    code = "dns_failed"


class TlsError(UpstreamError):
    """No trusted encrypted connection to the host came about."""

    code = "tls_failed"
