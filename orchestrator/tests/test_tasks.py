"""The orchestrator's tasks, run as Celery runs them, on real databases and against a stage that answers."""

import asyncio
from typing import Any

from conftest import Core, Fleet, heard

from app.core.jobs import batches
from app.core.metrics import JOBS_ENDED
from ml_shared.contracts.batches import BatchRequest
from ml_shared.names import Stage
from ml_shared.testing.servers import RedisServer


async def test_a_pass_hands_out_what_is_runnable(core: Core, tasks: Any, fleet: Fleet) -> None:
    job_id = await core.submit("http://site.test/a")
    tasks.dispatch.apply(args=["scraping"]).get()
    assert [call.body["job_id"] for call in fleet.scraper.calls] == [job_id]
    assert (await core.row(job_id))["status"] == "scraping"


async def test_the_stuck_job_handler_makes_lost_work_runnable_and_asks_for_a_pass(
    core: Core, tasks: Any, fleet: Fleet, redis_server: RedisServer
) -> None:
    await core.submit("http://site.test/a")
    await core.claim_one(Stage.SCRAPING)
    await core.expire_leases()
    async with heard(redis_server.url) as words:
        await asyncio.to_thread(tasks.recover_jobs.apply)
    assert words == ["scraping"]
    assert await core.pool.fetchval("SELECT placement FROM jobs") == "parked"
    tasks.dispatch.apply(args=["scraping"]).get()
    assert len(fleet.scraper.calls) == 1


async def test_the_stuck_job_handler_finishes_a_cancel_that_was_cut_off(
    core: Core, tasks: Any, redis_server: RedisServer
) -> None:
    request = BatchRequest(urls=["http://a.test/", "http://b.test/"])
    await batches.submit(core.pool, "key:a", request, idempotency_key=None, max_open_jobs=10)
    await core.pool.execute("UPDATE batches SET cancel_asked_at = now(), cancel_open = true")  # and then it died
    before = JOBS_ENDED.labels("cancelled")._value.get()
    async with heard(redis_server.url) as words:
        await asyncio.to_thread(tasks.recover_jobs.apply)
    assert [row["status"] for row in await core.pool.fetch("SELECT status FROM jobs")] == ["cancelled"] * 2
    assert JOBS_ENDED.labels("cancelled")._value.get() == before + 2
    assert words == ["chunking embedding scraping"], "their slots are free again"


async def test_one_task_makes_a_pass_of_each_stage_and_asks_for_what_its_hand_outs_made_possible(
    core: Core, tasks: Any, fleet: Fleet, redis_server: RedisServer
) -> None:
    await core.submit("http://site.test/a")
    scraped = await core.claim_one(Stage.SCRAPING)
    await core.complete(scraped, content_ref="forgotten")
    await core.submit("http://other.test/b")
    async with heard(redis_server.url) as words:
        await asyncio.to_thread(tasks.dispatch.apply, args=list(Stage))
    assert "http://other.test/b" in [call.body["url"] for call in fleet.scraper.calls]
    assert words == ["chunking scraping"], "its page is gone: it is scraped again, and chunking has a free slot"


async def test_a_job_is_found_though_redis_was_wiped(
    core: Core, tasks: Any, fleet: Fleet, redis_server: RedisServer
) -> None:
    await core.submit("http://site.test/a")
    redis_server.flush()
    tasks.dispatch.apply(args=["scraping"]).get()
    assert len(fleet.scraper.calls) == 1


async def test_a_purge_forgets_old_idempotency_keys(core: Core, tasks: Any) -> None:
    await core.submit("http://site.test/a", idempotency_key="old")
    await core.pool.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    await core.submit("http://site.test/b", idempotency_key="new")
    tasks.purge.apply().get()
    assert [row["key"] for row in await core.pool.fetch("SELECT key FROM idempotency_keys")] == ["new"]


def test_beat_runs_every_pass_and_the_stuck_job_handler(configured: Any) -> None:
    from app.worker.celery_app import app

    schedule = app.conf.beat_schedule
    assert [set(entry["args"]) for entry in schedule.values() if entry["task"] == "orchestrator.dispatch"] == [
        set(Stage)
    ]
    assert "orchestrator.recover_jobs" in {entry["task"] for entry in schedule.values()}
    assert all(entry["options"]["expires"] for entry in schedule.values())
