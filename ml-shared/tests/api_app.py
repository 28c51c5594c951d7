"""A small API as the real ones are built, run by uvicorn in tests of telemetry and metrics."""

from ml_shared.instrumentation import init_telemetry

init_telemetry()  # first: what it instruments has to be imported after it

import ctypes
import logging
import os
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import APIRouter, FastAPI, Request
from redis.asyncio import Redis

from ml_shared.auth.middleware import RequestIdMiddleware
from ml_shared.errors import UnavailableError
from ml_shared.http.health import build_health_router
from ml_shared.instrumentation import shutdown_telemetry
from ml_shared.settings import ServiceSettings
from ml_shared.storage.redis_client import open_redis
from ml_shared.telemetry.metrics import forget_process

settings = ServiceSettings(_env_file=None, SERVICE_NAME="scraper", MEMBERSHIP_URL="http://127.0.0.1:1")
router = APIRouter(tags=["sync"])
queued = APIRouter(tags=["async"])


@router.get("/items/{name}")
async def item(name: str, request: Request) -> dict[str, str]:
    redis: Redis = request.app.state.redis
    await redis.set("name", name)
    logging.getLogger("item").info("item read")
    return {"name": name, "pid": str(os.getpid())}


@router.get("/jobs/metrics-report")
async def report() -> None:
    """A path that only looks like an excluded one."""


@router.get("/broken")
async def broken() -> None:
    raise RuntimeError("nobody foresaw it")


@router.get("/held")
async def held(seconds: int) -> dict[str, str]:
    """Hold the interpreter, so that no thread of this process runs: not the one either that answers uvicorn's parent."""
    ctypes.PyDLL(None).sleep(seconds)
    return {"pid": str(os.getpid())}


@router.get("/thread")
def thread() -> None:
    """Fails where no request's handler looks."""

    def fail() -> None:
        raise RuntimeError("in a thread")

    failing = threading.Thread(target=fail)
    failing.start()
    failing.join()


@queued.post("/enqueue", status_code=202)
async def enqueue() -> None:
    raise UnavailableError("not now")


async def _redis_answers(request: Request) -> None:
    await request.app.state.redis.ping()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        stack.callback(forget_process, os.getpid())
        stack.callback(shutdown_telemetry, float(os.environ.get("LAST_SPANS_SECONDS", "30")))  # 3 by default
        app.state.redis = await stack.enter_async_context(open_redis(settings.REDIS_URL or "", timeout_seconds=20))
        yield


app = FastAPI(title="probe", lifespan=lifespan)
app.add_middleware(RequestIdMiddleware)
app.include_router(build_health_router(settings, {"redis": _redis_answers}))
app.include_router(router)
app.include_router(queued)
