"""Processes to extract in, and what happens to those that a page is too much for."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import psutil
import pytest
from conftest import WAIT_SECONDS, until
from pages import DOCUMENTATION
from shared_extraction import SharedExtraction
from stand_ins import CHALLENGES, EMPTIES, LOGINS, MISSING

from app.core.errors import (
    ChallengePageError,
    EmptyContentError,
    ExtractionError,
    LoginRequiredError,
    PageTooLargeError,
    UnsupportedContentTypeError,
)
from app.core.extraction import pool as extraction_pool
from app.core.extraction.pool import ExtractionPool
from ml_shared.errors import ServiceError

HTML = {"url": "https://docs.example/a", "media_type": "text/html", "charset": None}
SLOW = ("<table>" + "<tr><td>cell</td><td>value</td></tr>" * 150_000 + "</table>").encode()
AT_WORK_SECONDS = 0.05
# of CPU time: a small page takes less, this one seconds


def at_work(pool: ExtractionPool) -> Callable[[], Awaitable[int]]:
    """Return what waits until one of the processes, all idle now, is at work on a page, and returns its id."""
    idle = {pid: cpu_seconds(pid) for pid in pool.pids}

    async def wait() -> int:
        await until(lambda: any(cpu_seconds(pid) > before + AT_WORK_SECONDS for pid, before in idle.items()))
        return max(idle, key=lambda pid: cpu_seconds(pid) - idle[pid])

    return wait


def cpu_seconds(pid: int) -> float:
    """Return how long a process has worked."""
    return float(sum(psutil.Process(pid).cpu_times()[:2]))


@pytest.fixture
async def pool() -> AsyncIterator[ExtractionPool]:
    async with ExtractionPool.open(size=1, timeout_seconds=WAIT_SECONDS) as opened:
        yield opened


async def test_a_page_is_extracted_in_another_process(pool: ExtractionPool) -> None:
    found = await pool.extract(DOCUMENTATION.encode(), **HTML)
    assert found.content.startswith("# Streaming replication")
    [pid] = pool.pids
    assert pid != os.getpid()
    assert (await pool.extract(DOCUMENTATION.encode(), **HTML)).title is not None
    assert pool.pids == [pid]


async def test_no_process_runs_before_a_page_is_on_its_way_and_a_second_one_when_two_are_there() -> None:
    async with ExtractionPool.open(size=2, timeout_seconds=WAIT_SECONDS) as pool:
        assert pool.pids == []
        await asyncio.gather(pool.expect(), pool.expect(), pool.extract(b"<p>some text</p>", **HTML))
        [pid] = pool.pids
        for _ in range(3):
            await pool.expect()
            await pool.extract(b"<p>some text</p>", **HTML)
        assert pool.pids == [pid]
        await asyncio.gather(*(pool.extract(b"<p>some text</p>", **HTML, caller=name) for name in "ab"))
        assert len(set(pool.pids) | {pid}) == 2


async def test_an_error_of_a_page_costs_no_process(pool: ExtractionPool) -> None:
    await pool.extract(b"<p>warm</p>", **HTML)
    [pid] = pool.pids
    with pytest.raises(EmptyContentError):
        await pool.extract(b"<html></html>", **HTML)
    with pytest.raises(ExtractionError):
        await pool.extract(b"<div>" * 100_000 + b"text", **HTML)
    await pool.extract(b"<p>some text</p>", **HTML)
    assert pool.pids == [pid]


@pytest.mark.parametrize(
    ("page", "error"),
    [
        (CHALLENGES["blocked"], ChallengePageError),
        (LOGINS["a form alone"], LoginRequiredError),
        (EMPTIES["loading"], EmptyContentError),
        ("%PDF-1.7 ", ExtractionError),
        ("\x7fELF ", UnsupportedContentTypeError),
        ("word " * 2_000_001, PageTooLargeError),
    ],
)
async def test_every_error_of_a_page_comes_through_as_itself(
    extraction: SharedExtraction, page: str, error: type[ServiceError]
) -> None:
    with pytest.raises(error):
        await extraction.extract(page.encode(), **HTML)


async def test_what_extraction_found_comes_through(extraction: SharedExtraction) -> None:
    found = await extraction.extract(MISSING["404"].encode(), **HTML)
    assert set(found.warnings) == {"looks_missing", "little_text"}
    assert (found.media_type, found.kept_share) == ("text/html", 1.0)
    onward = await extraction.extract(b"<p>Moved</p>", **HTML, refresh="0; url=http://other.example/")
    assert onward.refresh == "http://other.example/"


async def test_a_page_that_takes_too_long_is_killed_and_the_next_one_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction_pool, "_KILL_MARGIN_SECONDS", 1_000)  # it is none of its own doing
    async with ExtractionPool.open(size=1, timeout_seconds=WAIT_SECONDS) as pool:
        await pool.extract(b"<p>warm</p>", **HTML)
        [pid] = pool.pids
        pool._timeout = 0.5
        with pytest.raises(ExtractionError, match=r"more than 0\.5 s") as caught:
            await pool.extract(SLOW, **HTML)
        assert (caught.value.code, caught.value.retryable) == ("extraction_failed", False)
        assert not psutil.pid_exists(pid)
        pool._timeout = WAIT_SECONDS
        await pool.extract(b"<p>some text</p>", **HTML)
        assert pool.pids != [pid]


async def test_a_process_kills_itself_even_if_nobody_else_does(
    pool: ExtractionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pool.extract(b"<p>warm</p>", **HTML)
    monkeypatch.setattr(extraction_pool, "_KILL_MARGIN_SECONDS", 0.5 - WAIT_SECONDS)
    with pytest.raises(ExtractionError, match="broke the process"):  # and not: took more than its time
        await pool.extract(SLOW, **HTML)


async def test_a_process_that_dies_costs_one_page_and_no_more(pool: ExtractionPool) -> None:
    await pool.extract(b"<p>warm</p>", **HTML)
    working = at_work(pool)
    reading = asyncio.create_task(pool.extract(SLOW, **HTML))
    os.kill(await working(), signal.SIGSEGV)
    with pytest.raises(ExtractionError):
        await reading
    await pool.extract(b"<p>some text</p>", **HTML)


async def test_a_process_that_died_while_idle_costs_nothing(pool: ExtractionPool) -> None:
    await pool.extract(b"<p>warm</p>", **HTML)
    [pid] = pool.pids
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not psutil.pid_exists(pid))
    await pool.extract(b"<p>some text</p>", **HTML)


async def test_a_page_that_takes_too_much_memory_is_refused() -> None:
    async with ExtractionPool.open(size=1, timeout_seconds=WAIT_SECONDS, memory_bytes=300 * 2**20) as pool:
        with pytest.raises(ExtractionError):
            await pool.extract(SLOW, **HTML)
        await pool.extract(b"<p>some text</p>", **HTML)


async def test_a_caller_who_gives_up_leaves_no_answer_behind(pool: ExtractionPool) -> None:
    await pool.extract(b"<p>warm</p>", **HTML)
    working = at_work(pool)
    reading = asyncio.create_task(pool.extract(SLOW, **HTML))
    await working()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert "another page" in (await pool.extract(b"<p>another page</p>", **HTML)).content


async def test_more_pages_than_processes_wait_for_their_turn(extraction: SharedExtraction) -> None:
    pages = [extraction.extract(f"<p>the words of page {number}</p>".encode(), **HTML) for number in range(8)]
    found = await asyncio.gather(*pages)
    assert [f"page {number}" in extract.content for number, extract in enumerate(found)] == [True] * 8


async def test_a_process_is_replaced_after_so_many_pages(pool: ExtractionPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction_pool, "PAGES_A_PROCESS", 2)
    await pool.extract(b"<p>some text</p>", **HTML)
    [pid] = pool.pids
    await pool.extract(b"<p>some text</p>", **HTML)
    await pool.extract(b"<p>some text</p>", **HTML)
    assert pool.pids != [pid]


async def test_the_processes_know_no_secrets_and_go_when_the_pool_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_API_KEY", "a-secret-that-stays-here")
    async with ExtractionPool.open(size=2, timeout_seconds=WAIT_SECONDS) as pool:
        await pool.extract(b"<p>some text</p>", **HTML)
        pids = pool.pids
        assert "a-secret-that-stays-here" not in str(psutil.Process(pids[0]).environ())
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_a_process_ends_by_itself_when_its_service_is_gone() -> None:
    async with ExtractionPool.open(size=1, timeout_seconds=WAIT_SECONDS) as pool:
        await pool.extract(b"<p>some text</p>", **HTML)
        process = psutil.Process(pool.pids[0])
        pool._workers[0]._process.stdin.close()  # type: ignore[union-attr]
        await until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


async def test_one_callers_slow_pages_do_not_hold_up_anothers() -> None:
    async with ExtractionPool.open(size=2, timeout_seconds=WAIT_SECONDS) as pool:
        await asyncio.gather(*(pool.extract(b"<p>warm</p>", **HTML, caller=name) for name in "ab"))
        working = at_work(pool)
        slow = [asyncio.create_task(pool.extract(SLOW, **HTML, caller="a")) for _ in range(3)]
        os.kill(await working(), signal.SIGSTOP)  # so slow that it is never done
        await pool.extract(b"<p>some text</p>", **HTML, caller="b")
        assert not any(task.done() for task in slow)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
