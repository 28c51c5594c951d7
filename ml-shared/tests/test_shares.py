"""Places that callers share: how many one gets, who is next, and what becomes of those who wait."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from ml_shared.auth.context import CallerContext
from ml_shared.auth.request import RequestState, bound_request
from ml_shared.shares import Places, PlacesTakenError, ShareTakenError


@contextlib.contextmanager
def calling(name: str, *, internal: bool = False) -> Iterator[None]:
    ctx = CallerContext(caller_id=name, caller_type="user", owner=f"key:{name}", is_internal=internal)
    with bound_request(RequestState("request-0001", ctx=ctx)):
        yield


class Holders:
    """Requests that hold a place until they are told to let go."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.order: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._let_go: dict[str, asyncio.Event] = {}

    async def start(self, *names: str, caller: str | None, internal: bool = False) -> None:
        for name in names:
            self._let_go[name] = asyncio.Event()
            with calling(caller, internal=internal) if caller else contextlib.nullcontext():
                self.tasks[name] = asyncio.create_task(self._hold(name))
            await asyncio.sleep(0)
        await self.settle()

    async def end(self, name: str) -> None:
        self._let_go[name].set()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(6):
            await asyncio.sleep(0)

    async def _hold(self, name: str) -> None:
        async with self.places.taken():
            self.order.append(name)
            await self._let_go[name].wait()


@pytest.fixture
async def holders() -> AsyncIterator[Holders]:
    holders = Holders(Places("places", 4, share=2, reserve=1, waiting=2))
    yield holders
    for task in holders.tasks.values():
        task.cancel()
    await asyncio.gather(*holders.tasks.values(), return_exceptions=True)
    assert holders.places.held == 0


async def test_a_caller_has_its_share_and_the_next_place_goes_to_who_has_fewest(holders: Holders) -> None:
    await holders.start("a1", "a2", "a3", "a4", caller="a")
    assert holders.order == ["a1", "a2"]
    await holders.start("b1", "b2", caller="b")
    assert holders.order == ["a1", "a2", "b1"], "three of four are for callers"
    await holders.start("c1", caller="c")
    await holders.end("a1")
    assert holders.order[3:] == ["c1"], "it has none"
    await holders.end("a2")
    assert holders.order[4:] == ["a3"], "it began to wait first, and has none now"
    await holders.end("c1")
    assert holders.order[5:] in (["b2"], ["a4"])


async def test_who_has_its_share_and_as_many_waiting_is_refused(holders: Holders) -> None:
    await holders.start("a1", "a2", "a3", "a4", "a5", caller="a")
    with pytest.raises(ShareTakenError) as refused:
        await holders.tasks["a5"]
    assert (refused.value.status, refused.value.retry_after_seconds) == (429, 2.0)
    await holders.start("b1", caller="b")
    assert holders.order == ["a1", "a2", "b1"]


@pytest.mark.parametrize("caller", [None, "orchestrator"])
async def test_what_no_caller_asked_for_finds_a_place_and_comes_first(holders: Holders, caller: str | None) -> None:
    await holders.start("a1", "a2", caller="a")
    await holders.start("b1", "b2", caller="b")
    await holders.start("o1", "o2", "o3", "o4", caller=caller, internal=True)
    assert holders.order == ["a1", "a2", "b1", "o1"]
    await holders.end("a1")
    await holders.end("a2")
    assert holders.order[4:] == ["o2", "o3"]


async def test_a_place_that_does_not_come_free_is_not_waited_for_without_end() -> None:
    holders = Holders(Places("places", 1, share=1, wait_seconds=0.05))
    await holders.start("a1", caller="a")
    await holders.start("b1", caller="b")
    with pytest.raises(PlacesTakenError) as refused:
        await holders.tasks["b1"]
    assert (refused.value.status, refused.value.code) == (503, "busy")
    await holders.end("a1")
    await holders.start("c1", caller="c")
    assert holders.order == ["a1", "c1"]
    await holders.end("c1")


async def test_who_leaves_while_waiting_or_just_as_its_place_comes_takes_none_along(holders: Holders) -> None:
    await holders.start("a1", "a2", "a3", "a4", caller="a")
    holders.tasks["a3"].cancel()
    await holders.settle()
    holders._let_go["a1"].set()
    await asyncio.wait({holders.tasks["a1"]})
    holders.tasks["a4"].cancel()  # its place was given to it, and it has not run since
    await holders.settle()
    assert holders.places.held <= 2
    await holders.start("a5", caller="a")
    assert holders.order[-1] == "a5"
