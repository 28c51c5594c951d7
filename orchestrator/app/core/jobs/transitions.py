"""What a worker's report does to a job.

Every report is fenced: one conditional update finds the job in the stage and under the attempt that the report names, or
nothing changes. The same attempt twice is a duplicate, another attempt is stale; both are answered, neither acts.
"""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
from pydantic import ValidationError

from app.core.crawls.taking import CrawledPage, hash_elsewhere, take_links
from app.core.dispatch.hand_outs import HandOut, attempt_of
from app.core.dispatch.pipeline import FIRST, LAST, StageDefinition, after
from app.core.dispatch.placement import (
    Ended,
    drop_lease,
    end,
    leave_lane,
    make_runnable,
    make_wait,
    waiting_status,
)
from app.core.errors import JobNotFoundError
from ml_shared.contracts.embedding import PageOutcome
from ml_shared.contracts.jobs import (
    CallbackAnswer,
    CallbackStatus,
    JobStatus,
    ProgressAnswer,
    ProgressReport,
    StageCallback,
)
from ml_shared.contracts.looks import Look
from ml_shared.contracts.scraping import Extraction
from ml_shared.names import Stage

GIVEN_BACK: Final = frozenset(
    {
        "host_busy",
        "endpoint_rate_limited",
        "endpoint_unavailable",
        "pacing_unavailable",
        "store_unavailable",
        "stage_unavailable",
    }
)
# the stage did nothing with the attempt, so it does not count
CONTENT_MISSING: Final = "content_missing"
HOST_BUSY: Final = "host_busy"
STAGE_TIMEOUT: Final = "stage_timeout"
RETRY_SECONDS: Final = (1.0, 3600.0)
# what a worker asks for is held to this
BACKOFF_BASE_SECONDS: Final = 5.0

_CLOSE_ATTEMPT = """
UPDATE jobs SET attempt_open = false, committing = false
WHERE id = $1 AND stage = $2 AND attempt_id = $3 AND attempt_open AND placement <> 'ended'
RETURNING owner, id, host, tag, url, content_ref, unchanged
"""
_KNOWN = """
SELECT jobs.owner, job_stages.finished_attempt FROM jobs
LEFT JOIN job_stages ON job_stages.owner = jobs.owner AND job_stages.job_id = jobs.id AND job_stages.stage = $2
WHERE jobs.id = $1
"""
_FINISH_STAGE = """
INSERT INTO job_stages AS s (owner, job_id, stage, ended_at, finished_attempt, trace_parent)
VALUES ($1, $2, $3, now(), $4, $5)
ON CONFLICT (owner, job_id, stage) DO UPDATE SET
    ended_at = now(), finished_attempt = $4, trace_parent = coalesce($5, s.trace_parent)
RETURNING attempts, started_at, extract(epoch FROM ended_at - started_at)::float8 AS seconds
"""
_DEFER_STAGE = """
UPDATE job_stages SET first_deferred_at = coalesce(first_deferred_at, now()), attempts = GREATEST(attempts - $4, 0)
WHERE owner = $1 AND job_id = $2 AND stage = $3
RETURNING extract(epoch FROM now() - first_deferred_at)::float8 AS deferred_seconds, attempts
"""
_PROGRESS = "SELECT verdict, ended_seconds FROM report_progress($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
_SUCCESS = """
SELECT attempts, run_seconds, ended_seconds, next_stage, saved_bytes
FROM take_success($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)
"""
_TAKE_PAGE = """
SELECT attempts, run_seconds, ended_seconds, next_stage, saved_bytes
FROM take_page($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
    $24, $25)
"""
# what is known of the page is not of its document: it is fetched, and counts as if nothing were known of it
_START_AFRESH = "UPDATE jobs SET afresh = true, unchanged = false, known = NULL WHERE owner = $1 AND id = $2"
_ACCEPTED: Final = "accepted"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long leases last, and how often is enough.

    Attributes
    ----------
    run_lease_seconds, stage_deadline_seconds, max_deferred_seconds
        Durations in seconds.
    max_attempts
        Attempts of a stage that a worker may start.
    """

    run_lease_seconds: float
    stage_deadline_seconds: float
    max_deferred_seconds: float
    max_attempts: int


@dataclass(frozen=True, slots=True)
class StageRun:
    """An attempt that has ended: how, after how many seconds (`None` if it never said that it started), as which one."""

    stage: Stage
    outcome: CallbackStatus
    seconds: float | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Saved:
    """What a completed job came to, and what it did not cost: bytes that were not fetched, chunks that were not embedded."""

    outcome: PageOutcome | None
    bytes: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Transition:
    """What a report did.

    Attributes
    ----------
    answer
        For the worker.
    next_stage
        The stage that now has a job more to hand out, if one has.
    ended
        How the job ended, if it did.
    stage_run
        The attempt that the report ended, if it did.
    saved
        What the job came to, if it is completed.
    """

    answer: CallbackAnswer
    next_stage: Stage | None = None
    ended: Ended | None = None
    stage_run: StageRun | None = None
    saved: Saved | None = None


async def _answer_late(connection: Any, job_id: UUID, stage: Stage, attempt_id: UUID) -> Transition:
    known = await connection.fetchrow(_KNOWN, job_id, stage)
    if known is None:
        raise JobNotFoundError
    if known["finished_attempt"] == attempt_id:
        return Transition(CallbackAnswer(duplicate=True))
    return Transition(CallbackAnswer(stale=True))


async def complete(
    pool: asyncpg.Pool,
    job_id: UUID,
    definition: StageDefinition,
    callback: StageCallback,
    limits: Limits,
    *,
    traceparent: str | None = None,
    crawled: CrawledPage | None = None,
) -> Transition:
    """Take a stage's result: the job moves on, waits, or ends.

    Parameters
    ----------
    traceparent
        Of a stage that runs in the pass itself: the hand-out's own span, which `queued` keeps of the others.
    crawled
        What the first stage's result means for the run that the job is of, if it is of one.

    Raises
    ------
    JobNotFoundError
        If there is no such job.
    """
    stage, attempt_id = definition.stage, attempt_of(callback.attempt_id)
    if callback.status is CallbackStatus.SUCCESS and crawled is not None:
        return await _take_page(pool, job_id, definition, callback, attempt_id, crawled)
    if callback.status is CallbackStatus.SUCCESS:
        return await _succeed(pool, job_id, definition, callback, attempt_id, traceparent)
    async with pool.acquire() as connection, connection.transaction():
        job = await connection.fetchrow(_CLOSE_ATTEMPT, job_id, stage, attempt_id)
        if job is None:
            return await _answer_late(connection, job_id, stage, attempt_id)
        progress = await connection.fetchrow(_FINISH_STAGE, job["owner"], job_id, stage, attempt_id, traceparent)
        await drop_lease(connection, job)
        if callback.status is CallbackStatus.DEFERRED:
            moved = await _defer(connection, job, definition, callback, limits)
        else:
            moved = await _fail(connection, job, stage, callback)
        return replace(
            moved, stage_run=StageRun(stage, callback.status, progress["seconds"], max(progress["attempts"], 1))
        )


async def _succeed(
    pool: asyncpg.Pool,
    job_id: UUID,
    definition: StageDefinition,
    callback: StageCallback,
    attempt_id: UUID,
    traceparent: str | None,
) -> Transition:
    following, stats = after(definition.stage), callback.stats
    first = definition.stage is FIRST.stage
    look = _look(stats) if first else None
    document = look.document if look else stats.get("document")
    outcome, saved_chunks = (None, None) if following else (_outcome(stats), _count(stats, "reused"))
    done = await pool.fetchrow(
        _SUCCESS,
        *(job_id, definition.stage, attempt_id, first, definition.by_host, definition.read_answer is not None),
        callback.host_next_at,
        *((following.stage, waiting_status(following), following.by_host) if following else (None, None, False)),
        *(callback.content_ref, _count(stats, "bytes"), _extraction(stats) if first else None),
        *((None, None) if first else (_count(stats, "chunks"), _count(stats, "tokens"))),
        *(document if isinstance(document, dict) else None, traceparent),
        look.model_dump(mode="json", exclude={"document"}) if look else None,
        *(LAST.stage, waiting_status(LAST), outcome, saved_chunks, stats.get("superseded") is True),
    )
    if done is None:
        return await _answer_late(pool, job_id, definition.stage, attempt_id)
    return Transition(
        CallbackAnswer(),
        next_stage=Stage(done["next_stage"]) if done["next_stage"] else None,
        ended=None if following else Ended(JobStatus.COMPLETED, done["ended_seconds"]),
        stage_run=StageRun(definition.stage, callback.status, done["run_seconds"], max(done["attempts"], 1)),
        saved=None if following else Saved(outcome, done["saved_bytes"] or 0, saved_chunks or 0),
    )


async def _take_page(
    pool: asyncpg.Pool,
    job_id: UUID,
    definition: StageDefinition,
    callback: StageCallback,
    attempt_id: UUID,
    page: CrawledPage,
) -> Transition:
    """Take a page of a run: as any, unless it is not to be indexed; and what it leads to is in the frontier with it."""
    following, stats = after(definition.stage), callback.stats
    look = _look(stats) or Look(not_modified=page.not_modified)
    async with pool.acquire() as connection, connection.transaction():
        done = await connection.fetchrow(
            _TAKE_PAGE,
            *(job_id, definition.stage, attempt_id, definition.by_host, callback.host_next_at),
            *((following.stage, waiting_status(following), following.by_host) if following else (None, None, False)),
            *(callback.content_ref, _count(stats, "bytes"), _extraction(stats)),
            *(page.crawl_id, page.run, page.url_hash, page.index, page.reason, page.detail),
            *(hash_elsewhere(page), page.elsewhere, page.content_hash, page.not_modified),
            *(look.document, look.model_dump(mode="json", exclude={"document"}), LAST.stage, waiting_status(LAST)),
        )
        if done is None:
            return await _answer_late(connection, job_id, definition.stage, attempt_id)
        await take_links(connection, page)
    ended = done["ended_seconds"] is not None
    return Transition(
        CallbackAnswer(),
        next_stage=Stage(done["next_stage"]) if done["next_stage"] else None,
        ended=Ended(JobStatus.COMPLETED, done["ended_seconds"], searchable=False) if ended else None,
        stage_run=StageRun(definition.stage, callback.status, done["run_seconds"], max(done["attempts"], 1)),
    )


def _count(stats: dict[str, Any], name: str) -> int | None:
    value = stats.get(name)
    return value if type(value) is int and 0 <= value < 2**31 else None  # a boolean is an int to isinstance


def _extraction(stats: dict[str, Any]) -> dict[str, Any] | None:
    """Return how the page's text was made, if a scraper that tells it told it."""
    try:
        return Extraction.model_validate(stats.get("extraction")).model_dump(mode="json")
    except ValidationError:
        return None


def _look(stats: dict[str, Any]) -> Look | None:
    """Return what a scraper tells of a page beside the page, if it is one that tells it."""
    try:
        return Look.model_validate(stats.get("look"))
    except ValidationError:
        return Look(not_modified=True) if stats.get("not_modified") is True else None


def _outcome(stats: dict[str, Any]) -> PageOutcome | None:
    try:
        return PageOutcome(str(stats.get("outcome")))
    except ValueError:
        return None  # of an embedding service that does not tell it, or that did nothing


async def _fail(connection: Any, job: Any, stage: Stage, callback: StageCallback) -> Transition:
    ended = await end(
        connection,
        job,
        JobStatus.FAILED,
        code=callback.error_code or "unknown_error",
        message=callback.error_message or "the stage gave no reason",
        failed_stage=stage,
    )
    await leave_lane(connection, job, callback.host_next_at)
    return Transition(CallbackAnswer(), ended=ended)


async def _defer(
    connection: Any, job: Any, definition: StageDefinition, callback: StageCallback, limits: Limits
) -> Transition:
    code = callback.error_code or "upstream_error"
    missing = code == CONTENT_MISSING and definition.stage is not FIRST.stage
    # a touch that finds another document than was expected has done its work
    counted = code not in GIVEN_BACK and not (missing and job["unchanged"])
    progress = await connection.fetchrow(_DEFER_STAGE, job["owner"], job["id"], definition.stage, 0 if counted else 1)
    if progress["deferred_seconds"] > limits.max_deferred_seconds or (
        counted and progress["attempts"] >= limits.max_attempts
    ):
        return await _fail(connection, job, definition.stage, callback)
    if missing:
        # not a failure: what was kept is gone, or is not what stands in the corpus, so the page is fetched again
        await connection.execute(_START_AFRESH, job["owner"], job["id"])
        await make_runnable(connection, job, FIRST.stage)
        return Transition(CallbackAnswer(), next_stage=FIRST.stage)
    seconds = callback.retry_after_seconds
    if seconds is None:
        seconds = BACKOFF_BASE_SECONDS * 2.0 ** min(progress["attempts"], 8) * random.uniform(0.75, 1.25)  # noqa: S311
    until = datetime.now(UTC) + timedelta(seconds=min(max(seconds, RETRY_SECONDS[0]), RETRY_SECONDS[1]))
    if definition.by_host and code == HOST_BUSY:
        # the host is what has to wait, and it does so once, not once a job
        await make_runnable(connection, job, definition.stage)
        await leave_lane(connection, job, callback.host_next_at or until)
    else:
        await make_wait(connection, job, definition.stage, until, code)
        if definition.by_host:
            await leave_lane(connection, job, callback.host_next_at)
    return Transition(CallbackAnswer())


async def progress(
    pool: asyncpg.Pool,
    job_id: UUID,
    definition: StageDefinition,
    report: ProgressReport,
    limits: Limits,
) -> tuple[ProgressAnswer | None, Transition]:
    """Take a sign of life: start the run lease, renew it, or announce the write.

    Returns
    -------
    answer, transition
        `None` as the answer tells the worker to abandon; the transition says whether that ended the job.
    """
    told = await pool.fetchrow(
        _PROGRESS,
        *(job_id, definition.stage, definition.status, attempt_of(report.attempt_id), report.phase, report.start_id),
        *(limits.run_lease_seconds, limits.stage_deadline_seconds, limits.max_attempts),
        *(STAGE_TIMEOUT, _lost_message(limits), None, definition.by_host),
    )
    if told["verdict"] == _ACCEPTED:
        return ProgressAnswer(lease_seconds=limits.run_lease_seconds), Transition(CallbackAnswer())
    if told["ended_seconds"] is None:
        return None, Transition(CallbackAnswer())
    ended = Ended(JobStatus.FAILED, told["ended_seconds"], STAGE_TIMEOUT, definition.stage)
    return None, Transition(CallbackAnswer(), ended=ended)


def _lost_message(limits: Limits) -> str:
    return f"{limits.max_attempts} attempts were started and none reported an end"


async def exhausted(pool: asyncpg.Pool, job: HandOut, limits: Limits) -> Ended | None:
    """End a job that was claimed and started once too often. Returns its end, or `None` if it is another attempt's by now."""
    async with pool.acquire() as connection, connection.transaction():
        found = await connection.fetchrow(_CLOSE_ATTEMPT, job.job_id, job.stage, job.attempt_id)
        return None if found is None else await fail_lost(connection, found, job.stage, limits)


async def fail_lost(connection: Any, job: Any, stage: Stage, limits: Limits) -> Ended:
    """End a job whose attempts were all lost."""
    return await end(
        connection,
        job,
        JobStatus.FAILED,
        code=STAGE_TIMEOUT,
        message=_lost_message(limits),
        failed_stage=stage,
    )
