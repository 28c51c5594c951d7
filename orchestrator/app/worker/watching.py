"""The worker's own process beside its children: it stands watch over the stages, and hands out what is runnable.

No task, because it never ends, and because a task's way through Redis and two processes cost more than the pass that it
asked for. Beat's passes, which are tasks, go on beside it: whatever becomes of it, no job waits longer than for those.
"""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator
from typing import Any, Final

import billiard
from celery import bootsteps, platforms
from redis.exceptions import RedisError
from uvicorn.loops.auto import auto_loop_factory

from app.config import settings
from app.core.crawls.watching import RunsWatch
from app.core.dispatch.watching import Watch
from app.core.logic import open_orchestrator
from app.worker.nudging import RECONNECT_SECONDS, nudges
from ml_shared.instrumentation import init_telemetry, shutdown_telemetry
from ml_shared.storage.pools import sample_pools_regularly
from ml_shared.storage.redis_client import open_redis, open_sibling
from ml_shared.telemetry.metrics import forget_process

LOOK_SECONDS: Final = 1.0
# between looks whether it is alive, and the least between two starts
END_SECONDS: Final = 3.0
# what it is handing out gets this long to be handed out when the worker stops

logger = logging.getLogger(__name__)


async def stand_watch() -> None:
    """Make passes until cancelled, or until what it needs is gone."""
    async with open_redis(settings.REDIS_URL or "") as redis, open_orchestrator(settings) as orchestrator:
        watch = orchestrator.watch(interval_seconds=settings.DISPATCH_INTERVAL_SECONDS)
        runs = orchestrator.watch_runs(watch, interval_seconds=settings.DISPATCH_INTERVAL_SECONDS)
        with _beside(_listen(redis, watch, runs), runs.stand(), sample_pools_regularly()):
            await watch.stand()


@contextlib.contextmanager
def _beside(*work: Any) -> Iterator[None]:
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


class WatchStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Part of a worker: it starts the watch, starts it again should it end, and ends it with the worker."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self._process: Any = None
        self._timer: Any = None

    def start(self, worker: Any) -> None:
        """Celery's hook."""
        self._look()
        self._timer = worker.timer.call_repeatedly(LOOK_SECONDS, self._look)

    def stop(self, worker: Any) -> None:
        """Celery's hook: the worker ends."""
        if self._timer is not None:
            self._timer.cancel()
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGTERM)
        self._process.join(END_SECONDS)
        if self._process.exitcode is None:
            self._process.terminate()

    terminate = stop

    def _look(self) -> None:
        process = self._process
        if process is not None:
            if process.exitcode is None:
                return
            logger.error("watch_ended", extra={"exit_code": process.exitcode})
            forget_process(process.pid)
        self._process = billiard.Process(target=_run, name="watch", daemon=True)
        self._process.start()


def _run() -> None:
    platforms.set_pdeathsig("SIGKILL")  # it ends with the worker, however that ends
    platforms.signals.ignore("SIGINT")
    began = time.monotonic()
    init_telemetry(worker=False)
    logger.info("watch_began", extra={"pid": os.getpid()})
    try:
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            runner.run(_until_told())
    except Exception:
        logger.exception("watch_broke")
        time.sleep(max(0.0, LOOK_SECONDS - (time.monotonic() - began)))
    finally:
        shutdown_telemetry()
        forget_process(os.getpid())


async def _until_told() -> None:
    loop = asyncio.get_running_loop()
    standing = loop.create_task(stand_watch())
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):  # the main process' handlers stop a worker
        loop.add_signal_handler(number, standing.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await standing
