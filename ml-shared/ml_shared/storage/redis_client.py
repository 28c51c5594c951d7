"""Redis for our own use, in a request path: bounded in connections, in waiting and in retries."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from ml_shared.instrumentation import instrument_redis
from ml_shared.storage.pools import counted_redis

MAX_CONNECTIONS: Final = 32
# a process; the library's own pool holds 100 and raises beyond instead of waiting
RETRIES: Final = 1
RETRY_DELAY_SECONDS: Final = 0.05
# one more try mends a connection that the server closed while it idled; the library's default takes 3.8 s to give up


@asynccontextmanager
async def open_redis(url: str, *, timeout_seconds: float = 2.0) -> AsyncIterator["Redis"]:
    """Open a client whose commands fail within a few times `timeout_seconds` when Redis does not answer.

    Nothing is connected yet: a service starts without its Redis, and its health check says so. Answers are bytes.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=timeout_seconds,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        socket_keepalive=True,
        health_check_interval=30,
        decode_responses=False,
        retry=Retry(ConstantBackoff(RETRY_DELAY_SECONDS), RETRIES, supported_errors=(RedisConnectionError,)),
    )
    client = Redis(connection_pool=pool)
    instrument_redis(client)
    try:
        with counted_redis(pool):
            yield client
    finally:
        await client.aclose()
        await pool.disconnect()


@asynccontextmanager
async def open_sibling(redis: Redis, *, max_connections: int) -> AsyncIterator[Redis]:
    """Open a lean client of the same server, for whoever bounds every wait and its number of connections by itself.

    It has connections of its own, so that nobody else's commands keep it waiting. It has no timeout of its own (which
    costs a task a command), asks no idle connection whether it is still there (the one more try mends that), and
    leaves no spans.
    """
    settings = {**redis.connection_pool.connection_kwargs, "socket_timeout": None, "health_check_interval": 0}
    pool = ConnectionPool(redis.connection_pool.connection_class, max_connections=max_connections, **settings)
    client = Redis(connection_pool=pool)
    try:
        yield client
    finally:
        await client.aclose()
        await pool.disconnect()
