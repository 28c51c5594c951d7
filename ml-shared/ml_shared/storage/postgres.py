"""Pools of PostgreSQL connections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from ml_shared.storage.pools import counted_postgres

COMMAND_TIMEOUT_SECONDS = 30.0
# longer than any statement of ours, short enough that a stuck server does not hold a request for ever
CONNECT_TIMEOUT_SECONDS = 5.0
CLOSE_TIMEOUT_SECONDS = 5.0


@asynccontextmanager
async def open_pool(
    dsn: str,
    *,
    min_size: int = 1,
    max_size: int = 10,
    init: Callable[[Any], Awaitable[None]] | None = None,
    command_timeout_seconds: float = COMMAND_TIMEOUT_SECONDS,
) -> AsyncIterator[asyncpg.Pool]:
    """Open a pool on the running loop (a pool of one loop fails on another) and close it at the end.

    Parameters
    ----------
    dsn
        As `ml_shared.settings.postgres_dsn` gives it.
    init
        Called with each new connection, to register codecs.

    Raises
    ------
    OSError, asyncpg.PostgresError
        If the server cannot be reached or refuses.
    """
    pool = await asyncpg.create_pool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        init=init,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=command_timeout_seconds,
        max_inactive_connection_lifetime=300.0,
    )
    try:
        with counted_postgres(dsn, pool):
            yield pool
    finally:
        try:
            await _close(pool)
        except TimeoutError:
            pool.terminate()


async def _close(pool: asyncpg.Pool) -> None:
    async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
        await pool.close()
