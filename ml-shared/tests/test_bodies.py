"""A request's body: sealed until its caller is admitted, and bounded in bytes by route, by tier, by caller and in all."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from guarded_app import MAX_BODY_BYTES, ORCHESTRATOR_KEY, SCRAPER_KEY, build_app, serving, settings_for, until
from pydantic import Field

from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import internal_only, users_and
from ml_shared.auth.membership import validate_api_key
from ml_shared.auth.middleware import RequestIdMiddleware
from ml_shared.contracts.base import RequestModel
from ml_shared.errors import RateLimitedError, UnavailableError
from ml_shared.http.bodies import SMALL_BYTES, BodyLimits, BodyMiddleware, BytesInFlight
from ml_shared.http.problems import install_problem_handlers
from ml_shared.http.routing import ITEMS_AT_ONCE, ForeignContractRoute, GuardedRoute
from ml_shared.http.strict_json import LARGE_BYTES
from ml_shared.names import Service
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.testing.membership import FakeMembership

KEY, SMALL_KEY, OTHER_KEY = "user-key-0123456789", "small-key-0123456789", "other-key-0123456789"
JSON = {"Content-Type": "application/json"}
MIB = 2**20


class Item(RequestModel):
    """One of many."""

    number: int = Field(ge=0)


class Items(RequestModel):
    """A body with a long list of models."""

    items: list[Item] | None = None
    text: str = ""


@pytest.fixture
def app() -> FastAPI:
    app = build_app()

    @app.post("/sum")
    async def add(payload: Items, ctx: CallerContext = Depends(validate_api_key)) -> dict[str, int]:
        await enforcer.check(ctx)
        assert all(type(item) is Item for item in payload.items or [])
        return {"sum": sum(item.number for item in payload.items or []), "text": len(payload.text)}

    @app.post("/handed-out")
    async def handed_out(payload: Items, ctx: CallerContext = Depends(users_and(Service.ORCHESTRATOR))) -> None: ...

    @app.put("/content")
    async def content(request: Request, ctx: CallerContext = Depends(internal_only(Service.SCRAPER))) -> int:
        return len(await request.body())

    @app.post("/unguarded", dependencies=[])
    async def unguarded(payload: Items) -> None: ...

    app.user_middleware = [one for one in app.user_middleware if one.cls is not BodyMiddleware]
    limits = BodyLimits(
        8 * MIB, routes={"/numbers": MAX_BODY_BYTES}, tiers={"small": MAX_BODY_BYTES // 10}, in_flight_bytes=16 * MIB
    )
    app.add_middleware(BodyMiddleware, limits=limits)
    app.user_middleware.reverse()  # inside of the one that knows the request
    return app


@pytest.fixture
async def client(app: FastAPI, membership: FakeMembership) -> AsyncIterator[httpx.AsyncClient]:
    membership.add(KEY)
    membership.add(OTHER_KEY)
    membership.add(SMALL_KEY, tier="small")
    async with serving(app, settings_for(membership.url)) as opened:
        yield opened


class Unread:
    """A body that notes whether anybody took a byte of it."""

    def __init__(self, content: bytes = b'{"number": 1}') -> None:
        self.taken = False
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.taken = True
        yield self._content


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("POST", "/numbers", None, 401),
        ("POST", "/numbers", "of-nobody-0123456789", 401),
        ("POST", "/handed-out", SCRAPER_KEY, 403),
        ("PUT", "/content", KEY, 403),
        ("PUT", "/content", ORCHESTRATOR_KEY, 403),
        ("POST", "/unguarded", KEY, 500),
    ],
)
async def test_no_byte_is_taken_of_whom_the_route_does_not_admit(
    client: httpx.AsyncClient, method: str, path: str, key: str | None, status: int
) -> None:
    body = Unread()
    async for _ in body:  # httpx' own transport reads a body before it calls; what counts here is what the app takes
        break
    body.taken = False
    messages = await asgi(client, method, path, {**JSON, **({"X-API-Key": key} if key else {})}, body)
    assert messages[0]["status"] == status
    assert not body.taken


async def asgi(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str], body: Unread
) -> list[dict[str, Any]]:
    """Call the application itself, so that it is seen what it receives."""
    transport = client._transport
    assert isinstance(transport, httpx.ASGITransport)
    sent: list[dict[str, Any]] = []
    parts = aiter(body)

    async def receive() -> dict[str, Any]:
        part = await anext(parts, None)
        return {"type": "http.request", "body": part or b"", "more_body": part is not None}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "client": None,
        "server": ("service", 80),
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in {**headers, "Transfer-Encoding": "chunked"}.items()
        ],
    }
    await transport.app(scope, receive, send)
    return sent


async def test_the_limit_is_asked_before_the_body_is_taken(membership: FakeMembership, app: FastAPI) -> None:
    membership.add(KEY)
    async with serving(app, settings_for(membership.url, RATE_LIMIT_CAPACITY=1, RATE_LIMIT_FLOOR=1)) as client:
        taken = Unread()
        assert (await asgi(client, "POST", "/numbers", {**JSON, "X-API-Key": KEY}, taken))[0]["status"] == 200
        refused = Unread()
        assert (await asgi(client, "POST", "/numbers", {**JSON, "X-API-Key": KEY}, refused))[0]["status"] == 429
        assert (taken.taken, refused.taken) == (True, False)


async def test_a_request_is_counted_once(client: httpx.AsyncClient) -> None:
    first = await client.post("/numbers", json={"number": 1}, headers={"X-API-Key": KEY})
    second = await client.post("/numbers", json={"number": "x"}, headers={"X-API-Key": KEY})
    third = await client.get("/whoami", headers={"X-API-Key": KEY})
    left = [int(answer.headers["ratelimit"].split(";r=")[1].split(";")[0]) for answer in (first, second, third)]
    assert [answer.status_code for answer in (first, second, third)] == [200, 422, 200]
    assert [left[0] - left[1], left[1] - left[2]] == [1, 1]


async def test_membership_is_asked_once_a_request(client: httpx.AsyncClient, membership: FakeMembership) -> None:
    await client.post("/numbers", json={"number": 1}, headers={"X-API-Key": KEY})
    assert len(membership.calls) == 1


async def test_a_tier_has_a_limit_of_its_own(client: httpx.AsyncClient) -> None:
    fits, too_long = b'{"number": 1}', b'{"number": 1}'.ljust(MAX_BODY_BYTES // 10 + 1)
    for key, body, status in ((SMALL_KEY, fits, 200), (SMALL_KEY, too_long, 413), (KEY, too_long, 200)):
        answer = await client.post("/numbers", content=body, headers={**JSON, "X-API-Key": key})
        assert answer.status_code == status, key
    refused = await asgi(client, "POST", "/numbers", {**JSON, "X-API-Key": SMALL_KEY}, Unread(too_long))
    assert refused[0]["status"] == 413  # without a declared length too


async def test_a_tier_raises_no_route_and_binds_no_service(client: httpx.AsyncClient) -> None:
    limits = BodyLimits(100, routes={"/large": 1_000}, tiers={"default": 50, "premium": 10_000})
    user = CallerContext(caller_id="", caller_type="user", owner="key:a", tier="unheard of")
    premium = CallerContext(caller_id="", caller_type="user", owner="key:b", tier="premium")
    service = CallerContext(caller_id="", caller_type="service", owner="service:scraper", is_internal=True)
    found = [(limits.of_caller("/x", ctx), limits.of_caller("/large/x", ctx)) for ctx in (user, premium, service)]
    assert found == [(50, 50), (100, 1_000), (100, 1_000)]


async def test_a_compressed_body_is_refused_unread(client: httpx.AsyncClient) -> None:
    body = Unread(b"\x1f\x8b")
    headers = {**JSON, "X-API-Key": KEY, "Content-Encoding": "gzip"}
    assert (await asgi(client, "POST", "/numbers", headers, body))[0]["status"] == 415
    assert not body.taken
    headers["Content-Encoding"] = "identity"
    assert (await asgi(client, "POST", "/numbers", headers, Unread()))[0]["status"] == 200


@pytest.mark.parametrize("query", ["?a=1&a=2", "?%61=1&a=2", "?a&a"])
async def test_a_parameter_given_twice_is_refused(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/whoami{query}", headers={"X-API-Key": KEY})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "query.a")


async def test_a_parameter_that_a_route_does_not_have_is_refused_and_the_ones_it_has_are_named(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/page?limit=1&limti=2", headers={"X-API-Key": KEY})
    message = "there is no such parameter; there are limit"
    wanted = {"field": "query.limti", "message": message, "type": "extra_forbidden"}
    assert (answer.status_code, answer.json()["errors"]) == (422, [wanted])
    answer = await client.get("/whoami?verbose", headers={"X-API-Key": KEY})
    assert answer.json()["errors"][0]["message"] == "there is no such parameter; this route has none"
    assert (await client.get("/page?limit=1", headers={"X-API-Key": KEY})).status_code == 200


async def test_a_parameter_that_only_a_newer_version_of_a_service_knows_is_ignored(client: httpx.AsyncClient) -> None:
    answer = await client.put("/content?of_the_next_version=1", headers={"X-API-Key": SCRAPER_KEY}, content=b"x")
    assert answer.status_code == 200


async def test_a_route_whose_contract_is_anothers_takes_what_it_does_not_know(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    router = APIRouter(route_class=ForeignContractRoute)

    @router.get("/v1/foreign")
    async def foreign(ctx: CallerContext = Depends(validate_api_key)) -> None:
        await enforcer.check(ctx)

    app.router.routes += router.routes
    assert (await client.get("/v1/foreign?api-version=1", headers={"X-API-Key": KEY})).status_code == 200


async def test_a_query_of_too_many_parameters_is_refused(client: httpx.AsyncClient) -> None:
    query = "&".join(f"a{number}=1" for number in range(101))
    assert (await client.get(f"/whoami?{query}", headers={"X-API-Key": KEY})).status_code == 422


async def test_the_models_of_a_long_list_are_made_as_those_of_a_short_one(client: httpx.AsyncClient) -> None:
    count = LARGE_BYTES // 10
    body = json.dumps({"items": [{"number": 1}] * count, "text": "x"}).encode()
    answer = await client.post("/sum", content=body, headers={**JSON, "X-API-Key": KEY})
    assert answer.json() == {"sum": count, "text": 1}


async def test_what_is_wrong_within_a_long_list_is_told_by_its_place(client: httpx.AsyncClient) -> None:
    items: list[Any] = [{"number": 1}] * (LARGE_BYTES // 10)
    items[ITEMS_AT_ONCE + 3] = {"number": -1}
    body = json.dumps({"items": items}).encode()
    answer = await client.post("/sum", content=body, headers={**JSON, "X-API-Key": KEY})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [f"body.items.{ITEMS_AT_ONCE + 3}.number"]


def _user(name: str) -> CallerContext:
    return CallerContext(caller_id=name, caller_type="user", owner=f"key:{name}")


SERVICE = CallerContext(caller_id="s", caller_type="service", owner="service:scraper", is_internal=True)


def test_one_caller_holds_a_quarter_and_all_users_leave_room_for_the_fleet() -> None:
    in_flight = BytesInFlight(100)
    in_flight.hold(_user("a"), 20)
    with pytest.raises(RateLimitedError, match="20 bytes of yours"):
        in_flight.hold(_user("a"), 6)
    in_flight.hold(_user("a"), 5)
    in_flight.hold(_user("b"), 25)
    in_flight.hold(_user("c"), 25)
    with pytest.raises(UnavailableError):
        in_flight.hold(_user("d"), 1)
    in_flight.hold(SERVICE, 25)
    with pytest.raises(UnavailableError):
        in_flight.hold(SERVICE, 1)
    in_flight.release(_user("b"), 25)
    in_flight.hold(_user("d"), 25)


def test_a_body_of_any_length_fits_where_nothing_else_is() -> None:
    in_flight = BytesInFlight(100)
    for part in range(5):  # as it comes, without a length that was declared
        in_flight.hold(_user("a"), 100, of_this=100 * part)
    with pytest.raises(RateLimitedError):
        in_flight.hold(_user("a"), 1)
    in_flight.release(_user("a"), 500)
    in_flight.hold(_user("a"), 500)
    in_flight.release(_user("a"), 500)
    in_flight.hold(SERVICE, 500)


async def test_what_a_request_held_is_free_again_however_it_ended(app: FastAPI, client: httpx.AsyncClient) -> None:
    middleware = await built(app, client)
    big = b'{"text": "' + b"x" * 5 * MIB + b'"}'
    for content, status in ((big, 200), (big[:-1], 422), (b" " * 9 * MIB, 413)):
        for _ in range(3):
            answer = await client.post("/sum", content=content, headers={**JSON, "X-API-Key": KEY})
            assert answer.status_code == status
    assert (middleware.in_flight._all, middleware.in_flight._users, middleware.in_flight._held) == (0, 0, {})


async def built(app: FastAPI, client: httpx.AsyncClient) -> BodyMiddleware:
    """Return the application's own middleware, which the first request builds."""
    await client.get("/health")
    layer: Any = app.middleware_stack
    while not isinstance(layer, BodyMiddleware):
        layer = getattr(layer, "app", None) or layer._app
    return layer


async def test_one_callers_large_bodies_leave_anothers_in(app: FastAPI, client: httpx.AsyncClient) -> None:
    middleware = await built(app, client)
    going_on = asyncio.Event()

    class Held(Unread):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b'{"text": "' + b"x" * 3 * MIB
            await going_on.wait()
            yield b'"}'

    headers = {**JSON, "X-API-Key": KEY}
    first = asyncio.create_task(asgi(client, "POST", "/sum", headers, Held()))
    await until(lambda: middleware.in_flight._all > 3 * MIB)
    second = await asgi(client, "POST", "/sum", headers, Held())
    assert second[0]["status"] == 429
    assert json.loads(second[1]["body"])["code"] == "too_many_bytes"
    small = await client.post("/sum", content=b"{}".ljust(SMALL_BYTES), headers=headers)
    other = await client.post(
        "/sum", content=b'{"text": "' + b"y" * 3 * MIB + b'"}', headers={**JSON, "X-API-Key": OTHER_KEY}
    )
    assert (small.status_code, other.status_code) == (200, 200)
    going_on.set()
    assert (await first)[0]["status"] == 200


class Nobody:
    """Is asked about no key, since there is none."""

    async def identify(self, raw_key: str, request_id: str) -> CallerContext:
        raise AssertionError("there was a key")


def test_an_application_without_the_middleware_still_asks_for_the_key() -> None:
    app = FastAPI()
    app.router.route_class = GuardedRoute
    app.add_middleware(RequestIdMiddleware)
    install_problem_handlers(app)

    @app.post("/x")
    async def x(payload: Items, ctx: CallerContext = Depends(validate_api_key)) -> None: ...

    async def ask() -> int:
        app.state.authenticator = Nobody()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://service") as client:
            return (await client.post("/x", content=b"{", headers=JSON)).status_code

    assert asyncio.run(ask()) == 401
