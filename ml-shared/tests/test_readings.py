"""What is read when somebody scrapes."""

import asyncio
import json
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI, Request
from guarded_app import settings_for
from redis.asyncio import Redis

from ml_shared.http.health import build_health_router
from ml_shared.names import Queue
from ml_shared.queues.queueing import DEPTH, LIMIT, OLDEST, QUEUED_AT_HEADER
from ml_shared.service import shared_lifespan
from ml_shared.storage.postgres import open_pool
from ml_shared.telemetry.readings import Reading, Readings, Values
from ml_shared.testing.servers import PostgresServer, RedisServer


@pytest.fixture
def reading() -> Iterator[Reading]:
    made = Reading("ml_probe_things", "Things.", ("kind",))
    yield made
    del Reading.declared[made.name]


async def test_a_value_is_read_once_for_scrapes_that_follow_each_other(reading: Reading) -> None:
    asked = 0

    async def read() -> Values:
        nonlocal asked
        asked += 1
        return {reading: {("a",): float(asked), ("b",): 0.0}}

    readings = Readings()
    readings.add(read, kept_seconds=60)
    first, second = await asyncio.gather(readings.render(), readings.render())
    assert first == second
    assert b'ml_probe_things{kind="a"} 1.0' in first
    assert b"# HELP ml_probe_things Things.\n# TYPE ml_probe_things gauge" in first
    readings = Readings()
    readings.add(read, kept_seconds=0)
    await readings.render()
    assert b'ml_probe_things{kind="a"} 3.0' in await readings.render()


@pytest.mark.parametrize("failure", ["raises", "hangs"])
async def test_a_store_that_does_not_answer_takes_its_own_series_away_and_no_others(
    reading: Reading, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_shared.telemetry.readings.READ_TIMEOUT_SECONDS", 60)
    well = True
    other = Reading("ml_probe_others", "Others.")

    async def read() -> Values:
        if not well and failure == "raises":
            raise ConnectionError("gone")
        await asyncio.sleep(0 if well else 60)
        return {reading: {("a",): 1.0}}

    async def read_other() -> Values:
        return {other: {(): 2.0}}

    readings = Readings()
    readings.add(read, kept_seconds=0)
    readings.add(read_other, kept_seconds=0)
    assert b"ml_probe_things{" in await readings.render()
    well = False
    if failure == "hangs":
        monkeypatch.setattr("ml_shared.telemetry.readings.READ_TIMEOUT_SECONDS", 0.5)
    text = await readings.render()
    monkeypatch.setattr("ml_shared.telemetry.readings.READ_TIMEOUT_SECONDS", 60)
    assert b"ml_probe_things" not in text
    assert b"ml_probe_others 2.0" in text
    well = True
    assert b"ml_probe_things{" in await readings.render()
    del Reading.declared[other.name]


async def test_a_scrape_tells_the_queues_depth_limit_and_oldest_task_and_not_once_its_redis_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ml_shared.telemetry.readings.READ_TIMEOUT_SECONDS", 60)
    with RedisServer() as server:
        settings = settings_for("http://127.0.0.1:9", REDIS_URL=server.url, MAX_QUEUE_DEPTH=7)
        app = FastAPI(lifespan=shared_lifespan(settings, queue=Queue.SCRAPER))
        app.include_router(build_health_router(settings, {}))
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://x") as http,
        ):
            assert await series(app, http) == {DEPTH.name: 0.0, LIMIT.name: 7.0, OLDEST.name: 0.0}
            async with Redis.from_url(server.url) as redis:
                for queued_at in (100.5, 4e9):  # kombu puts new messages on the left, and takes from the right
                    await redis.lpush(Queue.SCRAPER, message(queued_at))
                await redis.hset("unacked", "tag", "held")
            found = await series(app, http)
            assert (found[DEPTH.name], found[LIMIT.name]) == (3.0, 7.0)
            assert found[OLDEST.name] > 1e9
            server.stop()
            assert await series(app, http) == {}
            assert b"ml_redis_pool_connections_max" in (await http.get("/metrics")).content


async def test_a_postgres_that_hangs_holds_no_scrape_and_no_health_check_until_it_goes_on() -> None:
    with PostgresServer() as server:
        async with open_pool(server.url) as pool:
            await pool.fetchval("SELECT 1")
            app = FastAPI()
            app.state.readings = Readings()

            async def check(_: Request) -> None:
                await pool.fetchval("SELECT 1")

            async def read() -> Values:
                await pool.fetchval("SELECT 1")
                return {}

            app.state.readings.add(read, kept_seconds=0)
            app.include_router(build_health_router(settings_for("http://127.0.0.1:9"), {"postgres": check}))
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x", timeout=None) as http:
                with server.paused():
                    asked = {asyncio.create_task(http.get(path)): path for path in ("/metrics", "/health")}
                    answered, _ = await asyncio.wait(asked, timeout=60)
                    found = {asked[task]: task.result().status_code for task in answered}
                assert found == {"/metrics": 200, "/health": 503}
                async with asyncio.timeout(60):
                    while (await http.get("/health")).status_code != 200:
                        await asyncio.sleep(0.05)


def message(queued_at: float) -> str:
    return json.dumps({"body": "x" * 9_000, "headers": {QUEUED_AT_HEADER: queued_at, "lang": "py"}, "properties": {}})


async def series(app: FastAPI, http: httpx.AsyncClient) -> dict[str, float]:
    for source in app.state.readings._sources:
        source._until = 0.0
    text = (await http.get("/metrics")).text
    ours = [line for line in text.splitlines() if line.startswith("ml_queue_") and 'queue="scraper"' in line]
    return {
        line.split("{")[0]: float(line.split()[-1])
        for line in ours
        if line.split("{")[0] in {DEPTH.name, LIMIT.name, OLDEST.name}
    }
