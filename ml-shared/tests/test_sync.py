"""The limit on how long a sync route works."""

import asyncio

import pytest

from ml_shared.errors import DeadlineError
from ml_shared.http.sync import GRACE_SECONDS, within_deadline


async def test_what_finishes_in_time_is_returned() -> None:
    async def work() -> str:
        return "done"

    assert await within_deadline(work(), 5, "POST /enqueue") == "done"


async def test_the_deadline_cancels_the_work_and_names_the_alternative() -> None:
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(DeadlineError) as raised:
        await within_deadline(work(), 0.05, "POST /enqueue")
    assert (raised.value.status, raised.value.code) == (504, "sync_timeout")
    assert "POST /enqueue" in raised.value.detail
    assert cancelled.is_set()


async def test_a_timeout_of_the_works_own_is_not_the_deadline() -> None:
    async def work() -> None:
        raise TimeoutError("a socket's")

    with pytest.raises(TimeoutError, match="a socket's"):
        await within_deadline(work(), 5, "POST /enqueue")


async def test_work_in_which_the_cancellation_is_lost_is_late_all_the_same() -> None:
    async def deaf() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(2 * GRACE_SECONDS)
        return "done"

    with pytest.raises(DeadlineError, match="POST /enqueue"):
        await within_deadline(deaf(), 0.01, "POST /enqueue")
