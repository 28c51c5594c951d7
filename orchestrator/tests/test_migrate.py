"""`python -m app.migrate`, run as Compose runs it: both databases, and lines that say what came of it."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg

from app.migrate import create_database
from ml_shared.testing.servers import PostgresServer

ORCHESTRATOR = Path(__file__).parents[1]


def run(jobs: str, content: str) -> tuple[int, list[dict[str, Any]]]:
    environment = {**os.environ, "DATABASE_URL": jobs, "CONTENT_STORE_URL": content}
    command = [sys.executable, "-m", "app.migrate"]
    done = subprocess.run(command, cwd=ORCHESTRATOR, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_both_databases_are_brought_to_this_codes_schema_and_a_second_run_changes_nothing(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    jobs = postgres_database.rpartition("/")[2].partition("?")[0]
    content = f"{jobs}_content"
    try:
        for changed in (True, False):
            status, lines = run(postgres_database, postgres_server.dsn(content))
            assert status == 0
            assert [line["event"] for line in lines] == ["migrations_applied"] * 2
            assert [line["database"] for line in lines] == [jobs, content]
            assert [bool(line["applied"]) for line in lines] == [changed, changed]
    finally:
        postgres_server.drop_database(content)


async def test_a_database_that_a_new_postgres_ran_all_files_on_is_brought_to_this_codes_schema(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    """As PostgreSQL's container does when it first starts: nothing is noted of it, so each file is applied once more."""
    connection = await asyncpg.connect(postgres_database)
    try:
        for path in sorted((ORCHESTRATOR / "migrations").glob("*.sql")):
            await connection.execute(path.read_text())
    finally:
        await connection.close()
    content = f"{postgres_database.rpartition('/')[2].partition('?')[0]}_content"
    try:
        status, lines = run(postgres_database, postgres_server.dsn(content))
        assert (status, [line["event"] for line in lines]) == (0, ["migrations_applied"] * 2), lines
    finally:
        postgres_server.drop_database(content)


async def test_several_migrations_at_once_make_the_second_database_once(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    content = f"{postgres_database.rpartition('/')[2].partition('?')[0]}_content"
    try:
        await asyncio.gather(*(create_database(postgres_database, content) for _ in range(6)))
        assert postgres_server.sql(f"SELECT count(*) FROM pg_database WHERE datname = '{content}'") == "1"
    finally:
        postgres_server.drop_database(content)
