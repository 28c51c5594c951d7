"""One caller takes all that it can get, and keeps it; another's single request goes as if it were alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from ml_shared.auth.context import CallerContext, hash_key
from ml_shared.auth.request import RequestState, bound_request
from ml_shared.storage.postgres import SharedPool
from ml_shared.testing.endpoint import FakeEndpoint
from tests.conftest import BOB
from tests.holding import holding_answers

HANG_SECONDS = 60.0
# what is held here is held until the test says so: who is answered meanwhile has not waited for it, however slow the machine is
TRIES = 5
FLOOD = 25


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(HANG_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def holding(pool: SharedPool, requests: int, held: int) -> AsyncIterator[None]:
    """Let so many of Alice's requests ask for a connection each, and keep it; so many of them get one."""
    released, got = asyncio.Event(), [0]

    async def hold() -> None:
        async with pool.acquire():
            got[0] += 1
            await released.wait()

    alice = CallerContext(caller_id="a", caller_type="user", owner=f"key:{hash_key('key-of-alice')}")
    with bound_request(RequestState("request-0001", ctx=alice)):
        tasks = [asyncio.create_task(hold()) for _ in range(requests)]
    try:
        await until(lambda: got[0] >= held)
        await asyncio.sleep(0.05)
        assert got[0] == held, "no more come"
        yield
    finally:
        released.set()
        await asyncio.gather(*tasks)


async def test_one_callers_searches_do_not_hold_every_connection(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.main import app

    pool = app.state.embedding.pool
    monkeypatch.setattr(pool._places, "_wait_seconds", 10 * HANG_SECONDS)  # nobody is refused while the test goes on
    async with holding(pool, 30, held=3), asyncio.timeout(HANG_SECONDS):
        for _ in range(TRIES):
            assert (await client.get("/corpora", headers=BOB)).status_code == 200
        assert (await client.get("/health")).status_code == 200
        own = asyncio.create_task(client.get("/corpora"))
        await asyncio.sleep(0.05)
        assert not own.done()
    assert (await own).status_code == 200


async def test_one_callers_texts_do_not_fill_the_endpoint(client: httpx.AsyncClient, endpoint: FakeEndpoint) -> None:
    with holding_answers(endpoint) as held:
        flood = [asyncio.create_task(client.post("/embed", json={"texts": ["word"] * 32})) for _ in range(FLOOD)]
        await until(lambda: endpoint.in_flight >= 8)
        await asyncio.sleep(0.05)
        assert endpoint.in_flight == 8, "a quarter of the calls, and no more come"
        theirs = asyncio.create_task(client.post("/embed", json={"texts": ["one"]}, headers=BOB))
        await until(lambda: endpoint.in_flight > 8)
        assert not any(task.done() for task in flood)
        held.release()
        assert (await theirs).status_code == 200
        assert {answer.status_code for answer in await asyncio.gather(*flood)} == {200}
    assert endpoint.most_in_flight == 9, "a quarter of the calls, and another's"
