"""What uvicorn serves: `bench.overhead.served:app`, the variant that `BENCH_VARIANT` names."""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from bench.overhead.variants import BY_NAME
from ml_shared.instrumentation import NO_SPANS_OF_ITS_OWN, init_telemetry

variant = BY_NAME[os.environ["BENCH_VARIANT"]]
if variant.telemetry:
    init_telemetry()  # first: what it instruments has to be imported after it

import fastapi
from fastapi import Depends

if variant.builtin_spans:
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor().uninstrument()

from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.membership import validate_api_key
from ml_shared.auth.middleware import RequestIdMiddleware
from ml_shared.http.bodies import BodyLimits, BodyMiddleware
from ml_shared.http.health import build_health_router
from ml_shared.http.problems import install_problem_handlers
from ml_shared.http.routing import GuardedRoute
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.service import open_shared
from ml_shared.settings import ServiceSettings


@asynccontextmanager
async def lifespan(app: fastapi.FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        await open_shared(app, ServiceSettings(), stack)
        yield


# by its module: the name in it is what an instrumentor replaces
app = fastapi.FastAPI(
    lifespan=lifespan if variant.key else None,
    telemetry={**NO_SPANS_OF_ITS_OWN, "tracing": variant.builtin_spans, "operation_spans": False},
)
if variant.service:
    app.router.route_class = GuardedRoute
    app.add_middleware(BodyMiddleware, limits=BodyLimits(16 * 2**20))
    app.add_middleware(RequestIdMiddleware)
    install_problem_handlers(app)
    app.include_router(build_health_router(ServiceSettings(), {}))

if not variant.key:

    @app.get("/item")
    async def bare_item() -> dict[str, str]:
        return {"status": "ok"}

elif not variant.limits:

    @app.get("/item")
    async def known_item(ctx: CallerContext = Depends(validate_api_key)) -> dict[str, str]:
        return {"status": "ok"}

elif not variant.service:

    @app.get("/item")
    async def limited_item(ctx: CallerContext = Depends(validate_api_key)) -> dict[str, str]:
        await enforcer.check(ctx)
        return {"status": "ok"}

else:

    @app.get("/item")
    async def item(ctx: CallerContext = Depends(validate_api_key)) -> dict[str, str]:
        await enforcer.check(ctx)
        emit(AuditEvent.MODELS_LISTED, ctx)
        return {"status": "ok"}
