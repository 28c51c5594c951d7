"""`python -m app.migrate`: bring both databases to this code's schema, and say what was done."""

import sys

import asyncpg

from app.config import settings
from app.core.database import CONTENT_MIGRATIONS, MIGRATIONS
from ml_shared.storage.migrations import migrate, migration_command


async def create_database(database_url: str, name: str) -> None:
    """Create the content database beside the jobs' one; that it is there already is as good."""
    connection = await asyncpg.connect(database_url, timeout=5.0)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            quoted = await connection.fetchval("SELECT quote_ident($1)", name)
            await connection.execute(f"CREATE DATABASE {quoted}")
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
        pass  # another migration was faster: it had made it already, or was at it
    finally:
        await connection.close()


async def _run() -> None:
    content_name = settings.CONTENT_STORE_URL.partition("?")[0].rpartition("/")[2]
    await create_database(settings.DATABASE_URL, content_name)
    for url, folder in ((settings.DATABASE_URL, MIGRATIONS), (settings.CONTENT_STORE_URL, CONTENT_MIGRATIONS)):
        await migrate(url, folder)


if __name__ == "__main__":
    sys.exit(migration_command(_run))
