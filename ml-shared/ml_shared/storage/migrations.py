"""Schema by ordered SQL files, each applied once and recorded with its hash.

A folder holds `NNNN_name.sql`. The same folder may be mounted where PostgreSQL's image runs the files of an empty data
directory: each file is idempotent enough to be met again (`IF NOT EXISTS`), and `migrate` records it and takes over.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from ml_shared.errors import UnavailableError

_FILE_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
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
    """The files themselves are at odds, with each other or with what was applied."""


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
        If a name is not `NNNN_name.sql`, or the numbers are not 1, 2, 3, ….
    """
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.match(path.name)
        if match is None:
            raise MigrationError(f"{path.name}: not of the form 0001_name.sql")
        found.append(Migration(int(match[1]), path.name, path.read_text()))
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"{folder}: the files are not numbered 0001, 0002, … without a gap")
    if not found:
        raise MigrationError(f"{folder}: no migration there")
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
        If an applied file was changed since, or the database is ahead of the folder.
    """
    migrations = read_migrations(folder)
    connection = await asyncpg.connect(dsn, timeout=5.0)
    done = []
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _ADVISORY_LOCK)
        await connection.execute(_TABLE)
        applied = await _applied(connection)
        _check_applied(migrations, applied)
        for migration in migrations:
            if migration.version in applied:
                continue
            async with connection.transaction():
                await connection.execute(migration.sql)
                await connection.execute(
                    "INSERT INTO schema_migrations (version, name, sha256) VALUES ($1, $2, $3)",
                    migration.version,
                    migration.name,
                    migration.sha256,
                )
            done.append(migration.name)
    finally:
        await connection.close()
    return done


async def check_schema(pool: asyncpg.Pool, folder: Path) -> None:
    """Raise unless every migration of the folder has been applied.

    Raises
    ------
    StaleSchemaError
        If one is missing; the text names the command that mends it.
    """
    migrations = read_migrations(folder)
    async with pool.acquire() as connection:
        applied = await _applied(connection)
    _check_applied(migrations, applied)
    missing = [migration.name for migration in migrations if migration.version not in applied]
    if missing:
        raise StaleSchemaError(f"the database lacks {', '.join(missing)}; run: python -m app.migrate")
