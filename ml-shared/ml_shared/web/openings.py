"""What an operator opens and closes for a guard of addresses: the types of those settings, read from lists by comma."""

import ipaddress
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

from ml_shared.web.addresses import NAT64_PREFIX_LENGTHS

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
_HIGHEST_PORT: Final = 65_535


def _read_networks(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip())


def _check_prefixes(value: tuple[ipaddress.IPv6Network, ...]) -> tuple[ipaddress.IPv6Network, ...]:
    if any(prefix.prefixlen not in NAT64_PREFIX_LENGTHS for prefix in value):
        raise ValueError(f"a NAT64's prefix has one of these lengths: {', '.join(map(str, NAT64_PREFIX_LENGTHS))}")
    return value


def _read_ports(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    ports = tuple(int(part) for part in value.split(",") if part.strip())
    if any(not 0 < port <= _HIGHEST_PORT for port in ports):
        raise ValueError(f"a port is a number from 1 to {_HIGHEST_PORT}")
    return ports


Networks = Annotated[tuple[IpNetwork, ...], NoDecode, BeforeValidator(_read_networks)]
"""CIDRs."""

Nat64Prefixes = Annotated[
    tuple[ipaddress.IPv6Network, ...], NoDecode, BeforeValidator(_read_networks), AfterValidator(_check_prefixes)
]
"""CIDRs of the lengths that a NAT64's prefix may have."""

Ports = Annotated[tuple[int, ...], NoDecode, BeforeValidator(_read_ports)]
"""Numbers from 1 to 65535."""
