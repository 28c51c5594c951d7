"""`python -m app.migrate`: brings the database to this code's schema, and records the configured models."""

import sys

import asyncpg

from app.config import settings
from app.core.storage.models import prepare_model
from app.core.storage.pool import MIGRATIONS
from ml_shared.storage.migrations import migrate, migration_command


async def _run() -> None:
    await migrate(settings.DATABASE_URL, MIGRATIONS)
    connection = await asyncpg.connect(settings.DATABASE_URL, timeout=5.0)
    try:
        for one in filter(None, (settings, settings.of_next_model())):
            await prepare_model(connection, one.EMBEDDING_MODEL, one.EMBEDDING_DIMENSIONS)
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(migration_command(_run))
