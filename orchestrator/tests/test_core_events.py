"""Events: each transition writes its own, by the very update that makes it."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from conftest import Core

from app.core.jobs import cancelling
from ml_shared.contracts.jobs import CallbackStatus, ProgressPhase
from ml_shared.names import Stage

EVENTS = "SELECT * FROM job_events WHERE job_id = $1 ORDER BY number"


async def events(core: Core, job_id: Any) -> list[Any]:
    """A job's events, having seen that they are numbered from 1 without a gap, up to the job's own counter."""
    rows: list[Any] = await core.pool.fetch(EVENTS, UUID(str(job_id)))
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    assert await core.pool.fetchval("SELECT last_event FROM jobs WHERE id = $1", UUID(str(job_id))) == len(rows)
    return rows


def told(rows: list[Any]) -> list[tuple[str, str, str, int | None]]:
    return [(row["type"], row["status"], row["stage"], row["attempt"]) for row in rows]


async def test_a_job_that_is_completed_has_an_event_of_each_transition(core: Core) -> None:
    job_id = await core.submit("http://site.test/a?token=secret")
    scraping = await core.claim_one(Stage.SCRAPING)
    await core.started(scraping)
    await core.started(scraping, ProgressPhase.RUNNING)  # a lease that is renewed is no event
    await core.complete(scraping, content_ref="page", stats={"bytes": 120})
    chunking = await core.claim_one(Stage.CHUNKING)
    await core.started(chunking)
    await core.complete(chunking, content_ref="chunks", stats={"chunks": 3, "tokens": 40})
    embedding = await core.claim_one(Stage.EMBEDDING)
    await core.started(embedding)
    await core.started(embedding, ProgressPhase.COMMITTING)
    await core.complete(embedding, stats={"chunks": 3, "tokens": 46})
    rows = await events(core, job_id)
    assert told(rows) == [
        ("submitted", "queued", "scraping", None),
        ("handed_out", "scraping", "scraping", None),
        ("started", "scraping", "scraping", 1),
        ("advanced", "chunking", "chunking", None),
        ("handed_out", "chunking", "chunking", None),
        ("started", "chunking", "chunking", 1),
        ("advanced", "embedding", "embedding", None),
        ("handed_out", "embedding", "embedding", None),
        ("started", "embedding", "embedding", 1),
        ("committing", "embedding", "embedding", 1),
        ("completed", "completed", "embedding", 1),
    ]
    assert [row["reason"] for row in rows[:3]] == ["queued", "queued", "running"]
    assert (rows[-1]["bytes"], rows[-1]["chunks"], rows[-1]["tokens"], rows[-1]["reason"]) == (120, 3, 46, None)
    assert "secret" not in str(rows)


async def test_an_event_says_why_a_job_waits_until_when_and_as_which_attempt(core: Core) -> None:
    job_id = await core.submit("http://site.test/a")
    job = await core.claim_one(Stage.SCRAPING)
    await core.started(job)
    await core.defer(job, "upstream_error", retry_after_seconds=60)
    row = (await events(core, job_id))[-1]
    assert (row["type"], row["status"], row["attempt"], row["reason"], row["code"]) == (
        *("put_off", "queued", 1, "upstream", "upstream_error"),
    )
    assert timedelta(seconds=20) < row["not_before"] - datetime.now(UTC) < timedelta(seconds=61)
    await core.time_has_come()
    job = await core.claim_one(Stage.SCRAPING)
    await core.started(job)
    await core.complete(job, status=CallbackStatus.FAILED, error_code="http_status", error_message="404")
    last = (await events(core, job_id))[3:]
    assert told(last) == [
        ("put_off", "queued", "scraping", 1),
        ("due", "queued", "scraping", 1),
        ("handed_out", "scraping", "scraping", 1),
        ("started", "scraping", "scraping", 2),
        ("failed", "failed", "scraping", 2),
    ]
    assert [each["code"] for each in last] == ["upstream_error", None, None, None, "http_status"]


async def test_a_lost_lease_a_busy_host_and_lost_content_have_their_events(core: Core) -> None:
    job_id = await core.submit("http://site.test/a")
    await core.claim_one(Stage.SCRAPING)
    await core.expire_leases()
    await core.recover()
    busy = await core.claim_one(Stage.SCRAPING)
    await core.started(busy)
    await core.defer(busy, "host_busy", retry_after_seconds=1)
    await core.time_has_come()
    await core.complete(await core.claim_one(Stage.SCRAPING), content_ref="page")
    await core.defer(await core.claim_one(Stage.CHUNKING), "content_missing")
    assert [(row["type"], row["stage"]) for row in await events(core, job_id)] == [
        ("submitted", "scraping"),
        ("handed_out", "scraping"),
        ("given_back", "scraping"),
        ("handed_out", "scraping"),
        ("started", "scraping"),
        ("given_back", "scraping"),
        ("handed_out", "scraping"),
        ("advanced", "chunking"),
        ("handed_out", "chunking"),
        ("sent_back", "scraping"),
    ]


async def test_a_report_that_changes_nothing_writes_no_event(core: Core) -> None:
    job_id = await core.submit("http://site.test/a")
    job = await core.claim_one(Stage.SCRAPING)
    await core.complete(job, content_ref="page")
    before = await events(core, job_id)
    await core.complete(job, content_ref="page")
    await core.defer(job, "upstream_error")
    assert not await core.started(job)
    assert await events(core, job_id) == before


async def test_a_transition_that_is_rolled_back_leaves_no_event_and_no_gap(core: Core) -> None:
    job_id = await core.submit("http://site.test/a")
    with pytest.raises(asyncpg.RaiseError):
        await core.pool.execute(
            "DO $$ BEGIN PERFORM end_job(owner, id, host, 'failed', 'x', 'x', 'scraping') FROM jobs; RAISE 'back'; END $$"
        )
    assert told(await events(core, job_id)) == [("submitted", "queued", "scraping", None)]
    await cancelling.cancel(core.pool, "key:a", UUID(job_id))
    assert [row["type"] for row in await events(core, job_id)] == ["submitted", "cancelled"]


async def test_a_job_that_waits_for_ever_has_a_bounded_number_of_events_and_its_end_is_told(core: Core) -> None:
    job_id = await core.submit("http://site.test/a")
    await core.pool.execute("UPDATE jobs SET last_event = 499")
    await core.pool.execute("DELETE FROM job_events WHERE number = 1")
    for _ in range(3):
        job = await core.claim_one(Stage.SCRAPING)
        await core.defer(job, "host_busy")
        await core.time_has_come()
    await core.complete(await core.claim_one(Stage.SCRAPING), content_ref="page")
    await cancelling.cancel(core.pool, "key:a", UUID(job_id))
    rows = await core.pool.fetch(EVENTS, UUID(job_id))
    assert [(row["number"], row["type"]) for row in rows] == [
        *((499, "given_back"), (500, "handed_out"), (501, "advanced"), (502, "cancelled")),
    ]


async def test_reports_at_once_number_their_events_one_after_the_other(core: Core) -> None:
    jobs = [await core.submit(f"http://h{number}.test/") for number in range(6)]
    claimed = await core.claim(Stage.SCRAPING)
    reports = [core.started(job) for job in claimed for _ in range(3)]
    await asyncio.gather(*reports, *(cancelling.cancel(core.pool, "key:a", UUID(job_id)) for job_id in jobs))
    for job_id in jobs:
        assert (await events(core, job_id))[-1]["type"] == "cancelled"


async def test_a_deleted_jobs_events_go_with_it(core: Core) -> None:
    kept, gone = [await core.submit(f"http://h{number}.test/") for number in range(2)]
    await core.pool.execute("DELETE FROM jobs WHERE id = $1", UUID(gone))
    assert {str(row["job_id"]) for row in await core.pool.fetch("SELECT job_id FROM job_events")} == {kept}
