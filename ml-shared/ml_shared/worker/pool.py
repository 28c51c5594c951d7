"""Celery's prefork pool, in which a child that has gone is replaced at once, whatever ended it.

Celery learns of a child's end when a pipe closes that only the child held, and then asks the kernel for its exit
status. Linux closes a process' files before it has a status to tell: asked between the two, Celery found the child
alive, stopped watching its pipe, and looked again when its timer said so, up to 5 s later. The pipe does not close at
all while a process that the child itself started lives on with a copy of it.
"""

import gc
import importlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from celery.concurrency.asynpool import AsynPool
from celery.concurrency.prefork import TaskPool

from ml_shared.clients.tls import shared_tls
from ml_shared.instrumentation import import_exporter
from ml_shared.worker.telling import reap_tellers

LOOK_SECONDS: Final = 0.5
# a question to the kernel for each child, and one turn of Celery's loop for both of what it does then

_FOR_CHILDREN: Final = (
    "anyio._backends._asyncio",
    "httpcore",
    "opentelemetry.instrumentation.asyncpg",
    "opentelemetry.instrumentation.httpx",
    "opentelemetry.instrumentation.redis",
)


def import_for_children(modules: Sequence[str] = ()) -> None:
    """Import and read what every child does when it starts or sends its first request, in the process that they are forked from.

    Half of a child's start is imports otherwise, and a task that waits for its slot waits for them.
    """
    for name in (*_FOR_CHILDREN, *modules):
        importlib.import_module(name)
    shared_tls()
    import_exporter()  # no more: what gRPC starts with its first channel does not take a fork well


class PromptPool(AsynPool):  # type: ignore[misc]
    """Celery's pool, which asks the kernel for its children often instead of once and then every five seconds."""

    @property
    def timers(self) -> dict[Callable[[], Any], float]:
        """Celery's hook: what its loop does regularly."""
        return {self._look: LOOK_SECONDS}

    def _look(self) -> None:
        self.maintain_pool()
        reap_tellers()


class PromptTaskPool(TaskPool):  # type: ignore[misc]
    """What makes Celery use it: `worker_pool`."""

    Pool = PromptPool

    def on_start(self) -> None:
        """Celery's hook: the children are forked now."""
        gc.collect()
        gc.freeze()  # a collection, here or in a child, would write to every page that they share, and so copy it
        super().on_start()
