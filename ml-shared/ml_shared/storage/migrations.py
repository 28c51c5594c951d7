"""Schema by ordered SQL files, each applied once and recorded with its hash.

A folder holds `NNNN_name.sql`. The same folder may be mounted where PostgreSQL's image runs the files of an empty data
directory: each file is idempotent enough to be met again (`IF NOT EXISTS`), and `migrate` records it and takes over.
"""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from ml_shared.errors import ServiceError, UnavailableError
from ml_shared.instrumentation import start_logging

logger = logging.getLogger(__name__)

_FILE_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
CONNECT_SECONDS = 30.0
# it is no request that somebody waits for
_ADVISORY_LOCK = 0x6D6C_6D69  # "mlmi": one migration at a time on a database, whoever starts it
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    integer     PRIMARY KEY,
    name       text        NOT NULL,
    sha256     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class StaleSchemaError(UnavailableError):
    """The database's schema is not the one that this code was written for."""

    code = "stale_schema"


class MigrationError(Exception):
    """The files are at odds, with each other or with what was applied, or PostgreSQL refuses one."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Hash of the text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(folder: Path) -> list[Migration]:
    """Return a folder's migrations in order.

    Raises
    ------
    MigrationError
        If a name is not `NNNN_name.sql`, a number is there twice, or the first one is not 1. Numbers may be left out:
        who writes several at once reserves them.
    """
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.match(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: not of the form 0001_name.sql")
        found.append(Migration(int(match[1]), path.name, path.read_text()))
    if not found:
        raise MigrationError(f"{folder}: no migration there")
    numbers = [migration.version for migration in found]
    if numbers[0] != 1 or len(set(numbers)) != len(numbers):
        raise MigrationError(f"{folder}: the files are not numbered from 0001 on, each number once")
    return found


def _check_applied(migrations: Sequence[Migration], applied: dict[int, str]) -> None:
    for migration in migrations:
        if applied.get(migration.version, migration.sha256) != migration.sha256:
            raise MigrationError(f"{migration.name} was changed after it had been applied; add a new file instead")
    newer = set(applied) - {migration.version for migration in migrations}
    if newer:
        raise MigrationError(f"the database is ahead of this code: it has version {max(newer)}; deploy that code")


async def _applied(connection: Any) -> dict[int, str]:
    if await connection.fetchval("SELECT to_regclass('schema_migrations') IS NULL"):
        return {}
    return {
        row["version"]: row["sha256"] for row in await connection.fetch("SELECT version, sha256 FROM schema_migrations")
    }


async def migrate(dsn: str, folder: Path) -> list[str]:
    """Apply what has not been applied yet, each file in a transaction of its own; return the names applied.

    Raises
    ------
    MigrationError
        If an applied file was changed since, the database is ahead of the folder, or PostgreSQL refuses a file.
    """
    migrations = read_migrations(folder)
    began = time.monotonic()
    connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS)
    done = []
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _ADVISORY_LOCK)
        await connection.execute(_TABLE)
        applied = await _applied(connection)
        _check_applied(migrations, applied)
        for migration in migrations:
            if migration.version in applied:
                continue
            await _apply(connection, migration)
            done.append(migration.name)
        logger.info(
            "migrations_applied",
            extra={
                "database": await connection.fetchval("SELECT current_database()"),
                "schema_version": migrations[-1].version,
                "applied": done,
                "duration_seconds": round(time.monotonic() - began, 3),
            },
        )
    finally:
        await connection.close()
    return done


async def _apply(connection: Any, migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "INSERT INTO schema_migrations (version, name, sha256) VALUES ($1, $2, $3)",
                migration.version,
                migration.name,
                migration.sha256,
            )
    except asyncpg.PostgresError as error:
        raise MigrationError(f"{migration.name}: {_message(error)}") from error


def migration_command(run: Callable[[], Awaitable[object]]) -> int:
    """Run a service's migrations as a program, whose lines say what came of it; return the exit status.

    What waits for the migrations never starts when they fail: these lines are then all that says why.
    """
    start_logging()
    began = time.monotonic()
    try:
        asyncio.run(_awaited(run))
    except (MigrationError, ServiceError, asyncpg.PostgresError, OSError) as error:
        logger.error(
            "migrations_failed",
            extra={
                "error_kind": type(error.__cause__ or error).__name__,
                "error": _message(error),
                "duration_seconds": round(time.monotonic() - began, 3),
            },
        )
        return 1
    return 0


async def _awaited(run: Callable[[], Awaitable[object]]) -> None:
    await run()


def _message(error: Exception) -> str:
    """Return what an error says of itself; PostgreSQL's details are left out, since they quote rows."""
    return str(error.args[0]) if isinstance(error, asyncpg.PostgresError) and error.args else str(error)


async def check_schema(pool: asyncpg.Pool, folder: Path) -> None:
    """Raise unless every migration of the folder has been applied; log which schema a process starts on.

    Raises
    ------
    StaleSchemaError
        If one is missing; the text names the command that mends it.
    """
    migrations = read_migrations(folder)
    async with pool.acquire() as connection:
        applied = await _applied(connection)
        database = await connection.fetchval("SELECT current_database()")
    _check_applied(migrations, applied)
    missing = [migration.name for migration in migrations if migration.version not in applied]
    if missing:
        raise StaleSchemaError(f"the database lacks {', '.join(missing)}; run: python -m app.migrate")
    logger.info("schema_checked", extra={"database": database, "schema_version": migrations[-1].version})
