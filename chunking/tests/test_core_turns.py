"""Whose text is cut next, while there are fewer threads that compute than texts."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from conftest import WAIT_SECONDS, Grants

from app.core.cancellation import AbandonedError, Cancellation
from app.core.logic import chunk_text
from app.core.pool import WorkPool
from app.core.turns import AGEING_CHARACTERS_PER_SECOND, Turns, Work
from ml_shared.contracts.chunking import ChunkRequest
from ml_shared.testing.pace import slowness

WORKERS = 2
TRIES = 20


class Endless:
    """Texts that are never done; they look up as often as real ones do."""

    def __init__(self) -> None:
        self.steps: dict[str, int] = {}

    def of(self, name: str) -> Callable[[Cancellation], None]:
        self.steps[name] = 0

        def work(cancellation: Cancellation) -> None:
            while True:
                cancellation.check()
                time.sleep(0.001)
                self.steps[name] += 1

        return work

    async def all_move(self) -> None:
        """Wait until each of them has gone on from here."""
        before = dict(self.steps)
        async with asyncio.timeout(WAIT_SECONDS):
            while not all(self.steps[name] > steps for name, steps in before.items()):
                await asyncio.sleep(0.01)


@pytest.fixture
async def pool() -> AsyncIterator[WorkPool]:
    pool = WorkPool(workers=WORKERS, waiting=30, waiting_characters=40_000_000)
    yield pool
    pool.close()


@pytest.fixture
async def endless(pool: WorkPool) -> AsyncIterator[Callable[..., Endless]]:
    tasks = []
    works = Endless()

    def start(*names: str, caller: str, internal: bool = False) -> Endless:
        for name in names:
            running = pool.run(works.of(name), 1_000_000, caller=caller, internal=internal)
            tasks.append(asyncio.create_task(running))
        return works

    yield start
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("internal", [False, True])
async def test_a_text_is_cut_while_another_callers_endless_ones_have_every_thread(
    pool: WorkPool, endless: Callable[..., Endless], grants: Grants, internal: bool
) -> None:
    works = endless(*"abcd", caller="a")
    while sum(works.steps.values()) < 10:
        await asyncio.sleep(0.01)
    characters = 5_000_000
    for _ in range(TRIES):
        cutting = pool.run(lambda _: "done", characters, caller="b", internal=internal)
        assert await asyncio.wait_for(cutting, WAIT_SECONDS) == "done"
    # turns are of milliseconds each; without them it would wait for ever
    waited = [turns for length, turns in grants.waited if length == characters]
    assert len(waited) == TRIES
    assert max(waited) <= WORKERS


async def test_every_callers_text_goes_on_and_the_orchestrators_too(endless: Callable[..., Endless]) -> None:
    for caller in "abc":
        works = endless(caller, caller=caller)
    works = endless("o", caller="o", internal=True)
    for _ in range(5):
        await works.all_move()


async def test_the_orchestrator_does_not_keep_callers_out_either(
    pool: WorkPool, endless: Callable[..., Endless]
) -> None:
    works = endless(*"opqr", caller="o", internal=True)
    while sum(works.steps.values()) < 10:
        await asyncio.sleep(0.01)
    assert await asyncio.wait_for(pool.run(lambda _: "done", 1, caller="b"), WAIT_SECONDS) == "done"


async def test_a_caller_with_one_text_has_as_much_as_one_with_many(endless: Callable[..., Endless]) -> None:
    works = endless(*"abcdef", caller="a")
    works = endless("victim", caller="b")
    while works.steps["victim"] < 200:
        await asyncio.sleep(0.01)
    others = sum(steps for name, steps in works.steps.items() if name != "victim")
    assert works.steps["victim"] > others / 3


async def test_a_text_that_waits_for_its_turn_is_abandoned_at_once(
    pool: WorkPool, endless: Callable[..., Endless]
) -> None:
    works = endless(*"abc", caller="a")
    while sum(works.steps.values()) < 10:
        await asyncio.sleep(0.01)
    began, stopped = threading.Event(), threading.Event()

    def waiting(cancellation: Cancellation) -> None:
        began.set()
        try:
            while True:
                cancellation.check()
        except AbandonedError:
            stopped.set()
            raise

    task = asyncio.create_task(pool.run(waiting, 1, caller="b"))
    assert await asyncio.to_thread(began.wait, WAIT_SECONDS)  # what is given up before that never runs
    task.cancel()
    assert await asyncio.to_thread(stopped.wait, WAIT_SECONDS)


async def test_one_callers_shorter_texts_come_first() -> None:
    pool = WorkPool(workers=1, waiting=30, waiting_characters=40_000_000)
    release, held, order = threading.Event(), threading.Event(), []

    def hold(_: Cancellation) -> None:
        held.set()
        release.wait(WAIT_SECONDS)

    holding = asyncio.create_task(pool.run(hold, 1, caller="a"))
    assert await asyncio.to_thread(held.wait, WAIT_SECONDS)
    sizes = (3_000_000, 20, 1_000_000)
    waiting = [
        asyncio.create_task(pool.run(lambda _, size=size: order.append(size), size, caller="b")) for size in sizes
    ]
    while len(pool._turns._waiting) < len(sizes):
        await asyncio.sleep(0.01)
    release.set()
    await asyncio.gather(holding, *waiting)
    assert order == sorted(sizes)
    pool.close()


def test_a_long_text_that_has_waited_comes_before_a_short_one() -> None:
    turns = Turns(1)
    now = time.monotonic()
    long = Work(turns, "a", False, 5_000_000, arrived=now - 5_000_000 / AGEING_CHARACTERS_PER_SECOND - 1)
    fresh, short = Work(turns, "a", False, 5_000_000, arrived=now), Work(turns, "a", False, 20, arrived=now)
    assert sorted([fresh, short, long], key=turns._rank) == [long, short, fresh]


def test_a_text_alone_may_use_every_core_and_one_among_others_its_own() -> None:
    turns = Turns(2)
    first, second = Work(turns, "a", False, 1), Work(turns, "b", False, 1)
    turns.take(first)
    assert first.cores == 2
    turns.take(second)
    assert first.cores == second.cores == 1
    turns.leave(second)
    assert first.cores == 2


class Timed(Cancellation):
    """Keeps the longest time between two looks up: processor time, to which other work on the machine adds nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.longest, self._last = 0.0, time.process_time()

    def check(self) -> None:
        now = time.process_time()
        self.longest, self._last = max(self.longest, now - self._last), now
        super().check()


@pytest.mark.parametrize(
    "text",
    [
        "Some words of prose. " * 17_000,
        "# h\n" * 83_000,
        "a\n\n" * 110_000,
        "漢字" * 50_000,
        "|a|\n|-|\n|1|\n\n" * 23_000,
    ],
    ids=["prose", "headings", "paragraphs", "one word", "tables"],
)
@pytest.mark.parametrize("form", ["markdown", "text"])
def test_a_text_of_any_kind_looks_up_often_enough_to_stop_and_to_make_way(tokenizer: Any, text: str, form: str) -> None:
    """A hundred milliseconds are meant, for a text of any length; steps that never look up take these twice as long."""

    def longest() -> float:
        looks = Timed()
        chunk_text(ChunkRequest(text=text, format=form, max_tokens=16, overlap_tokens=8), tokenizer, looks)
        looks.check()
        return looks.longest

    most = 0.2 * slowness()
    assert longest() < most or longest() < 0.2 * slowness()  # once more, should something else have been in its way
