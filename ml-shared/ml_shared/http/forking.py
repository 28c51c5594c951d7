"""uvicorn's workers, forked from a parent that has imported the application, so that they share the memory that it takes.

uvicorn starts each of its processes anew, and each imports for itself what is the same for all: sixty megabytes, and a
second of a processor. It offers no way to name another kind of process to its command. What it does before it makes one
is to read its logging configuration, which names our handler; so that is where `fork_workers` is called.

A worker that SIGHUP replaces has the code that its parent imported. On macOS, whose own libraries don't take a fork well,
and under `--reload`, everything is as uvicorn has it.
"""

import gc
import signal
import sys
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any

from ml_shared.instrumentation import init_telemetry, prepare_telemetry


class _Forks:
    """In the place of the context of `multiprocessing` that uvicorn makes its processes of."""

    def __init__(self, spawns: Any) -> None:
        self._spawns = spawns
        self._ready = False

    def Process(self, *, target: Callable[..., None], kwargs: dict[str, Any]) -> BaseProcess:  # noqa: N802 - as it is called there
        config = kwargs["config"]
        if config.should_reload:
            process: BaseProcess = self._spawns.Process(target=target, kwargs=kwargs)
            return process
        self._prepare(config)
        serve = kwargs["target"]
        return get_context("fork").Process(target=_begin, args=(target, {**kwargs, "target": _traced(serve)}))

    def _prepare(self, config: Any) -> None:
        if self._ready:
            return
        from uvicorn.importer import import_from_string

        from ml_shared.clients.tls import shared_tls

        prepare_telemetry()
        import_from_string(config.app)
        import_from_string("uvicorn.protocols.http.auto:AutoHTTPProtocol")
        shared_tls()
        gc.collect()
        gc.freeze()  # a collection would write to every page, and so make a copy of it
        self._ready = True


def _begin(start: Callable[..., None], kwargs: dict[str, Any]) -> None:
    from uvicorn.supervisors.multiprocess import SIGNALS

    for number in SIGNALS:  # the parent's only note the signal for its own loop
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    start(**kwargs)


def _traced(serve: Callable[..., None]) -> Callable[..., None]:
    def with_telemetry(sockets: Any) -> None:
        init_telemetry()
        serve(sockets=sockets)

    return with_telemetry


def fork_workers() -> None:
    """Have uvicorn fork its workers, where it is about to have several. Again, it does nothing."""
    from uvicorn import _subprocess

    if sys.platform == "linux" and not isinstance(_subprocess.spawn, _Forks):
        _subprocess.spawn = _Forks(_subprocess.spawn)  # type: ignore[assignment]
