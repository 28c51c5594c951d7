"""Webhooks as rows: what the outbox holds after what happened to jobs."""

import asyncio
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from conftest import Core
from pydantic import SecretStr

from app.core.dispatch.pipeline import FIRST
from app.core.errors import SecretUnreadableError, TooManyWebhooksError
from app.core.jobs import batches, cancelling
from app.core.notices import webhooks
from app.core.notices.sealing import Sealer
from ml_shared.contracts.batches import BatchRequest
from ml_shared.contracts.jobs import CallbackStatus
from ml_shared.contracts.webhooks import WebhookChange, WebhookEvent, WebhookRequest
from ml_shared.names import Stage

SEALER = Sealer([SecretStr("k" * 32)])


async def endpoint(core: Core, *events: str, owner: str = "key:a", url: str = "http://receiver.test/") -> UUID:
    wanted = WebhookRequest(url=url, events=[WebhookEvent(event) for event in events or tuple(WebhookEvent)])
    return UUID((await webhooks.create(core.pool, owner, wanted, SEALER, max_webhooks=20)).webhook_id)


async def outbox(core: Core, owner: str = "key:a") -> list[tuple[str, dict[str, Any]]]:
    rows = await core.pool.fetch(
        "SELECT type, data FROM webhook_deliveries WHERE owner = $1 ORDER BY created_at", owner
    )
    return [(row["type"], row["data"]) for row in rows]


async def batch_of(core: Core, count: int, owner: str = "key:a") -> UUID:
    request = BatchRequest(urls=[f"http://h{number}.test/" for number in range(count)])
    accepted, _ = await batches.submit(core.pool, owner, request, idempotency_key=None, max_open_jobs=10**6)
    return UUID(accepted.batch_id)


async def fail(core: Core, count: int) -> None:
    """Fail some jobs that are handed out, all at once."""
    jobs = await core.claim(Stage.SCRAPING)
    assert len(jobs) == count
    failed = {"status": CallbackStatus.FAILED, "error_code": "http_status", "error_message": "gone"}
    await asyncio.gather(*(core.complete(job, **failed) for job in jobs))


async def test_a_job_that_fails_is_told_to_each_endpoint_that_wants_it_and_to_nobody_else(core: Core) -> None:
    for events in (("job.failed",), ("job.failed", "batch.ended"), ("job.completed",)):
        await endpoint(core, *events)
    await endpoint(core, "job.failed", owner="key:b")
    job_id = await core.submit("http://site.test/")
    await fail(core, 1)
    told = await outbox(core)
    assert [kind for kind, _ in told] == ["job.failed"] * 2
    data = told[0][1]
    assert (data["job_id"], data["status"], data["url"]) == (job_id, "failed", "http://site.test/")
    assert data["error"] == {"code": "http_status", "message": "gone", "failed_stage": "scraping"}
    assert data["ended_at"].endswith("Z")
    assert await outbox(core, "key:b") == []


async def test_what_is_rolled_back_was_told_to_nobody(core: Core) -> None:
    await endpoint(core)
    job_id = await core.submit("http://site.test/")
    async with core.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT cancel_job('key:a', $1, $2)", UUID(job_id), FIRST.stage)
        assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries") == 1
        await transaction.rollback()
    assert await outbox(core) == []


async def test_a_cancelled_batch_is_told_once_and_none_of_its_jobs(core: Core) -> None:
    await endpoint(core)
    batch_id = await batch_of(core, 600)
    alone = await core.submit("http://alone.test/", max_open_jobs=5000)
    assert await cancelling.cancel_batch(core.pool, "key:a", batch_id) == 600
    await cancelling.cancel(core.pool, "key:a", UUID(alone))
    told = await outbox(core)
    assert [kind for kind, _ in told] == ["batch.ended", "job.cancelled"]
    assert told[0][1]["counts"] == {"completed": 0, "failed": 0, "cancelled": 600}
    assert (told[0][1]["batch_id"], told[1][1]["job_id"]) == (str(batch_id), alone)


async def test_jobs_that_end_at_the_same_time_end_their_batch_once(core: Core) -> None:
    await endpoint(core, "batch.ended")
    for _ in range(5):
        await batch_of(core, 6)
        await core.time_has_come()
        await fail(core, 6)
    told = await outbox(core)
    assert len(told) == 5
    assert all(data["counts"]["failed"] == data["jobs"] == 6 for _, data in told)


_WAITS = """
SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def test_two_transactions_that_end_the_last_two_jobs_of_a_batch_end_it_once(core: Core) -> None:
    """Neither sees what the other has not committed: the one that comes later waits for the other, and tells."""
    await endpoint(core, "batch.ended")
    batch_id = await batch_of(core, 2)
    first, second = [row["id"] for row in await core.pool.fetch("SELECT id FROM jobs")]
    async with core.pool.acquire() as one, core.pool.acquire() as other:
        transaction = one.transaction()
        await transaction.start()
        await one.execute("SELECT cancel_job('key:a', $1, $2)", first, FIRST.stage)
        waiting = asyncio.create_task(other.execute("SELECT cancel_job('key:a', $1, $2)", second, FIRST.stage))
        async with asyncio.timeout(20):
            while not await core.pool.fetchval(_WAITS):
                await asyncio.sleep(0.01)
        assert not waiting.done()
        await transaction.commit()
        await waiting
    [(kind, data)] = await outbox(core)
    assert (kind, data["batch_id"], data["counts"]["cancelled"]) == ("batch.ended", str(batch_id), 2)


async def test_what_happens_while_an_endpoint_is_paused_is_held(core: Core) -> None:
    webhook_id = await endpoint(core, "job.failed")
    await webhooks.change(core.pool, "key:a", webhook_id, WebhookChange(paused=True))
    await core.submit("http://site.test/")
    await fail(core, 1)
    assert await core.pool.fetchval("SELECT status FROM webhook_deliveries") == "held"


async def test_an_event_of_a_run_is_announced_by_whoever_makes_it(core: Core) -> None:
    await endpoint(core, "run.ended")
    await core.pool.execute("SELECT announce_event('key:a', 'run.ended', $1)", {"run": 1})
    await core.pool.execute("SELECT announce_event('key:a', 'page.changed', $1)", {"url": "x"})
    assert await outbox(core) == [("run.ended", {"run": 1})]


async def test_jobs_that_are_no_pages_are_told_to_nobody(core: Core) -> None:
    await endpoint(core)
    for kind in ("links", "remove"):
        await core.submit(f"http://{kind}.test/")
        await core.pool.execute("UPDATE jobs SET kind = $1 WHERE placement <> 'ended'", kind)
        await fail(core, 1)
    assert await outbox(core) == []


async def test_webhooks_of_an_owner_are_bounded_however_many_are_made_at_once(core: Core) -> None:
    wanted = WebhookRequest(url="http://receiver.test/", events=[WebhookEvent.JOB_FAILED])

    async def make() -> bool:
        try:
            await webhooks.create(core.pool, "key:a", wanted, SEALER, max_webhooks=3)
        except TooManyWebhooksError:
            return False
        return True

    assert sum(await asyncio.gather(*(make() for _ in range(6)))) == 3


async def test_a_secret_is_sealed_for_its_owner_and_opened_after_the_keys_change(core: Core) -> None:
    request = WebhookRequest(url="http://receiver.test/", events=[WebhookEvent.JOB_FAILED])
    made = await webhooks.create(core.pool, "key:a", request, SEALER, max_webhooks=20)
    row = await core.pool.fetchrow("SELECT * FROM webhooks")
    assert made.secret.startswith("whsec_")
    assert made.secret not in str(row)
    assert made.secret.removeprefix("whsec_").encode() not in row["sealed"]
    assert made.secret not in repr(made)
    newer = Sealer([SecretStr("n" * 32), SecretStr("k" * 32)])
    assert newer.open("key:a", row["id"], row["sealed"]) == made.secret
    for owner, sealer in (("key:b", SEALER), ("key:a", Sealer([SecretStr("n" * 32)]))):
        with pytest.raises(SecretUnreadableError):
            sealer.open(owner, row["id"], row["sealed"])


async def test_a_deleted_webhook_takes_its_log_with_it(core: Core) -> None:
    webhook_id = await endpoint(core)
    await core.pool.execute("SELECT announce_event('key:a', 'run.ended', '{}') FROM generate_series(1, 2500)")
    await webhooks.delete(core.pool, "key:a", webhook_id)
    assert await outbox(core) == []


async def test_the_outbox_refuses_a_state_that_there_is_none_of(core: Core) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await core.pool.execute(
            "INSERT INTO webhook_deliveries (owner, webhook_id, type, data, status) VALUES ('a', gen_random_uuid(), 'x', '{}', 'y')"
        )
