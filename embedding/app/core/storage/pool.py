"""Connections to the vector database, and what goes wrong with them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from pgvector.asyncpg import register_vector

from ml_shared.storage import postgres
from ml_shared.storage.migrations import check_schema
from ml_shared.storage.postgres import open_pool

MIGRATIONS = Path(__file__).parents[3] / "migrations"

CONNECT_SECONDS = 5.0


def store_errors() -> AbstractContextManager[None]:
    """Turn what another try may mend (no connection, a restart, a deadlock) into `StoreUnavailableError`."""
    return postgres.store_errors("the vector database")


async def _register_codecs(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
    )
    if await connection.fetchval("SELECT to_regtype('halfvec') IS NOT NULL"):
        await register_vector(connection)


@asynccontextmanager
async def open_store(dsn: str, *, max_size: int, command_timeout_seconds: float) -> AsyncIterator[asyncpg.Pool]:
    """Open a pool whose connections know vectors, to a database whose schema is this code's.

    Raises
    ------
    StoreUnavailableError
        If the server does not answer.
    StaleSchemaError
        If a migration is missing.
    """
    with store_errors():
        opening = open_pool(
            dsn, max_size=max_size, init=_register_codecs, command_timeout_seconds=command_timeout_seconds
        )
        pool = await opening.__aenter__()
    try:
        await check_schema(pool, MIGRATIONS)
        yield pool
    finally:
        await opening.__aexit__(None, None, None)


@asynccontextmanager
async def alone(dsn: str, lock: int, settings: Mapping[str, str]) -> AsyncIterator[Any]:
    """Yield a connection that holds a lock which one process has at a time, or `None` while another has it.

    It is no pool's: the lock is the session's, so that it ends with whoever holds it, however that ends; and an index that is
    built concurrently is no part of a transaction.

    Parameters
    ----------
    settings
        Of the session. No limit on a statement's time is among them: building an index of vectors may take hours.
    """
    with store_errors():
        connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, server_settings=dict(settings))
        try:
            held = await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock)
            yield connection if held else None
        finally:
            await connection.close(timeout=CONNECT_SECONDS)
