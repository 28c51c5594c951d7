"""The embedding service's API."""

from instrumentation import init_telemetry

init_telemetry()  # first: what it instruments has to be imported after it

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from app.api.openai_errors import OpenAiErrors
from app.api.routes import async_, changes, corpora, health, openai, sync
from app.config import settings
from app.core.changes import keep_changing
from app.core.gauges import read_gauges
from app.core.metrics import VECTORS_KEPT_SECONDS
from app.core.renewal import keep_looking_over, keep_renewing
from app.core.service import open_embedding
from app.core.settling import settling
from ml_shared.auth.middleware import RequestIdMiddleware
from ml_shared.http.bodies import BodyLimits, BodyMiddleware
from ml_shared.http.problems import install_problem_handlers
from ml_shared.http.routing import serve
from ml_shared.instrumentation import NO_SPANS_OF_ITS_OWN
from ml_shared.names import Queue
from ml_shared.service import open_shared

SEARCH_MAX_BYTES = 2**20
# of a body: a query of 8,000 characters, and filters


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what requests need; close it in reverse order."""
    async with AsyncExitStack() as stack:
        shared = await open_shared(app, settings, stack, queue=Queue.EMBED_JOBS)
        app.state.redis = shared.redis
        embedding = await stack.enter_async_context(
            open_embedding(settings, command_timeout_seconds=settings.SYNC_TIMEOUT_SECONDS)
        )
        app.state.embedding = embedding
        await stack.enter_async_context(settling(settings, embedding.pool))
        renewing = asyncio.create_task(keep_renewing(embedding.pool))
        stack.callback(renewing.cancel)
        looking_over = asyncio.create_task(keep_looking_over(embedding.pool))
        stack.callback(looking_over.cancel)
        changing = asyncio.create_task(keep_changing(embedding))
        stack.callback(changing.cancel)
        app.state.readings.add(lambda: read_gauges(embedding), kept_seconds=VECTORS_KEPT_SECONDS)
        yield


app = FastAPI(
    title=f"CloudCIX ML — {settings.SERVICE_NAME}",
    version=settings.SERVICE_VERSION,
    lifespan=lifespan,
    telemetry=NO_SPANS_OF_ITS_OWN,
    redirect_slashes=False,  # there is one address for each thing
)
app.add_middleware(BodyMiddleware, limits=BodyLimits.of(settings, routes={"/search": SEARCH_MAX_BYTES}))
app.add_middleware(OpenAiErrors)
app.add_middleware(RequestIdMiddleware)
install_problem_handlers(app)
serve(app, async_.router, sync.router, openai.router, corpora.router, changes.router, health.router)
