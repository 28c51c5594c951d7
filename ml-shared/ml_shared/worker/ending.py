"""A worker's cold stop comes to an end, whatever Redis, the databases, the collector or a child do meanwhile.

Celery does all of it in the signal's handler, on the one thread that it has, and much of it waits without end or for
one timeout after the other: for the rest of a result that a child, killed just then, will never write (its pipe stays
open), and for a Redis that hangs, in each of a dozen steps.
"""

import contextlib
import os
import signal
import threading
from typing import Any, Final

import billiard
import celery.apps.worker
from billiard.einfo import ExceptionInfo
from celery.platforms import EX_FAILURE

from ml_shared.telemetry.logs import write_line

STOP_SECONDS: Final = 12.0
# `SOFT_SHUTDOWN_SECONDS`, what a child takes to give back what it holds and to close, and a busy machine


class EndingWorker(celery.apps.worker.Worker):  # type: ignore[misc]
    """Celery's worker, killed when its cold stop takes too long.

    Messages that it still held are not lost: Redis has them as unacknowledged, and gives them out again after the
    visibility timeout; a job is back with its lease's end.
    """

    def wait_for_soft_shutdown(self) -> None:
        """Celery's hook: a cold stop begins. It runs in the signal's handler."""
        threading.Thread(target=_end_after, args=(STOP_SECONDS,), name="worker-end", daemon=True).start()
        super().wait_for_soft_shutdown()


class Failure(ExceptionInfo):  # type: ignore[misc]
    """What a child tells of a task's failure: without the frames, which are in its log, and in the text that it sends.

    They can be more than a pipe holds. A stop's handler reads no pipe for seconds; the child then waits with half of
    them written, is told to end, and Celery's main process waits for the other half without end.
    """

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "tb": None}


def _end_after(seconds: float) -> None:
    threading.Event().wait(seconds)
    write_line(__name__, f"the worker did not stop within {seconds:g} s and ends by force")
    for child in billiard.active_children():
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
    os._exit(EX_FAILURE)
