"""What every service opens when it starts, in one place, closed in reverse order when it stops."""

import asyncio
import gc
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from redis.asyncio import Redis

from ml_shared.auth.membership import Authenticator
from ml_shared.instrumentation import shutdown_telemetry
from ml_shared.names import SERVICE_KEY_PREFIX, Queue
from ml_shared.queues.queueing import TaskQueue
from ml_shared.queues.results import ResultStore
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.settings import ServiceSettings
from ml_shared.storage.pools import sample_pools_regularly
from ml_shared.storage.redis_client import open_redis
from ml_shared.telemetry.metrics import forget_process, start_requests
from ml_shared.telemetry.readings import Readings

GC_THRESHOLD: Final = 10_000
# objects made before the youngest are looked through; Python's own 700 is three requests


_logger = logging.getLogger(__name__)
_spared_pid: int | None = None
_collected_pid: int | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """What `open_shared` opened; `None` where the service has no Redis, or no queue."""

    redis: Redis | None
    tasks: TaskQueue | None
    results: ResultStore | None


async def open_shared(
    app: FastAPI, settings: ServiceSettings, stack: AsyncExitStack, *, queue: Queue | None = None
) -> Shared:
    """Open what every service needs, and put it where the shared dependencies look for it.

    Parameters
    ----------
    app
        Gets `state.settings`, `state.redis`, `state.authenticator`, `state.tasks`, `state.results` and
        `state.readings`, to which a service adds what else is read at a scrape.
    stack
        Closes everything when the lifespan ends, telemetry last.
    queue
        The queue of the service's worker, if it has one.
    """
    stack.callback(shutdown_telemetry)
    if settings.SERVICE_API_KEY and not settings.SERVICE_API_KEY.get_secret_value().startswith(SERVICE_KEY_PREFIX):
        _logger.warning(
            "SERVICE_API_KEY does not begin with %s: a peer that does not know it would ask Membership about it",
            SERVICE_KEY_PREFIX,
        )
    stack.callback(forget_process, os.getpid())
    redis = await stack.enter_async_context(open_redis(settings.REDIS_URL)) if settings.REDIS_URL else None
    results = ResultStore(redis, settings) if redis is not None else None
    tasks = TaskQueue(redis, settings, queue) if redis is not None and queue is not None else None
    app.state.settings = settings
    app.state.redis = redis
    app.state.authenticator = await stack.enter_async_context(Authenticator.open(settings, redis))
    app.state.results = results
    app.state.tasks = tasks
    app.state.readings = Readings()
    start_requests(one for one in iter_route_contexts(app.routes) if hasattr(one, "tags"))  # not FastAPI's own pages
    if tasks is not None:
        app.state.readings.add(tasks.read_gauges)
    sampling = asyncio.create_task(sample_pools_regularly())
    stack.callback(sampling.cancel)
    await stack.enter_async_context(enforcer.opened(settings, redis))
    _spare_the_garbage_collector(stack)
    return Shared(redis=redis, tasks=tasks, results=results)


def shared_lifespan(
    settings: ServiceSettings, *, queue: Queue | None = None
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the lifespan of an application that opens nothing beyond what every service needs."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await open_shared(app, settings, stack, queue=queue)
            yield

    return lifespan


def _spare_the_garbage_collector(stack: AsyncExitStack) -> None:
    """Keep the collector from going over what start-up made, which is no garbage, every few hundred requests.

    It costs a seventh of the requests a second otherwise (`local-dev/bench/overhead`).
    """
    global _spared_pid, _collected_pid
    if _spared_pid == os.getpid():
        return  # another application of this process
    _spared_pid = os.getpid()
    stack.callback(_collect_again)
    stack.callback(gc.set_threshold, *gc.get_threshold())
    stack.callback(gc.unfreeze)
    if _collected_pid != os.getpid():
        # once a process: it takes a tenth of a second, and tests open hundreds of applications in one
        _collected_pid = os.getpid()
        gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def _collect_again() -> None:
    global _spared_pid
    _spared_pid = None
