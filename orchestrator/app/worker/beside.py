"""Processes of a worker beside its children: work that never ends, and so is no task."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final

import billiard
from celery import bootsteps, platforms
from uvicorn.loops.auto import auto_loop_factory

from ml_shared.instrumentation import init_telemetry, shutdown_telemetry
from ml_shared.telemetry.metrics import forget_process

LOOK_SECONDS: Final = 1.0
# between looks whether it is alive, and the least between two starts
END_SECONDS: Final = 3.0
# what it has under way gets this long when the worker stops

logger = logging.getLogger(__name__)


class BesideStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Part of a worker: it starts a process, starts it again should it end, and ends it with the worker.

    A subclass names the process, in its log lines too (`watch_began`, `watch_ended`, `watch_broke`), and what it does until
    it is cancelled.
    """

    requires = ("celery.worker.components:Pool",)
    process_name: ClassVar[str]
    work: ClassVar[Callable[[], Awaitable[None]]]

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
            logger.error("%s_ended", self.process_name, extra={"exit_code": process.exitcode})
            forget_process(process.pid)
        self._process = billiard.Process(
            target=_run, args=(self.process_name, type(self).work), name=self.process_name, daemon=True
        )
        self._process.start()


def _run(name: str, work: Callable[[], Awaitable[None]]) -> None:
    platforms.set_pdeathsig("SIGKILL")  # it ends with the worker, however that ends
    platforms.signals.ignore("SIGINT")
    began = time.monotonic()
    init_telemetry(worker=False)
    logger.info("%s_began", name, extra={"pid": os.getpid()})
    try:
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            runner.run(_until_told(work))
    except Exception:
        logger.exception("%s_broke", name)
        time.sleep(max(0.0, LOOK_SECONDS - (time.monotonic() - began)))
    finally:
        shutdown_telemetry()
        forget_process(os.getpid())


async def _until_told(work: Callable[[], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    working = asyncio.ensure_future(work())
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):  # the main process' handlers stop a worker
        loop.add_signal_handler(number, working.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await working
