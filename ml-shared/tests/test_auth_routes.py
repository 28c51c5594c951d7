"""The dependency of routes that need a key: how it may come, and what the OpenAPI document says of it."""

from collections.abc import AsyncIterator

import httpx
import pytest
from guarded_app import build_app, instrumented, serving, settings_for
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ml_shared.auth.context import hash_key
from ml_shared.testing.membership import FakeMembership

KEY = "user-key-0123456789"


@pytest.fixture
async def client(membership: FakeMembership) -> AsyncIterator[httpx.AsyncClient]:
    membership.add(KEY, tier="gold")
    async with serving(build_app(), settings_for(membership.url)) as opened:
        yield opened


@pytest.mark.parametrize(
    "headers",
    [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}, {"Authorization": f"bearer  {KEY} "}],
    ids=["header", "bearer", "bearer-loosely"],
)
async def test_a_key_may_come_in_either_header(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await client.get("/whoami", headers={**headers, "X-Request-Id": "request-1234"})
    assert answer.status_code == 200
    assert answer.json() == {
        "owner": f"key:{hash_key(KEY)}",
        "tier": "gold",
        "type": "user",
        "request_id": "request-1234",
    }


@pytest.mark.parametrize("headers", [{}, {"X-API-Key": " "}, {"Authorization": "Basic dTpw"}, {"Authorization": KEY}])
async def test_without_a_key_the_answer_says_how_to_send_one(
    client: httpx.AsyncClient, membership: FakeMembership, headers: dict[str, str]
) -> None:
    answer = await client.get("/whoami", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "missing_api_key")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert membership.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        [("X-API-Key", KEY.encode()), ("X-API-Key", b"another")],
        [("X-API-Key", KEY.encode() + b"\xa0")],
        [("X-API-Key", b"\xa0"), ("Authorization", f"Bearer {KEY}".encode())],
        [("Authorization", f"Bearer {KEY}\x85".encode("latin-1"))],
    ],
    ids=["twice", "space-behind", "space-instead", "bearer"],
)
async def test_a_key_that_the_gateway_counts_as_another_is_not_valid(
    client: httpx.AsyncClient, headers: list[tuple[str, bytes]]
) -> None:
    answer = await client.get("/whoami", headers=[(name.encode(), value) for name, value in headers])
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_api_key")


async def test_an_invalid_key_is_told_apart_from_a_missing_one(client: httpx.AsyncClient) -> None:
    answer = await client.get("/whoami", headers={"X-API-Key": "unknown-key-0123"})
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_api_key")
    assert "www-authenticate" in answer.headers


async def test_the_openapi_document_offers_both_ways_to_send_a_key(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["components"]["securitySchemes"] == {
        "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "Bearer": {"type": "http", "scheme": "bearer"},
    }
    assert document["paths"]["/whoami"]["get"]["security"] == [{"ApiKey": []}, {"Bearer": []}]
    assert "parameters" not in document["paths"]["/whoami"]["get"]


async def test_membership_gets_no_trace_context_and_has_a_span_of_ours(
    membership: FakeMembership, spans: InMemorySpanExporter
) -> None:
    membership.add(KEY)
    async with serving(instrumented(build_app()), settings_for(membership.url)) as client:
        answer = await client.get("/whoami", headers={"X-API-Key": KEY})
    (call,) = membership.calls
    assert not {"traceparent", "tracestate", "baggage"} & set(call.headers)
    named = {span.name: span for span in spans.get_finished_spans()}
    assert f"{named['membership.validate'].context.trace_id:032x}" == answer.headers["x-trace-id"]
    assert "POST" not in named
    assert named["GET /whoami"].attributes["caller.type"] == "user"
