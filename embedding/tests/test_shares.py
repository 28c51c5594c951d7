"""One caller takes all that it can get; another's single request goes as if it were alone."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx

from ml_shared.auth.context import CallerContext, hash_key
from ml_shared.auth.request import RequestState, bound_request
from ml_shared.storage.postgres import SharedPool
from ml_shared.testing.endpoint import EndpointMode, FakeEndpoint
from tests.conftest import BOB

TRIES = 5
SLACK_SECONDS = 0.1
SHARED_MACHINE = 2.0
# CI has two cores, and runs these beside other tests


async def median_seconds(request: Callable[[], Awaitable[httpx.Response]]) -> float:
    spent = []
    for _ in range(TRIES):
        began = time.perf_counter()
        answer = await request()
        spent.append(time.perf_counter() - began)
        assert answer.status_code == 200, answer.text
    return statistics.median(spent)


def assert_unmoved(idle: float, busy: float) -> None:
    """Within twice the idle time, or 100 ms of it; what a loaded machine adds is allowed for."""
    assert busy < max(2 * idle, idle + SLACK_SECONDS) * SHARED_MACHINE, f"{idle:.3f} s became {busy:.3f} s"


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
        async with asyncio.timeout(8):  # before those that wait are refused
            while got[0] < held:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert got[0] == held, "no more come"
        yield
    finally:
        released.set()
        await asyncio.gather(*tasks)


async def test_one_callers_searches_do_not_hold_every_connection(client: httpx.AsyncClient) -> None:
    from app.main import app

    async def theirs() -> httpx.Response:
        return await client.get("/corpora", headers=BOB)

    idle = await median_seconds(theirs)
    async with holding(app.state.embedding.pool, 30, held=3):
        assert_unmoved(idle, await median_seconds(theirs))
        assert (await client.get("/health")).status_code == 200
        own = asyncio.create_task(client.get("/corpora"))
        await asyncio.sleep(0.05)
        assert not own.done()
    assert (await own).status_code == 200


async def test_one_callers_texts_do_not_fill_the_endpoint(client: httpx.AsyncClient, endpoint: FakeEndpoint) -> None:
    endpoint.behave(EndpointMode.SLOW)
    endpoint.delay_seconds = 0.2

    async def theirs() -> httpx.Response:
        return await client.post("/embed", json={"texts": ["one"]}, headers=BOB)

    idle = await median_seconds(theirs)
    endpoint.most_in_flight = 0
    flood = [asyncio.create_task(client.post("/embed", json={"texts": ["word"] * 512})) for _ in range(25)]
    while not endpoint.most_in_flight:
        await asyncio.sleep(0.01)
    busy = await median_seconds(theirs)
    assert not all(task.done() for task in flood)
    assert_unmoved(idle, busy)
    assert endpoint.most_in_flight <= 9, "a quarter of the calls, and another's"
    assert {answer.status_code for answer in await asyncio.gather(*flood)} == {200}
