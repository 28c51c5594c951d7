"""What is waited for is given up in time, whatever it does about that."""

import asyncio

import pytest

from ml_shared.deadlines import within


async def test_what_is_done_in_time_is_returned_and_what_fails_raises_its_own_error() -> None:
    async def fail() -> None:
        raise ConnectionError("gone")

    assert await within(60, asyncio.sleep(0, "done")) == "done"
    with pytest.raises(ConnectionError, match="gone"):
        await within(60, fail())


async def test_what_does_not_end_when_it_is_cancelled_is_not_waited_for() -> None:
    released, told = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            told.set()
            await released.wait()
            raise ConnectionError("nobody hears of it") from None

    with pytest.raises(TimeoutError):
        await within(0.01, stubborn())
    await told.wait()
    released.set()
    await asyncio.sleep(0.01)


async def test_who_is_cancelled_cancels_what_it_waits_for() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    waiting = asyncio.create_task(within(3600, work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await ended.wait()
