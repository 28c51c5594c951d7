"""What is forgotten after a while, and what is not."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from conftest import Core
from test_core_webhooks import batch_of, endpoint, fail

from app.core.jobs import cancelling, retention
from ml_shared.names import Stage


async def forget(core: Core, **ttl: timedelta) -> dict[str, int]:
    wanted: dict[str, timedelta] = {"jobs_ttl": timedelta(days=90), "keys_ttl": timedelta(hours=24)} | ttl
    return await retention.forget(core.pool, **wanted)


async def age(core: Core, days: int) -> None:
    """Let everything have happened so many days earlier."""
    for table, columns in {
        "jobs": ("submitted_at", "ended_at"),
        "batches": ("submitted_at",),
        "webhook_deliveries": ("created_at",),
        "idempotency_keys": ("created_at",),
    }.items():
        for column in columns:
            await core.pool.execute(f"UPDATE {table} SET {column} = {column} - make_interval(days => $1)", days)


async def count(core: Core, table: str) -> int:
    found: int = await core.pool.fetchval(f"SELECT count(*) FROM {table}")
    return found


async def test_what_ended_long_ago_is_forgotten_and_what_is_unfinished_or_younger_stays(core: Core) -> None:
    await endpoint(core)
    old = await batch_of(core, 3)
    await core.submit("http://key.test/", idempotency_key="once")
    waits = await core.submit("http://waits.test/")
    await cancelling.cancel_batch(core.pool, "key:a", old)
    await age(core, 91)
    young = await batch_of(core, 2)
    await cancelling.cancel_batch(core.pool, "key:a", young)
    assert await forget(core) == {"jobs": 3, "deliveries": 1, "keys": 1}
    assert [row["id"] for row in await core.pool.fetch("SELECT id FROM batches")] == [young]
    assert await core.row(UUID(waits)) is not None
    assert await count(core, "jobs") == 4
    assert await count(core, "webhook_deliveries") == 1
    assert await forget(core) == {"jobs": 0, "deliveries": 0, "keys": 0}


async def test_more_than_one_transactions_worth_is_forgotten(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 7)
    monkeypatch.setattr(retention, "REST_SECONDS", 0)
    batch = await batch_of(core, 30)
    await cancelling.cancel_batch(core.pool, "key:a", batch)
    await core.pool.execute(
        "INSERT INTO batches (owner, id, corpus_name) SELECT 'key:a', gen_random_uuid(), 'c' FROM generate_series(1, 20)"
    )
    await age(core, 91)
    await core.pool.execute("UPDATE batches SET submitted_at = submitted_at - random() * interval '1 hour'")
    assert (await forget(core))["jobs"] == 30
    assert (await count(core, "jobs"), await count(core, "batches")) == (0, 0)


async def test_what_is_to_be_sent_to_a_webhook_that_is_no_more_is_forgotten(core: Core) -> None:
    await endpoint(core)
    await core.pool.execute("SELECT announce_event('key:a', 'run.ended', '{}')")
    assert (await forget(core))["deliveries"] == 0
    await core.pool.execute("DELETE FROM webhooks")
    assert (await forget(core))["deliveries"] == 1


async def test_no_pass_report_or_submission_waits_for_what_is_being_forgotten(core: Core) -> None:
    """A transaction that has forgotten jobs, and is not committed, holds up nothing; nor does it wait for what others hold."""
    await batch_of(core, 4)
    await fail(core, 4)
    await age(core, 91)
    await core.submit("http://h0.test/again")
    await core.time_has_come()

    async def without_waiting(work: Any) -> Any:
        async with asyncio.timeout(30):
            return await work

    async with core.pool.acquire() as connection, connection.transaction():
        locked = await connection.fetchval("SELECT id FROM jobs WHERE placement = 'ended' LIMIT 1 FOR UPDATE")
        assert locked is not None
        async with core.pool.acquire() as other:
            transaction = other.transaction()
            await transaction.start()
            assert await without_waiting(other.fetchval("SELECT forget_jobs(now(), 500)")) == 3, "what is locked stays"
            job = (await without_waiting(core.claim(Stage.SCRAPING)))[0]
            assert await without_waiting(core.started(job))
            await without_waiting(core.complete(job, content_ref="c"))
            await without_waiting(core.submit("http://h1.test/again"))
            await transaction.rollback()


async def test_old_jobs_are_found_by_index(own_core: Core) -> None:
    await own_core.pool.execute(
        """INSERT INTO jobs (owner, id, url, host, corpus_name, stage, placement, status, tag, ended_at)
           SELECT 'key:a', gen_random_uuid(), 'http://h.test/', 'h.test', 'default', 'scraping', 'ended', 'completed', n,
               now() - n * interval '1 second' FROM generate_series(1, 5000) n"""
    )
    await own_core.pool.execute("ANALYZE jobs")
    async with own_core.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT forget_jobs(now() - interval '4900 seconds', 10)")
        assert await connection.fetchval("SELECT pg_stat_get_xact_tuples_returned('jobs'::regclass)") == 0
