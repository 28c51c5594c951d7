"""A small service as the real ones are built, for the tests of what surrounds every request."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

import httpx
from fastapi import Depends, FastAPI, Query
from fastapi.responses import StreamingResponse
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from redis.asyncio import Redis

from ml_shared.auth.cache import Clock
from ml_shared.auth.context import CallerContext, hash_key
from ml_shared.auth.guards import internal_only, requires_scope
from ml_shared.auth.membership import Authenticator, validate_api_key
from ml_shared.auth.middleware import RequestIdMiddleware, current_request
from ml_shared.contracts.base import RequestModel
from ml_shared.http.admission import admit
from ml_shared.http.bodies import BodyLimits, BodyMiddleware
from ml_shared.http.problems import install_problem_handlers
from ml_shared.http.routing import GuardedRoute
from ml_shared.instrumentation import FASTAPI_OPTIONS
from ml_shared.names import Service
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.service import shared_lifespan
from ml_shared.settings import ServiceSettings
from ml_shared.testing.membership import FakeMembership

MAX_BODY_BYTES = 1_000
ORCHESTRATOR_KEY = "orchestrator-key-0123456789"
SCRAPER_KEY = "scraper-key-0123456789"


def settings_for(membership_url: str, **overrides: Any) -> ServiceSettings:
    """Settings of a service that knows two internal callers."""
    values: dict[str, Any] = {
        "SERVICE_NAME": "embedding",
        "MEMBERSHIP_URL": membership_url,
        "ORCHESTRATOR_KEY_HASH": hash_key(ORCHESTRATOR_KEY),
        "INTERNAL_CALLER_IDS": {"scraper": hash_key(SCRAPER_KEY)},
        "API_PROCESSES": 1,
        **overrides,
    }
    return ServiceSettings(_env_file=None, **values)


class Payload(RequestModel):
    """A body with one field."""

    number: int


def build_app(settings: ServiceSettings | None = None) -> FastAPI:
    """Routes of each kind, and none that opens anything; with settings, one that opens by itself what they need."""
    app = FastAPI(lifespan=shared_lifespan(settings) if settings else None, redirect_slashes=False)
    app.router.route_class = GuardedRoute
    limits = BodyLimits(MAX_BODY_BYTES, routes={"/large": 10 * MAX_BODY_BYTES}, tiers={"small": MAX_BODY_BYTES // 10})
    app.add_middleware(BodyMiddleware, limits=limits)
    app.add_middleware(RequestIdMiddleware)
    install_problem_handlers(app)

    @app.get("/whoami")
    async def whoami(ctx: CallerContext = Depends(validate_api_key)) -> dict[str, Any]:
        await enforcer.check(ctx)
        return {"owner": ctx.owner, "tier": ctx.tier, "type": ctx.caller_type, "request_id": ctx.request_id}

    @app.get("/page")
    async def page(
        limit: Annotated[int, Query(ge=1)], ctx: CallerContext = Depends(validate_api_key)
    ) -> dict[str, int]:
        await enforcer.check(ctx)
        return {"limit": limit}

    @app.post("/numbers")
    async def numbers(payload: Payload, ctx: CallerContext = Depends(validate_api_key)) -> dict[str, int]:
        await enforcer.check(ctx)
        admit(payload, ctx)
        return {"number": payload.number}

    @app.post("/large")
    async def large(payload: Payload, ctx: CallerContext = Depends(validate_api_key)) -> dict[str, int]:
        return {"number": payload.number}

    @app.get("/health")
    async def health() -> dict[str, str]:
        with trace.get_tracer(__name__).start_as_current_span("health-check"):
            return {"request_id": getattr(current_request(), "request_id", "")}

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("postgresql://user:secret@10.0.0.7/db is gone")

    @app.get("/breaks-off")
    async def breaks_off() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"first"
            raise RuntimeError("no second part")

        return StreamingResponse(parts())

    @app.get("/internal")
    async def internal(ctx: CallerContext = Depends(internal_only(Service.ORCHESTRATOR))) -> dict[str, str | None]:
        return {"service": ctx.service}

    @app.get("/narrowed")
    async def narrowed(ctx: CallerContext = Depends(requires_scope("search", "corpora:read"))) -> dict[str, list[str]]:
        return {"scopes": sorted(ctx.scopes)}

    return app


def instrumented(app: FastAPI) -> FastAPI:
    """Trace an application as `init_telemetry` does; that one has to come before FastAPI is imported."""
    FastAPIInstrumentor.instrument_app(app, **FASTAPI_OPTIONS)
    return app


@asynccontextmanager
async def serving(
    app: FastAPI, settings: ServiceSettings, redis: Redis | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Open what a service's lifespan opens, and yield a client of the application."""
    async with AsyncExitStack() as stack:
        app.state.authenticator = await stack.enter_async_context(Authenticator.open(settings, redis))
        await stack.enter_async_context(enforcer.opened(settings, redis))
        transport = httpx.ASGITransport(app=app)
        yield await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://service"))


class SteppedClock:
    """A clock that moves when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def authenticator_for(
    fake: FakeMembership, redis: Redis | None = None, clock: SteppedClock | None = None, **settings: Any
) -> AsyncIterator[Authenticator]:
    """Open what checks keys, without an application around it."""
    measured = Clock(clock, clock) if clock else None
    async with Authenticator.open(settings_for(fake.url, **settings), redis, clock=measured) as opened:
        yield opened


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Let the loop run until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
