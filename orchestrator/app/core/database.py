"""Connections to the orchestrator's two databases."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import orjson

from ml_shared.storage.migrations import check_schema
from ml_shared.storage.postgres import open_pool

MIGRATIONS: Final = Path(__file__).parents[2] / "migrations"
CONTENT_MIGRATIONS: Final = MIGRATIONS / "content"


async def _json_columns(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(), decoder=orjson.loads
    )


@asynccontextmanager
async def open_databases(
    database_url: str, content_store_url: str, *, max_size: int = 10
) -> AsyncIterator[tuple[asyncpg.Pool, asyncpg.Pool]]:
    """Open the pools of jobs and of content; refuse a schema that is not this code's.

    Raises
    ------
    ml_shared.storage.migrations.StaleSchemaError
        If a migration is missing.
    """
    async with (
        open_jobs(database_url, max_size=max_size) as jobs,
        open_pool(content_store_url, max_size=max_size) as content,
    ):
        await check_schema(content, CONTENT_MIGRATIONS)
        yield jobs, content


@asynccontextmanager
async def open_jobs(database_url: str, *, max_size: int = 10) -> AsyncIterator[asyncpg.Pool]:
    """Open a pool of the jobs' database alone; refuse a schema that is not this code's.

    Raises
    ------
    ml_shared.storage.migrations.StaleSchemaError
        If a migration is missing.
    """
    async with open_pool(database_url, init=_json_columns, max_size=max_size) as jobs:
        await check_schema(jobs, MIGRATIONS)
        yield jobs
