"""The asyncio loop of a Celery child, on which all its task bodies run, with the clients that they share.

One loop a child, made after the fork: with pooled clients a child runs ten times the tasks of one that makes them anew
each time. In a worker the loop runs on the main thread while a task runs, so that Celery's soft time limit interrupts
even a body that never awaits. It is uvloop's where that is there. Where there is no worker (`task.apply()` in a test, perhaps
inside a running loop) it runs on a thread of its own.
"""

import asyncio
import atexit
import contextlib
import contextvars
import logging
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, NoReturn, TypeVar

from billiard.common import terminate_handler_fired
from billiard.exceptions import SoftTimeLimitExceeded
from opentelemetry.instrumentation.utils import suppress_instrumentation
from uvicorn.loops.auto import auto_loop_factory

logger = logging.getLogger(__name__)
_stuck: list[asyncio.AbstractEventLoop] = []
# never freed: to uvloop a loop that goes while it runs is an error

T = TypeVar("T")

OPEN_TIMEOUT_SECONDS: Final = 15.0
CLOSE_TIMEOUT_SECONDS: Final = 5.0
LEFTOVER_GRACE_SECONDS: Final = 2.0
# a cancelled body leaves shielded clean-ups behind (a pool taking a connection back); they get this long to end
CANCEL_AGAIN_SECONDS: Final = 2.0
# a clean-up that takes longer is cut short; often enough for the 30 s between Celery's soft limit and the kill


class BodyEndedError(Exception):
    """A body ended by what is not an error of a task: `SystemExit`, or a cancellation that nobody asked for.

    Celery takes neither for the task's failure: the one ends the worker with all its children, the other is told to
    nobody.
    """


class ResourcesError(Exception):
    """What the tasks of this child need could not be opened; the next task tries again."""


class ChildRuntime:
    """One process' loop and resources, made when first used.

    Parameters
    ----------
    resources
        Makes the context manager of what task bodies get: the clients and pools of this process.
    """

    def __init__(self, resources: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._factory = resources
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._turn = threading.RLock()
        self._holder: asyncio.Task[None] | None = None
        self._closing: asyncio.Event | None = None
        self._resources: Any = None
        self._running: asyncio.Task[Any] | None = None
        self._struck: SoftTimeLimitExceeded | None = None

    def open(self) -> None:
        """Make the loop on this thread and open the resources: what a worker's child does when it starts.

        Resources that can't be opened are logged; the first task tries again.
        """
        self._start(own_thread=False)
        try:
            self._execute(self._ensure_open())
        except ResourcesError as error:
            logger.warning("this child's resources are not there yet: %s", error)

    def run(self, body: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, in the current context, and leave nothing of it running.

        Whatever ends it early, Celery's `SoftTimeLimitExceeded` included, cancels it and waits until it has ended: a
        coroutine that is merely left would go on during the next task.

        Raises
        ------
        BodyEndedError
            If it called `exit()`.
        """
        self._start(own_thread=True)
        if self._thread is not None and threading.current_thread() is self._thread:
            body.close()
            raise RuntimeError("a task body can't run another task and wait for it: it would wait for itself")
        with self._turn:
            try:
                return self._execute(body)
            except SystemExit as error:
                tell_apart(error)

    def run_body(self, body: Callable[[Any], Awaitable[T]]) -> T:
        """Run `body(resources)` as `run` does.

        Raises
        ------
        ResourcesError
            If the resources can't be opened.
        """

        async def with_resources() -> T:
            return await body(await self._ensure_open())

        return self.run(with_resources())

    def close(self) -> None:
        """Close the resources and the loop. It may be opened again."""
        if self._loop is None or self._pid != os.getpid():
            return
        loop = self._loop
        with self._turn:
            try:
                self._execute(self._release())
            except Exception:
                logger.exception("this process' resources did not close cleanly")
            if self._thread is not None:
                loop.call_soon_threadsafe(loop.stop)
                self._thread.join(CLOSE_TIMEOUT_SECONDS)
            if not loop.is_running():
                loop.close()
            self._forget()

    def _start(self, *, own_thread: bool) -> None:
        if self._pid != os.getpid():
            self._forget()  # forked: a loop can't be shared
        if self._loop is not None:
            return
        self._loop = auto_loop_factory()()
        self._loop.set_exception_handler(self._on_swallowed)
        if own_thread:
            self._thread = threading.Thread(target=self._loop.run_forever, name="task-loop", daemon=True)
            self._thread.start()
            atexit.register(self.close)

    def _execute(self, body: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            raise RuntimeError("the runtime is closed")
        loop = self._loop
        before = set(asyncio.all_tasks(loop))
        context = contextvars.copy_context()
        created: list[asyncio.Task[T]] = []
        try:
            if self._thread is None:
                created.append(loop.create_task(body, context=context))
                self._running = created[0]
                return loop.run_until_complete(created[0])
            return asyncio.run_coroutine_threadsafe(_start(body, context, created), loop).result()
        except RuntimeError as stopped:
            if self._struck is not None:
                raise self._struck from stopped
            raise
        finally:
            self._running = self._struck = None
            if self._thread is None and loop.is_running():
                self._replace(loop)
            elif created:
                self._settle(created[0], before)

    def _on_swallowed(self, loop: asyncio.AbstractEventLoop, about: dict[str, Any]) -> None:
        """Hear of what ended a callback. If the soft limit struck there, a loop would log it and let the body go on.

        To uvloop a signal that strikes while it waits is a callback as well.
        """
        error = about.get("exception")
        if isinstance(error, SoftTimeLimitExceeded) and self._running is not None:
            self._struck = error
            loop.stop()
        else:
            loop.default_exception_handler(about)

    def _replace(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin anew with another loop: this one passes for running, though nothing runs it, and can't be run again.

        A signal whose handler raises just as uvloop begins or ends a run leaves it so. What was on it never goes on.
        """
        logger.warning("a signal struck this process' loop as it began or ended; it gets another, and other resources")
        asyncio._set_running_loop(None)
        _stuck.append(loop)
        self._forget()
        self._start(own_thread=False)

    def _settle(self, task: "asyncio.Task[Any]", before: "set[asyncio.Task[Any]]") -> None:
        if self._loop is None:
            return
        known = {*before, self._holder}
        if task.done() and not asyncio.all_tasks(self._loop) - known:
            return
        settling = _settle(task, known)
        if self._thread is None:
            self._loop.run_until_complete(settling)
        else:
            asyncio.run_coroutine_threadsafe(settling, self._loop).result()

    async def _ensure_open(self) -> Any:
        if self._holder is not None and not self._holder.done():
            return self._resources
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[Any] = loop.create_future()
        self._closing = asyncio.Event()
        # A task of its own, which opens and closes (what was entered in one task can't always be left in another), in
        # an empty context (or all that the resources ever do would belong to the span that happened to be current).
        self._holder = loop.create_task(self._hold(opened, self._closing), context=contextvars.Context())
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
                self._resources = await opened
        except Exception as error:
            # forgotten at once: while it ends, its resources would pass for open ones
            holder, self._holder = self._holder, None
            holder.cancel()
            raise ResourcesError(f"{type(error).__name__}: {error}") from error
        return self._resources

    async def _hold(self, opened: "asyncio.Future[Any]", closing: asyncio.Event) -> None:
        try:
            with suppress_instrumentation():  # a pool's start, pings and end would each be a trace of their own
                async with self._factory() as resources:
                    opened.set_result(resources)
                    await closing.wait()
        except Exception as error:
            if opened.done():
                raise
            opened.set_exception(error)

    async def _release(self) -> None:
        if self._holder is not None and self._closing is not None:
            self._closing.set()
            await asyncio.wait({self._holder}, timeout=CLOSE_TIMEOUT_SECONDS)
            if not self._holder.done():
                await cancel_and_wait({self._holder})
            with contextlib.suppress(asyncio.CancelledError):
                await self._holder
        await asyncio.get_running_loop().shutdown_asyncgens()
        await asyncio.get_running_loop().shutdown_default_executor()


def tell_apart(error: SystemExit) -> NoReturn:
    """Raise it again if it is this worker's own end, which billiard's signal handler began; else say what it is."""
    if terminate_handler_fired():
        raise error
    raise BodyEndedError(f"the body called exit({error.code!r})") from error


async def _start(body: Coroutine[Any, Any, T], context: contextvars.Context, created: "list[asyncio.Task[T]]") -> T:
    created.append(asyncio.get_running_loop().create_task(body, context=context))
    return await created[0]


async def cancel_and_wait(tasks: "Iterable[asyncio.Task[Any]]") -> None:
    """Cancel tasks until they have ended.

    Once may not do: Python 3.11's `asyncio.wait_for`, by which redis-py sends, loses a cancellation that comes just as
    what it waits for ends.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)


async def _settle(task: "asyncio.Task[Any]", known: "set[Any]") -> None:
    """Wait until a task that was left early has ended, and whatever it started as well."""
    if not task.done():
        await cancel_and_wait({task})
    if not task.cancelled():
        task.exception()  # seen: it is either on its way to the caller, or came after what the caller gets
    current = asyncio.current_task()
    left = {other for other in asyncio.all_tasks() if other not in known and other is not current}
    if not left:
        return
    _, pending = await asyncio.wait(left, timeout=LEFTOVER_GRACE_SECONDS)
    for other in pending:
        logger.warning("a task body left a task of its own running: cancelled", extra={"left": repr(other.get_name())})
    await cancel_and_wait(pending)
