"""Threads: how many texts may wait, and what becomes of a computation that nobody waits for."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest
from conftest import WAIT_SECONDS

from app.core.cancellation import AbandonedError, Cancellation
from app.core.errors import BusyError, TooManyTextsError
from app.core.pool import WorkPool


@pytest.fixture
async def pool() -> AsyncIterator[WorkPool]:
    pool = WorkPool(workers=1, waiting=3, waiting_characters=100)
    yield pool
    pool.close()


async def _until(condition: "asyncio.Future[None] | object") -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_work_that_is_not_waited_for_stops_and_leaves_its_place(pool: WorkPool) -> None:
    began, stopped = threading.Event(), threading.Event()

    def endless(cancellation: Cancellation) -> None:
        began.set()
        try:
            while True:
                cancellation.check()
                time.sleep(0.001)
        except AbandonedError:
            stopped.set()
            raise

    for caller in "abc":  # another each time: what is given up is counted until its thread has ended
        began.clear()
        stopped.clear()
        running = asyncio.ensure_future(pool.run(endless, 1, caller=caller))
        await _until(began.is_set)  # what is given up before that never runs
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(running, 0.05)
        await _until(stopped.is_set)
    assert await pool.run(lambda _: "done", 1, caller="d") == "done"


async def test_a_caller_has_a_quarter_of_the_texts_all_callers_three_and_the_orchestrator_the_rest() -> None:
    pool, release = WorkPool(workers=1, waiting=7, waiting_characters=1000), threading.Event()

    def waiting(_: Cancellation) -> bool:
        return release.wait(WAIT_SECONDS)

    running = [asyncio.create_task(pool.run(waiting, 1, caller=name)) for name in "aabbcc"]
    await asyncio.sleep(0)
    with pytest.raises(TooManyTextsError) as own:
        await pool.run(waiting, 1, caller="a")
    with pytest.raises(BusyError) as full:
        await pool.run(waiting, 1, caller="d")
    assert own.value.retry_after_seconds == full.value.retry_after_seconds == 2.0
    running += [asyncio.create_task(pool.run(waiting, 1, caller="o", internal=True)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await pool.run(waiting, 1, caller="o", internal=True)
    release.set()
    assert all(await asyncio.gather(*running))
    assert await pool.run(lambda _: "done", 1, caller="a") == "done"
    pool.close()


async def test_characters_are_shared_out_likewise_but_one_text_always_gets_in() -> None:
    pool, release = WorkPool(workers=1, waiting=30, waiting_characters=100), threading.Event()

    def waiting(_: Cancellation) -> bool:
        return release.wait(WAIT_SECONDS)

    large = asyncio.create_task(pool.run(waiting, 1000, caller="a"))
    await asyncio.sleep(0)
    for caller, refused in (("a", TooManyTextsError), ("b", BusyError)):
        with pytest.raises(refused):
            await pool.run(waiting, 1, caller=caller)
    release.set()
    assert await large
    release.clear()
    running = [asyncio.create_task(pool.run(waiting, 25, caller=name)) for name in "abc"]
    await asyncio.sleep(0)
    for caller, refused in (("a", TooManyTextsError), ("d", BusyError)):
        with pytest.raises(refused):
            await pool.run(waiting, 1, caller=caller)
    running.append(asyncio.create_task(pool.run(waiting, 25, caller="o", internal=True)))
    await asyncio.sleep(0)
    release.set()
    assert all(await asyncio.gather(*running))
    pool.close()


async def test_what_still_waits_when_its_caller_leaves_never_runs(pool: WorkPool) -> None:
    held, release, ran = threading.Event(), threading.Event(), threading.Event()

    def holding(_: Cancellation) -> bool:
        held.set()
        return release.wait(WAIT_SECONDS)

    first = asyncio.create_task(pool.run(holding, 1))
    await _until(held.is_set)
    second = asyncio.create_task(pool.run(lambda _: ran.set(), 1, internal=True))
    await _until(lambda: pool._turns._waiting)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    release.set()
    await first
    # another caller: the text that was given up is counted for its own until its thread has seen that
    assert await pool.run(lambda _: "done", 1, caller="another") == "done"
    assert not ran.is_set()


async def test_an_error_in_the_thread_reaches_the_caller(pool: WorkPool) -> None:
    def broken(_: Cancellation) -> None:
        raise ValueError("from the thread")

    with pytest.raises(ValueError, match="from the thread"):
        await pool.run(broken, 1)
