"""How many connections this process has, counted."""

import asyncio

from prometheus_client import REGISTRY

from ml_shared.storage.pools import sample_pools
from ml_shared.storage.postgres import open_pool
from ml_shared.storage.redis_client import MAX_CONNECTIONS, open_redis


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_redis_connections_are_counted_by_use_until_their_pool_closes(redis_url: str) -> None:
    before = value("ml_redis_pool_connections_max") or 0.0
    async with open_redis(redis_url, timeout_seconds=300) as redis:
        waiting = asyncio.create_task(redis.blpop(["never"], timeout=300))
        await redis.ping()
        async with asyncio.timeout(60):
            while True:
                sample_pools()
                if (
                    value("ml_redis_pool_connections", state="in_use"),
                    value("ml_redis_pool_connections", state="idle"),
                ) == (1, 1):
                    break
                await asyncio.sleep(0.01)
        assert value("ml_redis_pool_connections_max") == before + MAX_CONNECTIONS
        waiting.cancel()
    assert value("ml_redis_pool_connections_max") == before
    assert value("ml_redis_pool_connections", state="in_use") == 0


async def test_postgres_connections_are_counted_by_database_and_use(postgres_database: str) -> None:
    database = postgres_database.rsplit("/", 1)[1]
    async with open_pool(postgres_database, min_size=2, max_size=5) as pool:
        async with pool.acquire():
            sample_pools()
            assert value("ml_postgres_pool_connections", database=database, state="in_use") == 1
            assert value("ml_postgres_pool_connections", database=database, state="idle") == 1
            assert value("ml_postgres_pool_connections_max", database=database) == 5
    assert value("ml_postgres_pool_connections_max", database=database) == 0
