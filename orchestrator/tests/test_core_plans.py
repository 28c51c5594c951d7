"""Every list of jobs and batches is read by an index that fits it, however many jobs there are."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from conftest import Core, copied, open_core

from app.core.jobs.batches import _COUNTED
from app.core.jobs.filters import JobFilter
from app.core.jobs.reading import page_statement
from app.core.jobs.stats import ENDED, OPEN, SUBMITTED
from ml_shared.names import Stage
from ml_shared.testing.servers import PostgresServer

BATCH = uuid4()
ROWS = 20_000


async def crowd(core: Core) -> None:
    """Give a database many jobs of one owner, and some of others."""
    await core.pool.execute(
        """INSERT INTO jobs (owner, id, url, host, corpus_name, batch_id, stage, placement, status, tag, submitted_at,
               ended_at, error_code, failed_stage, error_message)
           SELECT CASE WHEN n % 10 = 0 THEN 'key:b' ELSE 'key:a' END, gen_random_uuid(),
               'http://h' || n % 500 || '.test/p/' || n, 'h' || n % 500 || '.test', 'default',
               CASE WHEN n <= 1000 THEN $1::uuid END, 'scraping',
               CASE WHEN n % 2 = 0 THEN 'ended' ELSE 'parked' END, CASE WHEN n % 2 = 0 THEN 'failed' ELSE 'queued' END, n,
               now() - n * interval '1 second', CASE WHEN n % 2 = 0 THEN now() - n * interval '1 second' END,
               CASE WHEN n % 2 = 0 THEN 'code_' || n % 40 END, CASE WHEN n % 2 = 0 THEN 'scraping' END,
               CASE WHEN n % 2 = 0 THEN 'm' END
           FROM generate_series(1, $2::integer) n""",
        *(BATCH, ROWS),
    )
    await core.pool.execute("INSERT INTO batches (owner, id, corpus_name) VALUES ('key:a', $1, 'default')", BATCH)
    # without reading jobs, so that what tests count is what they did
    await core.pool.execute(
        "INSERT INTO owners (owner, last_tag, open_jobs) VALUES ('key:a', $1, $2), ('key:b', $1, 0)",
        *(ROWS, ROWS // 2),
    )
    await core.pool.execute(
        "INSERT INTO lanes (host, head_tag) SELECT 'h' || n || '.test', n FROM generate_series(1, 499, 2) n"
    )
    await core.pool.execute("ANALYZE")


@pytest.fixture(scope="session")
def crowded_template(postgres_server: PostgresServer, migrated_databases: tuple[str, str]) -> tuple[str, str]:
    """The names of databases to be copied that many jobs are in: jobs, content."""
    jobs, content = postgres_server.copy_databases(*migrated_databases)

    async def fill() -> None:
        async with open_core((postgres_server.dsn(jobs), postgres_server.dsn(content))) as core:
            await crowd(core)

    asyncio.run(fill())
    return jobs, content


@pytest.fixture
async def crowded(postgres_server: PostgresServer, crowded_template: tuple[str, str]) -> AsyncIterator[Core]:
    """A core with many jobs of one owner, and some of others."""
    with copied(postgres_server, crowded_template) as databases:
        async with open_core(databases) as core:
            yield core


@pytest.fixture(scope="session")
def looked_at_databases(
    postgres_server: PostgresServer, crowded_template: tuple[str, str]
) -> Iterator[tuple[str, str]]:
    with copied(postgres_server, crowded_template) as databases:
        yield databases


@pytest.fixture
async def looked_at(looked_at_databases: tuple[str, str]) -> AsyncIterator[Core]:
    """A crowded core that tests share, since they only look at it."""
    async with open_core(looked_at_databases) as core:
        yield core


def scans(plan: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    if "Relation Name" in plan or "Index Name" in plan:
        yield plan["Node Type"], plan.get("Relation Name", ""), plan.get("Index Name", "")
    for below in plan.get("Plans", []):
        yield from scans(below)


async def planned(core: Core, statement: str, *arguments: Any) -> list[tuple[str, str, str]]:
    told = await core.pool.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    return list(scans(json.loads(told)[0]["Plan"]))


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (JobFilter(), "jobs_by_owner"),
        (JobFilter(created_after=datetime.now(UTC) - timedelta(minutes=1)), "jobs_by_owner"),
        (JobFilter(batch_id=BATCH), "jobs_of_batch"),
        (JobFilter(host="h7.test"), "jobs_by_host"),
        (JobFilter(url_prefix="http://h7.test/p/1"), "jobs_by_url"),
        (JobFilter(error_code="code_6"), "jobs_by_error"),
        (JobFilter(ended_after=datetime.now(UTC) - timedelta(minutes=1)), "jobs_by_end"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_filter_of_jobs_is_served_by_its_index(looked_at: Core, wanted: JobFilter, index: str) -> None:
    last = (datetime.now(UTC), uuid4())
    for cursor in (None, last):
        statement, arguments = page_statement("key:a", wanted, cursor, 50)
        found = await planned(looked_at, statement, *arguments)
        assert index in {name for _, _, name in found}, found
        assert ("Seq Scan", "jobs", "") not in found


@pytest.mark.parametrize(("statement", "index"), [(ENDED, "jobs_by_end"), (SUBMITTED, "jobs_by_owner")])
async def test_figures_over_time_are_read_by_index(looked_at: Core, statement: str, index: str) -> None:
    window = (datetime.now(UTC) - timedelta(minutes=10), 60.0, 100)
    found = await planned(looked_at, statement, "key:a", *window)
    assert index in {name for _, _, name in found}, found
    assert ("Seq Scan", "jobs", "") not in found


async def test_an_owners_unfinished_jobs_are_not_looked_for_among_everybodys(crowded: Core) -> None:
    await crowded.submit("http://few.test/", owner="key:b")  # whose others have ended
    await crowded.pool.execute("ANALYZE jobs")
    found = await planned(crowded, OPEN, "key:b", list(Stage))
    assert "jobs_unfinished_of" in {name for _, _, name in found}, found
    assert ("Seq Scan", "jobs", "") not in found


async def test_batches_and_their_counts_are_read_by_index(looked_at: Core) -> None:
    found = await planned(looked_at, f"{_COUNTED} WHERE batches.owner = $1 AND batches.id = $2", "key:a", BATCH)
    assert "jobs_of_batch" in {name for _, _, name in found}
    assert ("Seq Scan", "jobs", "") not in found


async def test_cancelling_some_of_a_batch_reads_no_other_jobs(crowded: Core) -> None:
    """The statements within a function show in no plan: what was read tells."""

    async def read() -> int:
        count: int = await connection.fetchval("SELECT pg_stat_get_xact_tuples_returned('jobs'::regclass)")
        return count

    async with crowded.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT cancel_some('key:a', $1, 'scraping', 100)", BATCH)
        assert await read() == 0, "no sequential scan"
