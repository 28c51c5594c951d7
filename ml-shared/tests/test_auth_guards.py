"""Which callers a route admits: services by name, keys by scope."""

from collections.abc import AsyncIterator

import httpx
import pytest
from guarded_app import ORCHESTRATOR_KEY, SCRAPER_KEY, build_app, serving, settings_for

from ml_shared.auth.guards import requires_scope
from ml_shared.testing.membership import FakeMembership

KEY = "user-key-0123456789"


@pytest.fixture
async def client(membership: FakeMembership) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(build_app(), settings_for(membership.url)) as opened:
        yield opened


@pytest.mark.parametrize("scopes", [[], ["corpora:read", "search"], ["search", "corpora:read", "more"]], ids=str)
async def test_a_key_that_is_not_narrowed_or_has_every_scope_passes(
    client: httpx.AsyncClient, membership: FakeMembership, scopes: list[str]
) -> None:
    membership.add(KEY, scopes=scopes)
    answer = await client.get("/narrowed", headers={"X-API-Key": KEY})
    assert (answer.status_code, answer.json()) == (200, {"scopes": sorted(scopes)})


@pytest.mark.parametrize(
    "scopes", [["search"], ["other"], ["SEARCH", "corpora:read"], ["search corpora:read"]], ids=str
)
async def test_a_key_that_is_narrowed_to_something_else_hears_what_it_needs(
    client: httpx.AsyncClient, membership: FakeMembership, scopes: list[str]
) -> None:
    membership.add(KEY, scopes=scopes)
    answer = await client.get("/narrowed", headers={"Authorization": f"Bearer {KEY}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert "search corpora:read" in answer.json()["detail"]
    assert answer.json()["scope"] == "search corpora:read"
    challenge = 'Bearer realm="cloudcix-ml", error="insufficient_scope", scope="search corpora:read"'
    assert answer.headers["www-authenticate"] == challenge
    assert (await client.get("/whoami", headers={"X-API-Key": KEY})).status_code == 200


async def test_scopes_from_the_cache_narrow_as_fresh_ones_do(
    client: httpx.AsyncClient, membership: FakeMembership
) -> None:
    membership.add(KEY, scopes=["other"])
    for _ in range(2):
        assert (await client.get("/narrowed", headers={"X-API-Key": KEY})).status_code == 403
    assert len(membership.calls) == 1


@pytest.mark.parametrize("key", [ORCHESTRATOR_KEY, SCRAPER_KEY])
async def test_scopes_do_not_narrow_services(client: httpx.AsyncClient, key: str) -> None:
    assert (await client.get("/narrowed", headers={"X-API-Key": key})).status_code == 200


async def test_a_narrowed_route_wants_a_key_before_it_says_anything(client: httpx.AsyncClient) -> None:
    answer = await client.get("/narrowed")
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_api_key")


@pytest.mark.parametrize(
    "scopes", [(), ("",), ("search", ""), ("two words",), ('a"quote',), ("back\\slash",), ("a\n",), ("é",)]
)
def test_a_scope_that_no_key_could_have_is_refused_when_the_route_is_defined(scopes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="scopes are named"):
        requires_scope(*scopes)


@pytest.mark.parametrize(("key", "status"), [(ORCHESTRATOR_KEY, 200), (SCRAPER_KEY, 403), (KEY, 403)])
async def test_an_internal_route_admits_only_the_services_that_it_names(
    client: httpx.AsyncClient, membership: FakeMembership, key: str, status: int
) -> None:
    membership.add(KEY)
    answer = await client.get("/internal", headers={"X-API-Key": key})
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["code"] == "internal_only"
        assert "www-authenticate" not in answer.headers


async def test_an_internal_route_wants_a_key_before_it_says_anything(client: httpx.AsyncClient) -> None:
    assert (await client.get("/internal")).status_code == 401
