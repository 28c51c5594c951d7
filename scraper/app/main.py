"""The scraper's API."""

from instrumentation import init_telemetry

init_telemetry()  # first: what it instruments has to be imported after it

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from app.api.routes import async_, health, sync
from app.config import settings
from app.core.extraction.seats import Seats
from app.core.logic import open_scraper
from ml_shared.auth.middleware import RequestIdMiddleware
from ml_shared.contracts.queueing import BATCH_MAX
from ml_shared.http.bodies import BodyLimits, BodyMiddleware
from ml_shared.http.problems import install_problem_handlers
from ml_shared.http.routing import serve
from ml_shared.instrumentation import NO_SPANS_OF_ITS_OWN
from ml_shared.names import Queue
from ml_shared.service import open_shared

EXTRACTION_PROCESSES = 2
# of each API process; a page takes tens of milliseconds
ADDRESS_MAX_BYTES = 64 * 1024
# of a body: a URL, and ids
SEATS = 32
SEATS_PER_CALLER = 8
# of each API process; a page may be 10 MiB, and is copied once or twice on its way


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        shared = await open_shared(app, settings, stack, queue=Queue.SCRAPER)
        if shared.redis is None:
            raise RuntimeError("the scraper needs REDIS_URL: the pace of every host is kept there")
        app.state.redis = shared.redis
        app.state.seats = await stack.enter_async_context(Seats(SEATS, per_caller=SEATS_PER_CALLER).opened())
        scraper = open_scraper(settings, shared.redis, processes=EXTRACTION_PROCESSES)
        app.state.scraper = await stack.enter_async_context(scraper)
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
            "/scrape": ADDRESS_MAX_BYTES,
            "/links": ADDRESS_MAX_BYTES,
            "/map": ADDRESS_MAX_BYTES,
            "/enqueue/batch": BATCH_MAX * ADDRESS_MAX_BYTES,
            "/enqueue": ADDRESS_MAX_BYTES,
        },
    ),
)
app.add_middleware(RequestIdMiddleware)
install_problem_handlers(app)
serve(app, async_.router, sync.router, health.router)
