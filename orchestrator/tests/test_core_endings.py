"""Waiting for a job's end, in this process."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from conftest import Core

from app.core.jobs import cancelling, endings
from app.core.jobs.endings import Endings

PATIENCE_SECONDS = 30.0


@pytest.fixture
async def waits(core: Core) -> AsyncIterator[Endings]:
    async with Endings(core.pool, most=5, share=3).opened() as opened:
        yield opened


def never_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "POLL_SECONDS", 1000)


async def test_a_word_wakes_who_waits_for_that_job(core: Core, waits: Endings, monkeypatch: pytest.MonkeyPatch) -> None:
    never_polls(monkeypatch)
    job, other = [UUID(await core.submit(f"http://h{number}.test/")) for number in range(2)]
    waiting = [asyncio.create_task(waits.wait("key:a", one, 60)) for one in (job, job, other)]
    await asyncio.sleep(0.1)
    await cancelling.cancel(core.pool, "key:a", job)
    waits.hear(job)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await asyncio.gather(*waiting[:2]) == [True, True]
    assert not waiting[2].done()
    assert waits.anybody
    waiting[2].cancel()
    await asyncio.wait(waiting[2:])
    assert not waits.anybody


async def test_a_word_that_is_not_true_ends_no_wait(
    core: Core, waits: Endings, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_polls(monkeypatch)
    job = UUID(await core.submit("http://h.test/"))
    waiting = asyncio.create_task(waits.wait("key:a", job, 0.5))
    await asyncio.sleep(0.1)
    waits.hear(job)
    assert await waiting is False


async def test_a_job_that_had_ended_before_is_not_waited_for(
    core: Core, waits: Endings, monkeypatch: pytest.MonkeyPatch
) -> None:
    never_polls(monkeypatch)
    job = UUID(await core.submit("http://h.test/"))
    await cancelling.cancel(core.pool, "key:a", job)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await waits.wait("key:a", job, 60) is True


async def test_without_a_word_it_is_found_out(core: Core, waits: Endings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "POLL_SECONDS", 0.1)
    job = UUID(await core.submit("http://h.test/"))
    waiting = asyncio.create_task(waits.wait("key:a", job, 60))
    await asyncio.sleep(0.3)
    await cancelling.cancel(core.pool, "key:a", job)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await waiting is True


async def test_no_more_wait_than_may_and_none_of_them_holds_a_connection(core: Core, waits: Endings) -> None:
    job = UUID(await core.submit("http://h.test/"))
    waiting = [asyncio.create_task(waits.wait("key:a", job, 60)) for _ in range(3)]
    await asyncio.sleep(0)  # they have begun
    assert await waits.wait("key:a", job, 60) is None, "as many as one owner may"
    waiting += [asyncio.create_task(waits.wait(f"key:{number}", job, 60)) for number in range(2)]
    await asyncio.sleep(0)
    assert await waits.wait("key:z", job, 60) is None, "as many as may in all"
    async with asyncio.timeout(PATIENCE_SECONDS):
        held: list[Any] = [core.pool.acquire() for _ in range(6)]
        for each in held:
            await each.__aenter__()
        for each in held:
            await each.__aexit__(None, None, None)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert await waits.wait("key:a", job, 0.01) is False, "there is room again"


async def test_a_database_that_is_away_for_a_moment_ends_no_wait(
    core: Core, waits: Endings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "POLL_SECONDS", 0.05)
    job = UUID(await core.submit("http://h.test/"))
    fetch, failures = core.pool.fetch, []

    async def failing(*arguments: Any) -> Any:
        if len(failures) < 3:
            failures.append(1)
            raise OSError
        return await fetch(*arguments)

    monkeypatch.setattr(core.pool, "fetch", failing)
    waiting = asyncio.create_task(waits.wait("key:a", job, 60))
    await cancelling.cancel(core.pool, "key:a", job)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await waiting is True
    assert len(failures) == 3
