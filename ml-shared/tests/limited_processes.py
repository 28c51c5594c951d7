"""Several uvicorn processes of one service, forked from one that has imported everything: the ports are its arguments."""

import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import uvicorn
from fastapi import FastAPI
from guarded_app import build_app, settings_for

from ml_shared.auth import membership
from ml_shared.auth.membership import Authenticator
from ml_shared.ratelimit import shared_window
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.storage.redis_client import open_redis

# a busy test machine is neither a failing Redis nor a failing Membership
shared_window.REDIS_TIMEOUT_SECONDS = 30.0  # type: ignore[misc]
membership.MEMBERSHIP_TIMEOUT_SECONDS = 30.0  # type: ignore[misc]
# API_PROCESSES stays 1: a process that did not ask Redis would let a whole limit of its own through
settings = settings_for(
    os.environ["MEMBERSHIP_URL"],
    RATE_LIMIT_TIERS={"default": int(os.environ["LIMIT"])},
    RATE_LIMIT_WINDOW_SECONDS=600,  # however long the test takes, nothing leaves it
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what a service's lifespan opens."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(open_redis(os.environ["REDIS_URL"]))
        app.state.authenticator = await stack.enter_async_context(Authenticator.open(settings, redis))
        await stack.enter_async_context(enforcer.opened(settings, redis))
        yield


def _end_with_the_first(reading: int) -> None:
    os.read(reading, 1)  # nobody writes: it returns when the first process, which alone keeps the other end, is gone
    os._exit(0)


reading, writing = os.pipe()
port, *others = sys.argv[1:]
for other in others:
    if os.fork() == 0:
        port = other
        os.close(writing)
        threading.Thread(target=_end_with_the_first, args=(reading,), daemon=True).start()
        break

app = build_app()
app.router.lifespan_context = lifespan
uvicorn.run(app, port=int(port), log_level="warning")
