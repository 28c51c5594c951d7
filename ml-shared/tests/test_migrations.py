"""Migrations: applied once, in order, never rewritten; a service does not start on a stale schema."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from ml_shared.storage.migrations import MigrationError, StaleSchemaError, check_schema, migrate, read_migrations
from ml_shared.storage.postgres import open_pool


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE IF NOT EXISTS a (n int);")
    (tmp_path / "0002_second.sql").write_text("ALTER TABLE a ADD COLUMN IF NOT EXISTS m int;")
    return tmp_path


async def test_each_file_is_applied_once_and_in_order(postgres_database: str, folder: Path) -> None:
    assert await migrate(postgres_database, folder) == ["0001_first.sql", "0002_second.sql"]
    assert await migrate(postgres_database, folder) == []
    (folder / "0003_third.sql").write_text("DROP TABLE a;")
    assert await migrate(postgres_database, folder) == ["0003_third.sql"]


async def test_several_at_once_apply_each_file_once(postgres_database: str, folder: Path) -> None:
    done = await asyncio.gather(*(migrate(postgres_database, folder) for _ in range(4)))
    assert sorted(name for names in done for name in names) == ["0001_first.sql", "0002_second.sql"]


async def test_a_database_made_by_the_images_own_start_is_taken_over(postgres_database: str, folder: Path) -> None:
    connection = await asyncpg.connect(postgres_database)
    for path in sorted(folder.glob("*.sql")):
        await connection.execute(path.read_text())
    await connection.close()
    assert await migrate(postgres_database, folder) == ["0001_first.sql", "0002_second.sql"]


async def test_a_file_that_fails_leaves_nothing_of_itself(postgres_database: str, folder: Path) -> None:
    (folder / "0003_broken.sql").write_text("CREATE TABLE b (n int); SELECT no_such_thing;")
    with pytest.raises(asyncpg.PostgresError):
        await migrate(postgres_database, folder)
    async with open_pool(postgres_database) as pool:
        assert await pool.fetchval("SELECT to_regclass('b')") is None
        with pytest.raises(StaleSchemaError, match=r"0003_broken\.sql.*python -m app\.migrate"):
            await check_schema(pool, folder)


async def test_an_applied_file_that_was_changed_is_refused(postgres_database: str, folder: Path) -> None:
    await migrate(postgres_database, folder)
    (folder / "0001_first.sql").write_text("CREATE TABLE other (n int);")
    with pytest.raises(MigrationError, match="changed after it had been applied"):
        await migrate(postgres_database, folder)


async def test_code_older_than_its_database_is_refused(postgres_database: str, folder: Path) -> None:
    await migrate(postgres_database, folder)
    (folder / "0002_second.sql").unlink()
    with pytest.raises(MigrationError, match="ahead of this code"):
        await migrate(postgres_database, folder)


@pytest.mark.parametrize("names", [[], ["0002_a.sql"], ["0001_a.sql", "0003_b.sql"], ["first.sql"]])
def test_files_that_are_not_numbered_without_a_gap_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(MigrationError):
        read_migrations(tmp_path)
