"""The loop of a child: what runs on it ends there, and nothing of it goes on in the next task."""

import asyncio
import contextlib
import contextvars
import logging
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from ml_shared.worker import runtime as module
from ml_shared.worker.runtime import ChildRuntime, ResourcesError

Log = list[str]


@pytest.fixture
def log() -> Log:
    return []


@pytest.fixture(params=["main thread, as in a child", "own thread, as in a test"])
def runtime(request: pytest.FixtureRequest, log: Log) -> Iterator[ChildRuntime]:
    @asynccontextmanager
    async def resources() -> AsyncIterator[str]:
        log.append("opened")
        async with asyncio.timeout(60):  # can only be left in the task that entered it
            yield "resources"
        log.append("closed")

    made = ChildRuntime(resources)
    if request.param.startswith("main"):
        made.open()
    yield made
    made.close()


def test_bodies_share_what_was_opened_once_and_it_is_closed(runtime: ChildRuntime, log: Log) -> None:
    async def body(resources: str) -> tuple[str, int]:
        return resources, id(asyncio.get_running_loop())

    assert runtime.run_body(body) == runtime.run_body(body)
    runtime.close()
    assert log == ["opened", "closed"]


def test_a_body_runs_in_the_context_of_its_caller(runtime: ChildRuntime) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("the caller's")

    async def body() -> str:
        return variable.get()

    assert runtime.run(body()) == "the caller's"


def test_a_signal_that_strikes_the_waiting_loop_ends_the_body_before_the_error_goes_on(log: Log) -> None:
    @asynccontextmanager
    async def resources() -> AsyncIterator[None]:
        yield None

    async def body() -> None:
        strike_soon()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.02)
            log.append("ended")

    async def next_body() -> int:
        return len(asyncio.all_tasks())

    runtime = ChildRuntime(resources)
    runtime.open()
    try:
        with pytest.raises(SoftTimeLimitExceeded), soft_limit():
            runtime.run(body())
        assert log == ["ended"]
        assert runtime.run(next_body()) == 2  # itself, and what keeps the resources open
    finally:
        runtime.close()


def test_a_cancellation_that_is_lost_is_sent_again(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python 3.11's `asyncio.wait_for` loses one that comes just as what it waits for ends."""
    monkeypatch.setattr(module, "CANCEL_AGAIN_SECONDS", 0.05)

    @asynccontextmanager
    async def resources() -> AsyncIterator[None]:
        yield None

    async def body() -> None:
        strike_soon()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        log.append("went on")
        await asyncio.sleep(60)
        log.append("to its end")

    runtime = ChildRuntime(resources)
    runtime.open()
    try:
        with pytest.raises(SoftTimeLimitExceeded), soft_limit():
            runtime.run(body())
    finally:
        runtime.close()
    assert log == ["went on"]


def test_a_soft_limit_that_strikes_within_a_callback_ends_the_body_all_the_same(log: Log) -> None:
    """Asyncio logs what a callback raises, and goes on."""

    @asynccontextmanager
    async def resources() -> AsyncIterator[None]:
        yield None

    async def body() -> None:
        asyncio.get_running_loop().call_soon(_strike)
        try:
            await asyncio.sleep(60)
        finally:
            log.append("ended")

    async def next_body() -> str:
        await asyncio.sleep(0)
        return "next"

    runtime = ChildRuntime(resources)
    runtime.open()
    try:
        with pytest.raises(SoftTimeLimitExceeded):
            runtime.run(body())
        assert log == ["ended"]
        assert runtime.run(next_body()) == "next"
    finally:
        runtime.close()


def _strike() -> None:
    raise SoftTimeLimitExceeded


def strike_soon() -> None:
    """Have the signal come once this body waits: counted from here, however long its loop took to begin it."""
    asyncio.get_running_loop().call_soon(signal.setitimer, signal.ITIMER_REAL, 0.2)


@contextlib.contextmanager
def soft_limit() -> Iterator[None]:
    """Let the signal strike as Celery's soft limit does."""

    def strike(*_: Any) -> None:
        raise SoftTimeLimitExceeded

    before = signal.signal(signal.SIGALRM, strike)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_shielded_clean_up_may_end_by_itself(
    runtime: ChildRuntime, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEFTOVER_GRACE_SECONDS", 60)

    async def clean_up() -> None:
        await asyncio.sleep(0.05)
        log.append("cleaned up")

    async def body() -> None:
        asyncio.get_running_loop().create_task(clean_up())
        raise ValueError("early")

    with pytest.raises(ValueError, match="early"):
        runtime.run(body())
    assert log[-1] == "cleaned up"


def test_what_a_body_leaves_running_is_cancelled_after_a_grace(
    runtime: ChildRuntime, log: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LEFTOVER_GRACE_SECONDS", 0.05)

    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            log.append("ended")

    async def body() -> None:
        asyncio.get_running_loop().create_task(endless(), name="endless")
        await asyncio.sleep(0)

    with caplog.at_level(logging.WARNING):
        runtime.run(body())
    assert log[-1] == "ended"
    assert "of its own running" in caplog.text


def test_resources_that_can_not_be_opened_are_tried_again_by_the_next_task() -> None:
    there: list[bool] = []

    @asynccontextmanager
    async def resources() -> AsyncIterator[str]:
        if not there:
            raise ConnectionRefusedError("no database")
        yield "resources"

    async def body(opened: str) -> str:
        return opened

    runtime = ChildRuntime(resources)
    runtime.open()
    try:
        with pytest.raises(ResourcesError, match="no database"):
            runtime.run_body(body)
        there.append(True)
        assert runtime.run_body(body) == "resources"
    finally:
        runtime.close()


def test_resources_that_hang_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPEN_TIMEOUT_SECONDS", 0.05)

    @asynccontextmanager
    async def resources() -> AsyncIterator[str]:
        await asyncio.sleep(60)
        yield "never"

    async def body(opened: str) -> str:
        return opened

    runtime = ChildRuntime(resources)
    runtime.open()
    try:
        with pytest.raises(ResourcesError, match="TimeoutError"):
            runtime.run_body(body)
    finally:
        runtime.close()


def test_resources_that_are_given_up_and_end_slowly_are_not_taken_for_open_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "OPEN_TIMEOUT_SECONDS", 0.5)
    tries: list[bool] = []

    @asynccontextmanager
    async def resources() -> AsyncIterator[str]:
        tries.append(True)
        if len(tries) == 1:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(1)  # as a pool's connection takes a moment to close
        yield "opened"

    async def body(opened: str) -> str:
        return opened

    runtime = ChildRuntime(resources)
    runtime.open()
    monkeypatch.setattr(module, "OPEN_TIMEOUT_SECONDS", 60)
    try:
        assert runtime.run_body(body) == "opened"
    finally:
        runtime.close()


def test_a_body_that_would_wait_for_itself_is_refused(log: Log) -> None:
    @asynccontextmanager
    async def resources() -> AsyncIterator[None]:
        yield None

    runtime = ChildRuntime(resources)

    async def inner() -> None:
        """Never runs."""

    async def body() -> None:
        runtime.run(inner())

    try:
        with pytest.raises(RuntimeError, match="wait for itself"):
            runtime.run(body())
    finally:
        runtime.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "task-loop"]


class _StuckLoop:
    """uvloop's, struck by a signal just as a run began: it passes for running for ever, and can't be run again."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.tasks: list[asyncio.Task[Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def create_task(self, *arguments: Any, **options: Any) -> asyncio.Task[Any]:
        self.tasks.append(self._loop.create_task(*arguments, **options))
        return self.tasks[-1]

    def is_running(self) -> bool:
        return bool(self.tasks)

    def run_until_complete(self, _: Any) -> None:
        if len(self.tasks) > 1:
            raise RuntimeError("this event loop is already running.")
        asyncio._set_running_loop(self._loop)
        raise SoftTimeLimitExceeded


def test_a_loop_that_a_signal_left_running_is_replaced_and_the_next_body_runs() -> None:
    opened: list[str] = []

    @asynccontextmanager
    async def resources() -> AsyncIterator[str]:
        opened.append("opened")
        yield "resources"

    async def body(found: str) -> str:
        return found

    runtime = ChildRuntime(resources)
    runtime.open()
    left = runtime._loop
    assert left is not None
    stuck = _StuckLoop(left)
    runtime._loop = stuck  # type: ignore[assignment]
    try:
        with pytest.raises(SoftTimeLimitExceeded):
            runtime.run_body(body)
        assert (runtime.run_body(body), opened) == ("resources", ["opened", "opened"])
    finally:
        runtime.close()
        # what was on the old one: its body and its resources
        tasks = asyncio.all_tasks(left)
        for task in tasks:
            task.cancel()
        left.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        left.close()
