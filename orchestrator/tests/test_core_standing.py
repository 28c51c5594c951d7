"""How all jobs stand, as a scrape reads it."""

import asyncpg
import httpx
import pytest
from conftest import Core

from app.core.jobs.standing import _JOBS, LARGEST, OLDEST, OWNERS, PAUSED, STATE, WAITING, read_gauges
from ml_shared.contracts.jobs import WaitingReason
from ml_shared.names import Stage
from ml_shared.telemetry.readings import Reading


async def value(pool: asyncpg.Pool, reading: Reading, *labels: str) -> float:
    return (await read_gauges(pool))[reading][labels]


async def test_an_idle_fleet_has_each_series_at_0(core: Core) -> None:
    found = await read_gauges(core.pool)
    assert set(found[STATE]) == {("queued",), ("scraping",), ("chunking",), ("embedding",)}
    assert set(found[WAITING]) == {(reason.value,) for reason in WaitingReason}
    assert set(found[PAUSED]) == {(stage.value,) for stage in Stage}
    assert {number for series in found.values() for number in series.values()} == {0.0}


async def test_jobs_are_counted_by_status_and_by_why_they_are_not_further(core: Core) -> None:
    for path in ("a", "b", "c"):
        await core.submit(f"http://one.test/{path}")
    for host in ("two", "three", "four"):
        await core.submit(f"http://{host}.test/", owner="key:b")
    handed_out = await core.claim(Stage.SCRAPING)
    assert len(handed_out) == 4
    await core.started(handed_out[0])
    found = await read_gauges(core.pool)
    # handed out, but nobody has said that it began
    assert found[WAITING] == {("running",): 1, ("queued",): 3, ("host_delay",): 2, ("upstream",): 0, ("lease",): 0}
    assert sum(found[STATE].values()) == 6
    assert found[OWNERS] == {(): 1.0}
    assert found[LARGEST] == {(): 0.75}
    await core.expire_leases()
    await core.pool.execute("UPDATE stages SET paused_until = now() + interval '1 minute' WHERE stage = 'scraping'")
    found = await read_gauges(core.pool)
    assert found[WAITING] == {("running",): 0, ("queued",): 0, ("host_delay",): 0, ("upstream",): 2, ("lease",): 4}
    assert found[PAUSED] == {("scraping",): 1.0, ("chunking",): 0.0, ("embedding",): 0.0}


async def test_the_oldest_queued_job_counts_from_its_submission_and_ended_ones_do_not(core: Core) -> None:
    old = await core.submit("http://one.test/")
    await core.submit("http://two.test/")
    await core.pool.execute("UPDATE jobs SET submitted_at = now() - interval '1 hour' WHERE id = $1", old)
    assert await value(core.pool, OLDEST) == pytest.approx(3600, abs=60)
    first, second = await core.claim(Stage.SCRAPING)
    for job in (first, second):
        await core.started(job)
        await core.complete(job, status="failed", error_code="http_status")
    assert await value(core.pool, OLDEST) == 0.0
    assert sum((await read_gauges(core.pool))[STATE].values()) == 0.0


async def test_ended_jobs_are_not_gone_through(own_core: Core) -> None:
    await own_core.submit("http://one.test/")
    await own_core.pool.execute(
        """INSERT INTO jobs (owner, id, url, host, corpus_name, status, stage, placement, tag, ended_at)
           SELECT 'key:a', gen_random_uuid(), 'http://x.test/', 'x.test', 'c', 'completed', 'embedding', 'ended', 0, now()
           FROM generate_series(1, 5000)"""
    )
    await own_core.pool.execute("ANALYZE jobs")
    plan = "\n".join(row[0] for row in await own_core.pool.fetch(f"EXPLAIN {_JOBS}"))
    assert "Seq Scan on jobs" not in plan, plan


async def test_a_scrape_of_the_api_shows_them(api: httpx.AsyncClient) -> None:
    text = (await api.get("/metrics")).text
    assert 'ml_jobs_state{status="queued"} 0.0' in text
    assert 'ml_jobs_waiting{reason="host_delay"} 0.0' in text
    assert "ml_jobs_oldest_queued_age_seconds 0.0" in text
    assert 'ml_queue_depth{operation="write",queue="orchestration"' in text
