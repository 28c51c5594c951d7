"""Threads: how many texts may wait, and what becomes of a computation that nobody waits for."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest

from app.core.cancellation import AbandonedError, Cancellation
from app.core.pool import BusyError, WorkPool


@pytest.fixture
async def pool() -> AsyncIterator[WorkPool]:
    pool = WorkPool(workers=1, waiting=1, waiting_characters=100)
    yield pool
    pool.close()


async def _until(condition: "asyncio.Future[None] | object") -> None:
    for _ in range(500):
        if condition():  # type: ignore[operator]
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came")


async def test_work_that_is_not_waited_for_stops_and_leaves_its_place(pool: WorkPool) -> None:
    stopped = threading.Event()

    def endless(cancellation: Cancellation) -> None:
        try:
            while True:
                cancellation.check()
                time.sleep(0.001)
        except AbandonedError:
            stopped.set()
            raise

    for _ in range(3):
        stopped.clear()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.run(endless, 1), 0.05)
        await _until(stopped.is_set)
    assert await pool.run(lambda _: "done", 1) == "done"


async def test_more_texts_than_may_wait_are_refused_at_once(pool: WorkPool) -> None:
    release = threading.Event()
    running = [asyncio.create_task(pool.run(lambda _: release.wait(10), 1)) for _ in range(2)]
    await asyncio.sleep(0.05)
    with pytest.raises(BusyError) as refused:
        await pool.run(lambda _: None, 1)
    assert refused.value.retry_after_seconds == 2.0
    release.set()
    await asyncio.gather(*running)
    assert await pool.run(lambda _: "done", 1) == "done"


async def test_characters_that_wait_are_bounded_but_one_text_always_gets_in(pool: WorkPool) -> None:
    release = threading.Event()
    large = asyncio.create_task(pool.run(lambda _: release.wait(10), 1000))
    await asyncio.sleep(0.05)
    with pytest.raises(BusyError):
        await pool.run(lambda _: None, 1)
    release.set()
    assert await large


async def test_what_still_waits_when_its_caller_leaves_never_runs(pool: WorkPool) -> None:
    release, ran = threading.Event(), threading.Event()
    first = asyncio.create_task(pool.run(lambda _: release.wait(10), 1))
    second = asyncio.create_task(pool.run(lambda _: ran.set(), 1))
    await asyncio.sleep(0.05)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    release.set()
    await first
    assert await pool.run(lambda _: "done", 1) == "done"
    assert not ran.is_set()


async def test_an_error_in_the_thread_reaches_the_caller(pool: WorkPool) -> None:
    def broken(_: Cancellation) -> None:
        raise ValueError("from the thread")

    with pytest.raises(ValueError, match="from the thread"):
        await pool.run(broken, 1)
