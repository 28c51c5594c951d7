"""How many connections the processes of a service have, and how many they may have.

Each process counts its own: an API every few seconds, a worker's child after each task. Prometheus gets the sum.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from prometheus_client import Gauge
from redis.asyncio import ConnectionPool

from ml_shared.telemetry.metrics import multiprocess_folder

SAMPLE_SECONDS: Final = 5.0
IN_USE: Final = "in_use"
IDLE: Final = "idle"

multiprocess_folder()  # made before the first gauge wants a file in it
_REDIS: Final = Gauge(
    "ml_redis_pool_connections",
    "Connections to Redis that are open, by whether something uses them.",
    ["state"],
    multiprocess_mode="livesum",
)
_REDIS_MAX: Final = Gauge(
    "ml_redis_pool_connections_max", "Connections to Redis that there may be.", multiprocess_mode="livesum"
)
_POSTGRES: Final = Gauge(
    "ml_postgres_pool_connections",
    "Connections to PostgreSQL that are open, by database and by whether something uses them.",
    ["database", "state"],
    multiprocess_mode="livesum",
)
_POSTGRES_MAX: Final = Gauge(
    "ml_postgres_pool_connections_max",
    "Connections to PostgreSQL that there may be, by database.",
    ["database"],
    multiprocess_mode="livesum",
)

_redis: list[ConnectionPool] = []
_postgres: list[tuple[str, Any]] = []


@contextmanager
def counted_redis(pool: ConnectionPool) -> Iterator[None]:
    """Count a pool of Redis connections as long as it is open."""
    _redis.append(pool)
    try:
        yield
    finally:
        _redis.remove(pool)
        sample_pools()


def database_of(dsn: str) -> str:
    """Return the name of a DSN's database."""
    return urlsplit(dsn).path.lstrip("/") or "default"


@contextmanager
def counted_postgres(dsn: str, pool: Any) -> Iterator[None]:
    """Count a pool of asyncpg as long as it is open, under its database's name."""
    entry = (database_of(dsn), pool)
    _postgres.append(entry)
    try:
        yield
    finally:
        _postgres.remove(entry)
        _set_postgres(entry[0])


def sample_pools() -> None:
    """Set the gauges to what this process' pools have now."""
    counts = [_redis_counts(pool) for pool in _redis]
    _REDIS.labels(IN_USE).set(sum(in_use for in_use, _ in counts))
    _REDIS.labels(IDLE).set(sum(idle for _, idle in counts))
    _REDIS_MAX.set(sum(pool.max_connections for pool in _redis))
    for database in {database for database, _ in _postgres}:
        _set_postgres(database)


def _redis_counts(pool: ConnectionPool) -> tuple[int, int]:
    in_use = idle = 0
    for count, attributes in pool.get_connection_count():
        if attributes["db.client.connection.state"] == "idle":
            idle += count
        else:
            in_use += count
    return in_use, idle


def _set_postgres(database: str) -> None:
    pools = [pool for name, pool in _postgres if name == database]
    _POSTGRES.labels(database, IN_USE).set(sum(pool.get_size() - pool.get_idle_size() for pool in pools))
    _POSTGRES.labels(database, IDLE).set(sum(pool.get_idle_size() for pool in pools))
    _POSTGRES_MAX.labels(database).set(sum(pool.get_max_size() for pool in pools))


async def sample_pools_regularly() -> None:
    """Sample until cancelled."""
    while True:
        sample_pools()
        await asyncio.sleep(SAMPLE_SECONDS)
