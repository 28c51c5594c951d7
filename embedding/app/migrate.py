"""`python -m app.migrate`: brings the database to this code's schema, and prepares the configured model's index."""

import asyncio
import sys

import asyncpg

from app.config import settings
from app.core.storage.models import prepare_model
from app.core.storage.pool import MIGRATIONS
from ml_shared.errors import ServiceError
from ml_shared.storage.migrations import MigrationError, migrate


async def run() -> list[str]:
    """Apply what is missing; return the names of the files applied."""
    applied = await migrate(settings.DATABASE_URL, MIGRATIONS)
    connection = await asyncpg.connect(settings.DATABASE_URL, timeout=5.0)
    try:
        await prepare_model(connection, settings.EMBEDDING_MODEL, settings.EMBEDDING_DIMENSIONS)
    finally:
        await connection.close()
    return applied


def main() -> int:
    """Run it as a command; the exit status says whether the schema is ready."""
    try:
        applied = asyncio.run(run())
    except (MigrationError, ServiceError, OSError, asyncpg.PostgresError) as error:
        print(f"migration failed: {error}", file=sys.stderr)
        return 1
    print("\n".join(["schema ready", *applied]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
