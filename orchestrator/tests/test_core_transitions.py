"""Fencing, leases and attempts: what a report does, and what it must not do."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import Core

from app.core.dispatch.pipeline import definition_of
from app.core.errors import JobNotFoundError
from app.core.jobs.reading import find
from app.core.jobs.transitions import progress
from ml_shared.contracts.jobs import CallbackStatus, JobStatus, ProgressPhase, ProgressReport, WaitingReason
from ml_shared.names import Stage


async def test_a_job_walks_through_every_stage_and_ends_completed(core: Core) -> None:
    job_id = await core.submit("http://site.test/a")
    scraping = await core.claim_one(Stage.SCRAPING)
    assert await core.started(scraping)
    moved = await core.complete(scraping, content_ref="page", stats={"bytes": 120})
    assert moved.next_stage is Stage.CHUNKING

    chunking = await core.claim_one(Stage.CHUNKING)
    assert chunking.content_ref == "page"
    await core.started(chunking)
    await core.complete(chunking, content_ref="chunks", stats={"chunks": 3, "tokens": 40, "document": {"title": "A"}})

    embedding = await core.claim_one(Stage.EMBEDDING)
    assert (embedding.content_ref, embedding.document) == ("chunks", {"title": "A"})
    assert embedding.as_of is not None
    await core.started(embedding)
    assert await core.started(embedding, ProgressPhase.COMMITTING)
    moved = await core.complete(embedding, stats={"chunks": 3, "tokens": 46})
    assert moved.ended is not None
    assert moved.ended.status is JobStatus.COMPLETED

    job = await find(core.pool, "key:a", (await core.row(job_id))["id"])
    assert job.status is JobStatus.COMPLETED
    assert (job.counts.bytes, job.counts.chunks, job.counts.tokens) == (120, 3, 46)
    assert [(stage.stage, stage.attempts) for stage in job.stages] == [(stage, 1) for stage in Stage]
    assert await core.pool.fetchval("SELECT count(*) FROM leases") == 0
    assert await core.pool.fetchval("SELECT open_jobs FROM owners") == 0


EXTRACTION = {"method": "main part", "kept_share": 0.5, "warnings": ["looks_missing", "little_text"]}


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (EXTRACTION, EXTRACTION),
        ({"method": "new"}, {"method": "new", "kept_share": None, "warnings": []}),
        (
            {**EXTRACTION, "warnings": ["of_a_later_version", "little_text"], "more": 1},
            {**EXTRACTION, "warnings": ["little_text"]},
        ),
        (None, None),
        ("main part", None),
        ({}, None),
        ({**EXTRACTION, "kept_share": 7}, None),
        ({**EXTRACTION, "method": "x" * 61}, None),
        ({**EXTRACTION, "warnings": "little_text"}, None),
    ],
)
async def test_a_job_shows_how_its_text_was_made_as_far_as_that_can_be_understood(
    core: Core, told: Any, shown: Any
) -> None:
    job_id = await core.submit("http://site.test/a")
    job = await core.claim_one(Stage.SCRAPING)
    stats = {"bytes": 120} if told is None else {"bytes": 120, "extraction": told}
    await core.complete(job, content_ref="page", stats=stats)
    view = await find(core.pool, "key:a", (await core.row(job_id))["id"])
    assert (view.extraction.model_dump(mode="json") if view.extraction else None) == shown
    assert view.counts.bytes == 120


async def test_a_second_callback_for_a_finished_stage_changes_nothing(core: Core) -> None:
    await core.submit("http://site.test/a")
    job = await core.claim_one(Stage.SCRAPING)
    await core.complete(job, content_ref="page")
    before = await core.row(job.job_id)
    again = await core.complete(job, status=CallbackStatus.FAILED, error_code="late")
    assert (again.answer.duplicate, again.answer.stale) == (True, False)
    assert await core.row(job.job_id) == before


async def test_a_callback_of_an_earlier_attempt_changes_nothing(core: Core) -> None:
    await core.submit("http://site.test/a")
    first = await core.claim_one(Stage.SCRAPING)
    await core.expire_leases()
    await core.recover()
    second = await core.claim_one(Stage.SCRAPING)
    assert second.attempt_id != first.attempt_id
    before = await core.row(first.job_id)
    late = await core.complete(first, content_ref="old")
    assert (late.answer.stale, late.answer.duplicate) == (True, False)
    assert not await core.started(first), "an earlier attempt's worker is told to abandon"
    assert await core.row(first.job_id) == before
    assert await core.started(second)


async def test_a_callback_that_comes_before_the_dispatchers_next_statement_is_not_lost(core: Core) -> None:
    await core.submit("http://site.test/a")
    job = await core.claim_one(Stage.SCRAPING)
    await core.complete(job, content_ref="page")
    await core.queued(job, queue_epoch="e1", lease_seconds=900)
    row = await core.row(job.job_id)
    assert (row["stage"], row["placement"]) == ("chunking", "ready")
    assert await core.pool.fetchval("SELECT count(*) FROM leases") == 0


async def test_a_start_that_comes_before_the_dispatchers_next_statement_keeps_its_run_lease(core: Core) -> None:
    await core.submit("http://site.test/a")
    job = await core.claim_one(Stage.SCRAPING)
    await core.started(job)
    await core.queued(job, queue_epoch="e1", lease_seconds=900)
    assert await core.pool.fetchval("SELECT phase FROM leases") == "run"


async def test_a_lease_that_ran_out_but_that_nobody_took_over_is_still_good(core: Core) -> None:
    await core.submit("http://site.test/a")
    job = await core.claim_one(Stage.SCRAPING)
    await core.started(job)
    await core.expire_leases()
    await core.recover()
    assert (await core.row(job.job_id))["placement"] == "parked"
    assert await core.started(job, ProgressPhase.RUNNING)
    assert await core.claim(Stage.SCRAPING) == [], "it runs again, so nobody else gets it"
    moved = await core.complete(job, content_ref="page")
    assert moved.next_stage is Stage.CHUNKING


async def test_two_callbacks_at_once_act_once(core: Core) -> None:
    await core.submit("http://site.test/a")
    job = await core.claim_one(Stage.SCRAPING)
    answers = await asyncio.gather(*(core.complete(job, content_ref="page") for _ in range(6)))
    assert sorted(answer.answer.duplicate for answer in answers) == [False] + [True] * 5


async def test_a_job_whose_worker_dies_each_time_fails_after_the_last_attempt(core: Core) -> None:
    job_id = await core.submit("http://site.test/killer")
    for _ in range(4):
        job = await core.claim_one(Stage.SCRAPING)
        assert await core.started(job)
        await core.expire_leases()
        _, failed = await core.recover()
    assert [str(row["id"]) for row, _ in failed] == [job_id]
    row = await core.row(job.job_id)
    assert (row["status"], row["error_code"], row["failed_stage"]) == ("failed", "stage_timeout", "scraping")


async def test_redeliveries_of_one_attempt_count_and_the_one_too_many_is_told_to_abandon(core: Core) -> None:
    await core.submit("http://site.test/killer")
    job = await core.claim_one(Stage.SCRAPING)
    assert [await core.started(job) for _ in range(5)] == [True, True, True, True, False]
    row = await core.row(job.job_id)
    assert (row["status"], row["error_code"]) == ("failed", "stage_timeout")


async def test_a_start_that_comes_twice_at_once_counts_once_and_two_starts_count_twice(core: Core) -> None:
    """Each waits for the other's row; what the first one wrote meanwhile has to be seen by the second."""
    await core.submit("http://site.test/a")
    job = await core.claim_one(Stage.SCRAPING)

    async def start(start_id: str) -> bool:
        report = ProgressReport(
            attempt_id=str(job.attempt_id), stage=job.stage, phase=ProgressPhase.STARTED, start_id=start_id
        )
        answer, _ = await progress(core.pool, job.job_id, definition_of(job.stage), report, core.limits)
        return answer is not None

    assert all(await asyncio.gather(*(start("delivery-1") for _ in range(6))))
    assert await core.pool.fetchval("SELECT attempts FROM job_stages") == 1
    assert all(await asyncio.gather(*(start("delivery-2") for _ in range(6))))
    assert await core.pool.fetchval("SELECT attempts FROM job_stages") == 2


async def test_a_start_and_an_end_at_once_leave_the_job_where_the_end_put_it(core: Core) -> None:
    for number in range(10):
        await core.submit(f"http://host{number}.test/")
    jobs = await core.claim(Stage.SCRAPING)
    ends = await asyncio.gather(
        *(work for job in jobs for work in (core.started(job), core.complete(job, content_ref="page")))
    )
    assert all(moved.next_stage is Stage.CHUNKING for moved in ends[1::2])
    assert await core.pool.fetchval("SELECT count(*) FROM leases") == 0
    rows = await core.pool.fetch("SELECT DISTINCT stage, placement FROM jobs WHERE stage <> 'scraping'")
    assert [tuple(row) for row in rows] == [("chunking", "ready")]


async def test_what_was_lost_before_a_start_counts_nothing(core: Core) -> None:
    await core.submit("http://site.test/a")
    for round_ in range(8):
        job = await core.claim_one(Stage.SCRAPING)
        await core.queued(job, queue_epoch=f"e{round_}", lease_seconds=900)
        await core.expire_leases()
        released, failed = await core.recover()
        assert (len(released), failed) == (1, [])
    assert await core.started(await core.claim_one(Stage.SCRAPING))


async def test_a_run_lease_is_never_renewed_past_the_stages_deadline(core: Core) -> None:
    await core.submit("http://site.test/slow")
    short = core.with_limits(run_lease_seconds=60, stage_deadline_seconds=30)
    job = await short.claim_one(Stage.SCRAPING)
    await short.started(job)
    left = await core.pool.fetchval("SELECT extract(epoch FROM expires_at - now())::float8 FROM leases")
    assert left <= 30
    await core.pool.execute("UPDATE leases SET deadline_at = now()")
    assert not await short.started(job, ProgressPhase.RUNNING)


async def test_a_lease_that_is_taken_up_again_keeps_the_attempts_own_deadline(core: Core) -> None:
    await core.submit("http://site.test/slow")
    job = await core.claim_one(Stage.SCRAPING)
    await core.started(job)
    await core.expire_leases()
    await core.recover()
    # the longest that a stage may take is an hour, of which a minute is left
    began = await core.pool.fetchval(
        "UPDATE job_stages SET started_at = now() - interval '59 minutes' RETURNING started_at"
    )
    assert await core.started(job, ProgressPhase.RUNNING)
    assert await core.pool.fetchval("SELECT deadline_at FROM leases") == began + timedelta(hours=1)
    await core.expire_leases()
    await core.recover()
    await core.pool.execute("UPDATE job_stages SET started_at = now() - interval '2 hours'")
    assert not await core.started(job, ProgressPhase.RUNNING)


@pytest.mark.parametrize("code", ["host_busy", "endpoint_rate_limited", "endpoint_unavailable", "store_unavailable"])
async def test_a_deferral_that_did_nothing_gives_the_attempt_back(core: Core, code: str) -> None:
    await core.submit("http://site.test/a")
    for _ in range(6):
        job = await core.claim_one(Stage.SCRAPING)
        await core.started(job)
        await core.defer(job, code, retry_after_seconds=60)
        assert await core.claim(Stage.SCRAPING) == []
        await core.time_has_come()
    assert (await core.row(job.job_id))["status"] == "queued"


async def test_a_deferral_of_an_upstreams_making_counts_and_the_last_one_fails_with_its_reason(core: Core) -> None:
    await core.submit("http://site.test/a")
    for _ in range(4):
        job = await core.claim_one(Stage.SCRAPING)
        await core.started(job)
        await core.defer(job, "upstream_error", error_message="503 each time", retry_after_seconds=5)
        await core.time_has_come()
    row = await core.row(job.job_id)
    assert (row["status"], row["error_code"], row["error_message"]) == ("failed", "upstream_error", "503 each time")


async def test_what_a_worker_asks_to_wait_is_held_to_an_hour(core: Core) -> None:
    await core.submit("http://site.test/a")
    job = await core.claim_one(Stage.SCRAPING)
    await core.started(job)
    await core.defer(job, "upstream_error", retry_after_seconds=1e9)
    row = await core.row(job.job_id)
    assert timedelta(minutes=59) < row["not_before"] - datetime.now(UTC) < timedelta(minutes=61)
    view = await find(core.pool, "key:a", job.job_id)
    assert view.waiting is not None
    assert view.waiting.reason is WaitingReason.UPSTREAM


async def test_a_stage_deferred_for_more_than_a_day_in_all_fails_with_its_last_reason(core: Core) -> None:
    await core.submit("http://site.test/a")
    job = await core.claim_one(Stage.SCRAPING)
    await core.started(job)
    await core.defer(job, "host_busy")
    await core.time_has_come()
    await core.pool.execute("UPDATE job_stages SET first_deferred_at = now() - interval '25 hours'")
    job = await core.claim_one(Stage.SCRAPING)
    await core.started(job)
    await core.defer(job, "host_busy", error_message="still busy")
    row = await core.row(job.job_id)
    assert (row["status"], row["error_code"]) == ("failed", "host_busy")


async def test_missing_content_sends_the_job_back_to_scraping(core: Core) -> None:
    await core.submit("http://site.test/a")
    await core.complete(await core.claim_one(Stage.SCRAPING), content_ref="page")
    chunking = await core.claim_one(Stage.CHUNKING)
    await core.started(chunking)
    await core.defer(chunking, "content_missing")
    again = await core.claim_one(Stage.SCRAPING)
    assert again.job_id == chunking.job_id


async def test_an_ended_job_never_moves(core: Core) -> None:
    await core.submit("http://site.test/a")
    job = await core.claim_one(Stage.SCRAPING)
    await core.complete(job, status=CallbackStatus.FAILED, error_code="http_status", error_message="404")
    before = await core.row(job.job_id)
    assert before["status"] == "failed"
    assert (await core.complete(job, content_ref="x")).answer.duplicate
    assert not await core.started(job)
    await core.recover()
    assert await core.row(job.job_id) == before


async def test_a_callback_for_no_job_is_not_found(core: Core) -> None:
    await core.submit("http://site.test/a")
    job = await core.claim_one(Stage.SCRAPING)
    await core.pool.execute("DELETE FROM jobs")
    with pytest.raises(JobNotFoundError):
        await core.complete(job)
