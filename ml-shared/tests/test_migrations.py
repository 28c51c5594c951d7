"""Migrations: applied once, in order, never rewritten; a service does not start on a stale schema."""

import asyncio
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ml_shared.storage.migrations import MigrationError, StaleSchemaError, check_schema, migrate, read_migrations
from ml_shared.storage.postgres import open_pool
from ml_shared.testing.servers import free_port

PROGRAM = """
import sys
from pathlib import Path

from ml_shared.storage.migrations import migrate, migration_command

sys.exit(migration_command(lambda: migrate(sys.argv[1], Path(sys.argv[2]))))
"""


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
    with pytest.raises(MigrationError, match=r"0003_broken\.sql: column .*no_such_thing"):
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


@pytest.mark.parametrize("names", [[], ["0002_a.sql"], ["0001_a.sql", "0001_b.sql"], ["first.sql"]])
def test_files_that_are_not_numbered_from_one_on_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1;")
    with pytest.raises(MigrationError):
        read_migrations(tmp_path)


def test_a_number_may_be_left_out_and_be_given_later(tmp_path: Path) -> None:
    for name in ("0001_a.sql", "0003_c.sql", "0002_b.sql"):
        (tmp_path / name).write_text("SELECT 1;")
        assert [one.name for one in read_migrations(tmp_path)] == sorted(path.name for path in tmp_path.iterdir())


def run_as_program(dsn: str, folder: Path) -> tuple[int, list[dict[str, Any]]]:
    command = [sys.executable, "-c", PROGRAM, dsn, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_a_program_says_what_it_applied_and_which_schema_there_is(postgres_database: str, folder: Path) -> None:
    for applied in (["0001_first.sql", "0002_second.sql"], []):
        status, (line,) = run_as_program(postgres_database, folder)
        assert (status, line["level"], line["event"]) == (0, "INFO", "migrations_applied")
        assert (line["schema_version"], line["applied"]) == (2, applied)
        assert line["database"] == postgres_database.partition("?")[0].rpartition("/")[2]
        assert line["duration_seconds"] >= 0


def test_a_program_that_fails_says_why_in_one_line_without_a_row(postgres_database: str, folder: Path) -> None:
    (folder / "0003_third.sql").write_text("INSERT INTO a VALUES (4711); CREATE UNIQUE INDEX twice ON a (n);")
    (folder / "0004_fourth.sql").write_text("INSERT INTO a VALUES (4711);")
    status, lines = run_as_program(postgres_database, folder)
    assert (status, [line["event"] for line in lines]) == (1, ["migrations_failed"])
    assert (lines[0]["level"], lines[0]["error_kind"]) == ("ERROR", "UniqueViolationError")
    assert lines[0]["error"].startswith("0004_fourth.sql: duplicate key")
    assert "4711" not in json.dumps(lines)


def test_a_program_without_a_database_says_so(folder: Path) -> None:
    status, (line,) = run_as_program(f"postgresql://u:secret-word@127.0.0.1:{free_port()}/db", folder)
    assert (status, line["event"], line["error_kind"]) == (1, "migrations_failed", "ConnectionRefusedError")
    assert "secret-word" not in json.dumps(line)


async def test_a_process_says_which_schema_it_starts_on(
    postgres_database: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await migrate(postgres_database, folder)
    async with open_pool(postgres_database) as pool:
        with caplog.at_level(logging.INFO):
            await check_schema(pool, folder)
    (record,) = (record for record in caplog.records if record.getMessage() == "schema_checked")
    assert record.__dict__["schema_version"] == 2
