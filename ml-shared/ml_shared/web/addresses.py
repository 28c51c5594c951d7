"""Which addresses and ports may be connected to, and finding a host's addresses.

A scraper that fetches what strangers name is a way into the network that it runs in. So nothing here trusts a name:
it is resolved once, every address that came out is judged, and the connection goes to exactly those addresses.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from ml_shared.web.errors import BlockedAddressError, BlockedPortError, DnsError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

WEB_PORTS: Final = frozenset({80, 443})

_NOT_PUBLIC_V4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",  # this network; 0.0.0.0 connects to the machine itself
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT; some clouds keep their metadata there
            "127.0.0.0/8",
            "168.63.129.16/32",  # public by its number, but Azure's host agent answers there
            "169.254.0.0/16",  # link-local; 169.254.169.254 is the metadata address of most clouds
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",  # benchmarking
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
# IANA's special-purpose registry. Our own table because ipaddress.is_global differs between patch releases of Python
# (CVE-2024-4032)

_PUBLIC_V6: Final = ipaddress.IPv6Network("2000::/3")
# all global unicast is in here; mapped (::ffff:0:0/96), ULA, link-local and multicast are not, nor is NAT64's well-known
# prefix (64:ff9b::/96), which a setting may open
_NOT_PUBLIC_V6: Final = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocol assignments, Teredo among them, which carries an IPv4 address
            "2001:db8::/32",
            "2002::/16",  # 6to4, which carries an IPv4 address
            "2620:4f:8000::/48",
            "3ffe::/16",
            "3fff::/20",
        ),
    )
)

NAT64_PREFIX_LENGTHS: Final = (32, 40, 48, 56, 64, 96)
# RFC 6052, 2.2; octet 8 is never part of the IPv4 address

DNS_THREADS: Final = 16
# getaddrinfo blocks; on threads of its own, so that slow name servers hold up nothing but names
_MAX_CANDIDATES: Final = 4
# a host may have dozens of addresses; more than a few failed connections are not worth the time


def is_public(address: IpAddress) -> bool:
    """Return whether an address is globally routable unicast, in its own right and not by translation."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return address in _PUBLIC_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


def carried_ipv4(address: ipaddress.IPv6Address, prefix: ipaddress.IPv6Network) -> ipaddress.IPv4Address:
    """Return the IPv4 address that a NAT64 connects to for an address under its prefix (RFC 6052, 2.2)."""
    octets = address.packed
    if prefix.prefixlen == 96:
        return ipaddress.IPv4Address(octets[12:])
    return ipaddress.IPv4Address((octets[prefix.prefixlen // 8 : 8] + octets[9:])[:4])


class Resolver(Protocol):
    """Finds the addresses of a host."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Return numeric addresses, best first.

        Raises
        ------
        DnsError
            If there are none, or nobody knows at the moment.
        """


class SystemResolver:
    """The operating system's resolver.

    Parameters
    ----------
    threads
        How many names are looked up at once.
    """

    def __init__(self, *, threads: int = DNS_THREADS) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="dns")

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """See `Resolver`."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, _look_up, host, port)
        except socket.gaierror as error:
            if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
                raise DnsError(f"there is no host named {host}", retryable=False) from error
            raise DnsError(f"the host name {host} could not be resolved at the moment") from error
        except UnicodeError as error:
            raise DnsError(f"{host} is not a possible host name", retryable=False) from error
        return found

    def close(self) -> None:
        """Let the threads go. A look-up that still runs ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class AddressGuard:
    """Decides where connections may go.

    Parameters
    ----------
    private_networks
        Networks that are not public and are open all the same. Each opens its own addresses and no others: an IPv4
        network opens no IPv6 form of them.
    ports
        Ports that are open beside 80 and 443, on every address that is open.
    blocked_networks
        Networks that are closed whatever else is said.
    nat64_prefixes
        Where this network's NAT64 has the IPv4 internet. An address under one is judged by the IPv4 address that it
        leads to, which has to be public; so a prefix out of public addresses is no way round to private ones.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        private_networks: Iterable[IpNetwork] = (),
        ports: Collection[int] = (),
        blocked_networks: Iterable[IpNetwork] = (),
        nat64_prefixes: Iterable[ipaddress.IPv6Network] = (),
    ) -> None:
        self._resolver = resolver
        self._private_networks = tuple(private_networks)
        self._blocked_networks = tuple(blocked_networks)
        self._nat64_prefixes = tuple(nat64_prefixes)
        self._ports = WEB_PORTS.union(ports)

    def is_open(self, address: IpAddress) -> bool:
        """Return whether this address may be connected to."""
        if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
            return False
        target = self._target(address)
        if any(found in network for found in (address, target) for network in self._blocked_networks):
            return False
        return is_public(target) or any(address in network for network in self._private_networks)

    def _target(self, address: IpAddress) -> IpAddress:
        if isinstance(address, ipaddress.IPv6Address):
            for prefix in self._nat64_prefixes:
                if address in prefix:
                    return carried_ipv4(address, prefix)
        return address

    async def candidates(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses to connect to for a host, best first; they are not to be looked up again.

        Raises
        ------
        BlockedPortError
            If the port is not open.
        BlockedAddressError
            If any address of the host is not open: a host that mixes public and private addresses is refused whole,
            since which of them answers is then up to whoever runs its name server.
        DnsError
            If the host has no address.
        """
        self._check_port(port)
        found = await self._resolver.resolve(host, port)
        addresses = [_parsed(text) for text in found]
        if not addresses:
            raise DnsError(f"the host {host} has no address", retryable=False)
        if not all(address is not None and self.is_open(address) for address in addresses):
            raise _blocked(host)
        return [str(address) for address in addresses[:_MAX_CANDIDATES]]

    def check(self, host: str, port: int) -> None:
        """Refuse what can be refused without looking a name up: a port, and a host that is given as an address.

        Raises
        ------
        BlockedPortError, BlockedAddressError
            As `candidates` does.
        """
        self._check_port(port)
        address = _parsed(host)
        if address is not None and not self.is_open(address):
            raise _blocked(host)

    def _check_port(self, port: int) -> None:
        if port not in self._ports:
            allowed = ", ".join(map(str, sorted(self._ports)))
            raise BlockedPortError(f"port {port} is not one that is connected to; those are {allowed}")


def _blocked(host: str) -> BlockedAddressError:
    return BlockedAddressError(f"the host {host} is not on the public internet")


def _parsed(text: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
