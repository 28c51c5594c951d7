"""Where connections may go, and where not: what the settings say, and what a whole scraper does."""

import ipaddress
from collections.abc import Sequence
from typing import Any

import pytest
from conftest import Surroundings, scraper_with
from sites import Site

from ml_shared.errors import ServiceError

WELL_KNOWN = [ipaddress.ip_network("64:ff9b::/96")]


class FixedResolver:
    """Answers with one list of addresses after the other, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def test_the_setting_for_nat64_reaches_the_guard(
    settings: Any, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpcore

    from app.core.fetching.visiting import Visit

    connected: list[str] = []

    async def connect(_: Any, host: str, *__: Any) -> Any:
        connected.append(host)
        raise httpcore.ConnectError("made to fail")

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    for prefixes, code in (((), "blocked_address"), (WELL_KNOWN, "robots_unreachable")):
        resolver = FixedResolver(["64:ff9b::8.8.8.8"])
        async with scraper_with(settings, redis, resolver, NAT64_PREFIXES=prefixes) as scraper:
            with pytest.raises(ServiceError) as caught:
                await scraper.visitor.read(Visit("http://host.example/"))
        assert (caught.value.code, bool(connected)) == (code, bool(prefixes))
    assert connected == ["64:ff9b::808:808"]


@pytest.mark.parametrize("environment", ["dev", "development", "test", "local", "prod"])
async def test_the_environments_name_loosens_nothing(environment: str, settings: Any, redis: Any, site: Site) -> None:
    from app.core.fetching.visiting import Visit
    from ml_shared.web.errors import BlockedAddressError

    async with scraper_with(settings, redis, ENVIRONMENT=environment, ALLOWED_PRIVATE_NETWORKS=()) as scraper:
        with pytest.raises(BlockedAddressError):
            await scraper.visitor.read(Visit(site.html("/page")))
    assert site.hits == []


async def test_every_other_loopback_address_and_port_stays_closed_when_one_is_open(
    settings: Any, redis: Any, site: Site, other: Site, surroundings: Surroundings
) -> None:
    from app.core.fetching.visiting import Visit
    from ml_shared.web.errors import BlockedPortError

    only = (ipaddress.ip_network("127.0.0.1/32"),)
    async with scraper_with(settings, redis, ALLOWED_PRIVATE_NETWORKS=only, ALLOWED_PORTS=(site.port,)) as scraper:
        await scraper.visitor.read(Visit(site.html("/page")))
        for address in ("127.0.0.2", "127.0.0.3", "0.0.0.0", "[::1]", "localhost.localdomain."):
            with pytest.raises(ServiceError) as caught:
                await scraper.visitor.read(Visit(f"http://{address}:{site.port}/page"))
            assert getattr(caught.value, "code", "") in ("blocked_address", "dns_failed")
        for port in (other.port, surroundings.redis.port):
            with pytest.raises(BlockedPortError):
                await scraper.visitor.read(Visit(f"http://127.0.0.1:{port}/page"))
    assert other.hits == []


async def test_a_name_that_answers_differently_the_second_time_is_connected_to_nowhere_else(
    settings: Any, redis: Any, site: Site, other: Site
) -> None:
    """DNS rebinding: the address that was judged is the address that is connected to."""
    import httpx

    from app.core.fetching.requests import BodyRule, Budget, Fetcher
    from ml_shared.web.addresses import AddressGuard
    from ml_shared.web.errors import BlockedAddressError

    resolver = FixedResolver(["127.0.0.1"], ["127.0.0.2"])
    only = [ipaddress.ip_network("127.0.0.1/32")]
    fetcher = Fetcher(
        AddressGuard(resolver, private_networks=only, ports=[site.port, other.port]),
        user_agent="Test/1",
        connect_timeout_seconds=30,
        ssl_context=httpx.create_ssl_context(),
    )
    site.html("/page")
    url = f"http://rebinding.example:{site.port}/page"
    answer = await fetcher.get(url, Budget(30), BodyRule(100_000))
    assert (answer.status, resolver.asked) == (200, ["rebinding.example"])
    assert site.hits[0].headers["host"] == f"rebinding.example:{site.port}"
    with pytest.raises(BlockedAddressError):
        await fetcher.get(url, Budget(30), BodyRule(100_000))
    assert (len(site.hits), other.hits) == (1, [])
