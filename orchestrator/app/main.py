"""The orchestrator's API: what it is made of."""

from instrumentation import init_telemetry

init_telemetry()  # first: what it instruments has to be imported after it

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from app.api.routes import (
    async_,
    batches,
    crawls,
    documents,
    events,
    health,
    internal,
    jobs,
    reports,
    runs,
    stats,
    sync,
    webhooks,
)
from app.config import settings
from app.core.jobs.endings import Endings
from app.core.jobs.standing import KEPT_SECONDS, read_gauges
from app.core.logic import open_orchestrator
from app.core.notices.followers import open_followers
from app.worker.nudging import hear_moves, open_nudger
from ml_shared.auth.middleware import RequestIdMiddleware
from ml_shared.http.bodies import BodyLimits, BodyMiddleware
from ml_shared.http.problems import install_problem_handlers
from ml_shared.http.routing import serve
from ml_shared.http.transport import when_stopping
from ml_shared.instrumentation import NO_SPANS_OF_ITS_OWN
from ml_shared.names import Queue
from ml_shared.service import open_shared

JOB_MAX_BYTES = 2**20
# of a body: a URL and 16 KiB of metadata, however they are escaped, or what a worker reports
BATCH_MAX_BYTES = 2**23
# 1,000 URLs of 2,048 characters of four bytes, and the rest
FORM_MAX_BYTES = 2**18
# beside a document: its metadata, and what a form is made of
CRAWL_MAX_BYTES = 2**23
# 10,000 URLs of a list, most of them shorter than they may be


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        shared = await open_shared(app, settings, stack, queue=Queue.ORCHESTRATION)
        orchestrator = app.state.orchestrator = await stack.enter_async_context(open_orchestrator(settings))
        app.state.readings.add(lambda: read_gauges(orchestrator.pool), kept_seconds=KEPT_SECONDS)
        app.state.nudger = await stack.enter_async_context(open_nudger(shared.redis))
        endings = app.state.endings = await stack.enter_async_context(Endings(orchestrator.pool).opened())
        followers = app.state.followers = await stack.enter_async_context(open_followers(orchestrator.pool, settings))
        stack.callback(when_stopping(followers.stop))
        for listener in (endings, followers):
            stack.callback(asyncio.create_task(hear_moves(shared.redis, listener), name="hear-moves").cancel)
        yield


app = FastAPI(
    title=f"CloudCIX ML — {settings.SERVICE_NAME}",
    version=settings.SERVICE_VERSION,
    lifespan=lifespan,
    telemetry=NO_SPANS_OF_ITS_OWN,
    redirect_slashes=False,  # there is one address for each thing
)
app.add_middleware(
    BodyMiddleware,
    limits=BodyLimits.of(
        settings,
        routes={
            "/content": settings.MAX_CONTENT_BYTES,
            "/jobs/batch": BATCH_MAX_BYTES,
            "/jobs": JOB_MAX_BYTES,
            "/crawls": CRAWL_MAX_BYTES,
            "/documents": settings.MAX_UPLOAD_BYTES + FORM_MAX_BYTES,
        },
    ),
)
app.add_middleware(RequestIdMiddleware)
install_problem_handlers(app)
serve(
    app,
    *(
        reports.router,
        internal.router,
        async_.router,
        jobs.router,
        batches.router,
        crawls.router,
        runs.router,
        documents.router,
        events.router,
        stats.router,
        webhooks.router,
        sync.router,
    ),
    health.router,
)
