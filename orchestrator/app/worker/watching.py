"""The worker's own process beside its children: it stands watch over the stages, and hands out what is runnable.

No task, because it never ends, and because a task's way through Redis and two processes cost more than the pass that it
asked for. Beat's passes, which are tasks, go on beside it: whatever becomes of it, no job waits longer than for those.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from redis.exceptions import RedisError

from app.config import settings
from app.core.crawls.watching import RunsWatch
from app.core.dispatch.watching import Watch
from app.core.logic import open_orchestrator
from app.worker.beside import BesideStep
from app.worker.nudging import RECONNECT_SECONDS, nudges
from ml_shared.storage.pools import sample_pools_regularly
from ml_shared.storage.redis_client import open_redis, open_sibling

logger = logging.getLogger(__name__)


async def stand_watch() -> None:
    """Make passes until cancelled, or until what it needs is gone."""
    async with open_redis(settings.REDIS_URL or "") as redis, open_orchestrator(settings) as orchestrator:
        watch = orchestrator.watch(interval_seconds=settings.DISPATCH_INTERVAL_SECONDS)
        runs = orchestrator.watch_runs(watch, interval_seconds=settings.DISPATCH_INTERVAL_SECONDS)
        with beside(_listen(redis, watch, runs), runs.stand(), sample_pools_regularly()):
            await watch.stand()


@contextlib.contextmanager
def beside(*work: Any) -> Iterator[None]:
    """Do other work as long as the block runs."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def _listen(redis: Any, watch: Watch, runs: RunsWatch) -> None:
    async with open_sibling(redis, max_connections=1) as own:
        while True:
            try:
                async for stage in nudges(own):
                    if stage is not None:
                        watch.ask(stage)
                    runs.hear(stage)
            except (RedisError, OSError) as error:
                logger.warning("nudges_not_heard", extra={"reason": type(error).__name__})
            await asyncio.sleep(RECONNECT_SECONDS)


class WatchStep(BesideStep):
    """Has a worker stand watch."""

    process_name = "watch"
    work = staticmethod(stand_watch)
