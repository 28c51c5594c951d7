"""Telling of a killed task from a worker's main process, which forks children and therefore must not do it itself.

A thread of its own would hold locks (an import's, for one) at the moment at which the pool forks the next child. In the
child nobody is left to release them: it waits when it first imports the same module, at its start until
`worker_proc_alive_timeout`, or in its first task until that task's limit. So the telling is a process, forked while the
main process has but one thread.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import billiard
from celery import platforms
from celery.platforms import EX_FAILURE
from opentelemetry import context, propagate

from ml_shared.telemetry.logs import REQUEST_ID
from ml_shared.telemetry.metrics import forget_process

logger = logging.getLogger(__name__)

TELL_SECONDS: Final = 60
# an orchestrator that hangs is given up long before

_tellers: list[Any] = []


def tell_apart_from_forks(
    say: Callable[[], Coroutine[Any, Any, None]],
    *,
    trace_headers: Mapping[str, str],
    request_id: str | None,
    task_id: str,
) -> None:
    """Run a coroutine in a process of its own, and don't wait for it. Only from a worker's main thread.

    It ends with the worker, as its children do: that a job's lease runs out is what guarantees that it is heard of.

    Parameters
    ----------
    say
        Makes the coroutine, in that process.
    trace_headers
        Of the message of the task that it is about: whose trace it belongs to.
    request_id, task_id
        For its log lines.
    """
    reap_tellers()
    teller = billiard.Process(target=_tell, args=(say, trace_headers, request_id, task_id), name="teller", daemon=True)
    teller.start()
    _tellers.append(teller)


def reap_tellers() -> None:
    """Let go of those that have ended."""
    for teller in [each for each in _tellers if each.exitcode is not None]:
        _tellers.remove(teller)
        teller.close()


def _tell(
    say: Callable[[], Coroutine[Any, Any, None]],
    trace_headers: Mapping[str, str],
    request_id: str | None,
    task_id: str,
) -> None:
    platforms.set_pdeathsig("SIGKILL")
    for number in (signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP):  # the main process' handlers stop a worker
        signal.signal(number, lambda *_: os._exit(EX_FAILURE))
    platforms.signals.ignore("SIGINT")
    signal.alarm(TELL_SECONDS)
    context.attach(propagate.extract(trace_headers))
    REQUEST_ID.set(request_id)
    try:
        asyncio.run(say())
    except Exception:
        logger.exception("nobody could be told of a killed task", extra={"task_id": task_id})
    finally:
        forget_process(os.getpid())
