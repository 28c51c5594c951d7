"""Chunking's API: what it is made of."""

from instrumentation import init_telemetry

init_telemetry()  # first: what it instruments has to be imported after it

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from app.api.routes import health, sync
from app.config import settings
from app.core.logic import open_chunker
from ml_shared.auth.middleware import RequestIdMiddleware
from ml_shared.http.bodies import BodyLimits, BodyMiddleware
from ml_shared.http.problems import install_problem_handlers
from ml_shared.http.routing import serve
from ml_shared.instrumentation import NO_SPANS_OF_ITS_OWN
from ml_shared.service import open_shared


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        await open_shared(app, settings, stack)
        app.state.chunker = await stack.enter_async_context(open_chunker(settings))
        yield


app = FastAPI(
    title=f"CloudCIX ML — {settings.SERVICE_NAME}",
    version=settings.SERVICE_VERSION,
    lifespan=lifespan,
    telemetry=NO_SPANS_OF_ITS_OWN,
    redirect_slashes=False,  # there is one address for each thing
)
app.add_middleware(BodyMiddleware, limits=BodyLimits.of(settings))
app.add_middleware(RequestIdMiddleware)
install_problem_handlers(app)
serve(app, sync.router, health.router)
