"""The orchestrator's tasks, run as Celery runs them, on real databases and against a stage that answers."""

from typing import Any

from conftest import Core, Fleet, waiting_tasks

from ml_shared.names import Stage
from ml_shared.testing.servers import RedisServer


async def test_a_pass_hands_out_what_is_runnable(core: Core, tasks: Any, fleet: Fleet) -> None:
    job_id = await core.submit("http://site.test/a")
    tasks.dispatch.apply(args=["scraping"]).get()
    assert [call.body["job_id"] for call in fleet.scraper.calls] == [job_id]
    assert (await core.row(job_id))["status"] == "scraping"


async def test_a_pass_that_waits_for_a_host_asks_to_be_run_again_in_time(
    core: Core, tasks: Any, fleet: Fleet, redis_server: RedisServer
) -> None:
    await core.submit("http://site.test/a")
    await core.pool.execute("UPDATE lanes SET next_at = now() + interval '1 second'")
    tasks.dispatch.apply(args=["scraping"]).get()
    assert fleet.scraper.calls == []
    assert b"ml:nudge:scraping:later" in redis_server.command("KEYS", "ml:nudge:*")
    assert waiting_tasks(redis_server) == 1


async def test_the_stuck_job_handler_makes_lost_work_runnable_and_asks_for_a_pass(
    core: Core, tasks: Any, fleet: Fleet, redis_server: RedisServer
) -> None:
    await core.submit("http://site.test/a")
    await core.claim_one(Stage.SCRAPING)
    await core.expire_leases()
    tasks.recover_jobs.apply().get()
    assert await core.pool.fetchval("SELECT placement FROM jobs") == "parked"
    assert waiting_tasks(redis_server) == 1
    tasks.dispatch.apply(args=["scraping"]).get()
    assert len(fleet.scraper.calls) == 1


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
    assert {entry["args"] for entry in schedule.values() if entry["task"] == "orchestrator.dispatch"} == {
        (stage,) for stage in Stage
    }
    assert "orchestrator.recover_jobs" in {entry["task"] for entry in schedule.values()}
    assert all(entry["options"]["expires"] for entry in schedule.values())
