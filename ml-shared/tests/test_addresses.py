"""Where connections may go, and where not."""

import ipaddress
import socket
from collections.abc import Sequence
from typing import Any

import pytest

from ml_shared.web.addresses import AddressGuard, SystemResolver, carried_ipv4
from ml_shared.web.errors import BlockedAddressError, BlockedPortError, DnsError

BLOCKED = {
    "unspecified": "0.0.0.0",
    "this network": "0.1.2.3",
    "loopback": "127.0.0.1",
    "another loopback": "127.255.255.254",
    "private 10": "10.0.0.1",
    "private 172.16": "172.16.0.1",
    "private 172.31": "172.31.255.255",
    "private 192.168": "192.168.1.1",
    "carrier-grade NAT": "100.64.0.1",
    "metadata of Alibaba": "100.100.100.200",
    "link-local": "169.254.1.1",
    "metadata": "169.254.169.254",
    "host agent of Azure": "168.63.129.16",
    "protocol assignments": "192.0.0.192",
    "documentation 1": "192.0.2.1",
    "documentation 2": "198.51.100.1",
    "documentation 3": "203.0.113.1",
    "6to4 relay": "192.88.99.1",
    "benchmarking": "198.18.0.1",
    "multicast": "224.0.0.1",
    "reserved": "240.0.0.1",
    "broadcast": "255.255.255.255",
    "IPv6 unspecified": "::",
    "IPv6 loopback": "::1",
    "mapped loopback": "::ffff:127.0.0.1",
    "mapped metadata": "::ffff:169.254.169.254",
    "mapped public": "::ffff:8.8.8.8",
    "compatible": "::127.0.0.1",
    "translated": "::ffff:0:127.0.0.1",
    "NAT64": "64:ff9b::7f00:1",
    "NAT64 of a public address": "64:ff9b::808:808",
    "local NAT64": "64:ff9b:1::1",
    "discard": "100::1",
    "6to4 of loopback": "2002:7f00:1::1",
    "Teredo": "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "ORCHID": "2001:20::1",
    "IPv6 documentation": "2001:db8::1",
    "IPv6 documentation 2": "3fff::1",
    "unique local": "fc00::1",
    "metadata of AWS over IPv6": "fd00:ec2::254",
    "IPv6 link-local": "fe80::1",
    "scoped link-local": "fe80::1%1",
    "site-local": "fec0::1",
    "IPv6 multicast": "ff02::1",
}
PUBLIC = (
    "8.8.8.8",
    "1.1.1.1",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "2606:4700::1111",
    "2a00::1",
)


class FixedResolver:
    """Answers with one list of addresses after the other, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def guard(*addresses: str, **options: Any) -> Any:
    return AddressGuard(FixedResolver(addresses), **options)


@pytest.mark.parametrize("address", BLOCKED.values(), ids=BLOCKED.keys())
async def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    with pytest.raises(BlockedAddressError) as caught:
        await guard(address).candidates("host.example", 80)
    assert (caught.value.code, caught.value.retryable, caught.value.status) == ("blocked_address", False, 422)
    assert address not in caught.value.detail


@pytest.mark.parametrize("address", PUBLIC)
async def test_a_public_address_is_connected_to(address: str) -> None:
    assert await guard(address).candidates("host.example", 443) == [address]


async def test_a_host_with_one_address_that_is_not_public_is_refused_whole() -> None:
    with pytest.raises(BlockedAddressError):
        await guard("8.8.8.8", "10.0.0.1").candidates("host.example", 80)


async def test_what_is_not_an_address_is_refused() -> None:
    with pytest.raises(BlockedAddressError):
        await guard("not-an-address").candidates("host.example", 80)


@pytest.mark.parametrize("port", [22, 25, 81, 6379, 8000])
async def test_a_port_that_is_not_the_webs_is_refused_before_the_name_is_looked_up(port: int) -> None:
    resolver = FixedResolver(["8.8.8.8"])
    with pytest.raises(BlockedPortError) as caught:
        await AddressGuard(resolver).candidates("host.example", port)
    assert caught.value.code == "blocked_port"
    assert resolver.asked == []


async def test_opening_a_network_and_a_port_opens_these_and_nothing_else() -> None:
    opened = {"private_networks": [ipaddress.ip_network("127.0.0.1/32")], "ports": [8080]}
    assert await guard("127.0.0.1", **opened).candidates("h", 8080) == ["127.0.0.1"]
    for address in ("127.0.0.2", "127.0.0.0", "127.1.1.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "64:ff9b::7f00:1"):
        with pytest.raises(BlockedAddressError):
            await guard(address, **opened).candidates("h", 8080)
    for port in (8081, 8079, 6379):
        with pytest.raises(BlockedPortError):
            await guard("127.0.0.1", **opened).candidates("h", port)


async def test_a_blocked_network_stays_closed_whatever_is_opened() -> None:
    networks = [ipaddress.ip_network("8.8.8.0/24")]
    for options in ({}, {"private_networks": networks}):
        with pytest.raises(BlockedAddressError):
            await guard("8.8.8.8", blocked_networks=networks, **options).candidates("h", 80)


WELL_KNOWN = [ipaddress.ip_network("64:ff9b::/96")]
OF_THE_NETWORK = [ipaddress.ip_network("2606:4700:64::/96")]


@pytest.mark.parametrize(
    ("prefix", "address"),
    [
        ("64:ff9b::/96", "64:ff9b::808:808"),
        ("64:ff9b:1::/48", "64:ff9b:1:808:8:800::"),
        ("2606:4700::/32", "2606:4700:808:808::"),
        ("2606:4700:100::/40", "2606:4700:108:808:8::"),
        ("2606:4700:122::/48", "2606:4700:122:808:8:800::"),
        ("2606:4700:122:300::/56", "2606:4700:122:308:8:808::"),
        ("2606:4700:122:344::/64", "2606:4700:122:344:8:808:800:0"),
        ("2606:4700:64::/96", "2606:4700:64::8.8.8.8"),
    ],
)
async def test_behind_a_nat64_that_a_setting_names_the_ipv4_internet_is_open(prefix: str, address: str) -> None:
    network = ipaddress.IPv6Network(prefix)
    assert str(carried_ipv4(ipaddress.IPv6Address(address), network)) == "8.8.8.8"
    found = await guard(address, nat64_prefixes=[network]).candidates("host.example", 443)
    assert found == [str(ipaddress.ip_address(address))]


@pytest.mark.parametrize("address", [address for address in BLOCKED.values() if "." in address and ":" not in address])
@pytest.mark.parametrize("prefixes", [WELL_KNOWN, OF_THE_NETWORK], ids=["well-known", "the network's own"])
async def test_behind_a_nat64_no_private_address_is_open(prefixes: Any, address: str) -> None:
    carried = ipaddress.IPv6Address(int(prefixes[0].network_address) + int(ipaddress.IPv4Address(address)))
    opened = [ipaddress.ip_network("0.0.0.0/0")]
    for options in ({}, {"private_networks": opened}):
        with pytest.raises(BlockedAddressError):
            await guard(str(carried), nat64_prefixes=prefixes, **options).candidates("host.example", 80)


async def test_a_nat64_is_no_way_round_to_a_blocked_network_nor_to_anything_beside_it() -> None:
    blocked = {"blocked_networks": [ipaddress.ip_network("8.8.8.0/24")], "nat64_prefixes": WELL_KNOWN}
    with pytest.raises(BlockedAddressError):
        await guard("64:ff9b::8.8.8.8", **blocked).candidates("h", 80)
    assert await guard("64:ff9b::8.8.9.9", **blocked).candidates("h", 80)
    for address in (
        "64:ff9b:1::8.8.9.9",
        "::ffff:8.8.9.9",
        "2002:808:909::1",
        "64:ff9b::1:8.8.9.9",
        "64:ff9b::8.8.9.9%1",
    ):
        with pytest.raises(BlockedAddressError):
            await guard(address, nat64_prefixes=WELL_KNOWN).candidates("h", 80)


@pytest.mark.parametrize(
    "host", ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0"]
)
async def test_no_spelling_of_loopback_gets_through(host: str) -> None:
    resolver = SystemResolver()
    with pytest.raises((BlockedAddressError, DnsError)):
        await AddressGuard(resolver).candidates(host.strip("[]"), 80)
    resolver.close()


async def test_a_host_that_does_not_exist_fails_for_good_and_a_silent_name_server_does_not() -> None:
    def fails(errno: int) -> Any:
        def look_up(*_: Any, **__: Any) -> Any:
            raise socket.gaierror(errno, "made to fail")

        return look_up

    with pytest.MonkeyPatch.context() as patch:
        for errno, retryable in ((socket.EAI_NONAME, False), (socket.EAI_AGAIN, True)):
            patch.setattr(socket, "getaddrinfo", fails(errno))
            resolver = SystemResolver()
            with pytest.raises(DnsError) as caught:
                await resolver.resolve("nowhere.example", 80)
            resolver.close()
            assert (caught.value.code, caught.value.retryable) == ("dns_failed", retryable)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 80), ("::1", 443), ("10.0.0.1", 80)])
async def test_an_address_that_is_given_as_one_is_refused_without_looking_anything_up(host: str, port: int) -> None:
    with pytest.raises(BlockedAddressError):
        guard().check(host, port)


async def test_a_name_is_judged_when_it_is_looked_up_and_a_port_at_once() -> None:
    guard().check("host.example", 443)
    guard().check("8.8.8.8", 80)
    with pytest.raises(BlockedPortError):
        guard().check("host.example", 6379)
