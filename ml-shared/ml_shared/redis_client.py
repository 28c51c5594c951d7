"""Redis for our own use, in a request path: bounded in connections, in waiting and in retries."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from ml_shared.instrumentation import instrument_redis

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
        yield client
    finally:
        await client.aclose()
        await pool.disconnect()
