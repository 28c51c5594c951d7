"""Jobs as their owner sees them."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from app.core.dispatch.pipeline import PIPELINE
from app.core.errors import JobNotFoundError
from app.core.jobs.filters import JobFilter, conditions
from app.core.jobs.refusals import DEFINITION, refusal_of
from ml_shared.contracts.cursors import Cursors
from ml_shared.contracts.jobs import (
    ENDED,
    JobCounts,
    JobFailure,
    JobPage,
    JobStatus,
    JobView,
    StageView,
    Waiting,
    WaitingReason,
)
from ml_shared.contracts.values import Timestamp
from ml_shared.names import Stage

# Further back than 1,000 the place in the queue is "about a thousand": counting all of a long queue is not worth it.
_COLUMNS = f"""
jobs.*, {DEFINITION}, leases.phase, leases.expires_at < now() AS lease_over,
(SELECT paused_until > now() FROM stages WHERE stages.stage = jobs.stage) AS stage_paused,
(SELECT holder IS NOT NULL OR next_at > now() FROM lanes WHERE lanes.host = jobs.host) AS host_busy,
CASE WHEN jobs.placement = 'ready' THEN
    (SELECT count(*) FROM (SELECT 1 FROM jobs AS earlier WHERE earlier.stage = jobs.stage
        AND earlier.placement = 'ready' AND earlier.turn < jobs.turn LIMIT 1000) few) END AS position,
ARRAY(SELECT ROW(stage, attempts, started_at, ended_at) FROM job_stages
      WHERE job_stages.owner = jobs.owner AND job_stages.job_id = jobs.id) AS stages
FROM {{}} AS jobs LEFT JOIN leases ON leases.owner = jobs.owner AND leases.job_id = jobs.id
"""  # noqa: S608
_CURSORS: Cursors[tuple[datetime, UUID]] = Cursors("jobs", tuple[Timestamp, UUID])
_ORDER = {definition.stage: position for position, definition in enumerate(PIPELINE)}


async def find(pool: asyncpg.Pool, owner: str, job_id: UUID) -> JobView:
    """Return one job of an owner.

    Raises
    ------
    JobNotFoundError
        If there is none, or it is another owner's.
    """
    row = await pool.fetchrow(f"SELECT {_COLUMNS.format('jobs')} WHERE jobs.owner = $1 AND jobs.id = $2", owner, job_id)
    if row is None:
        raise JobNotFoundError
    return _view(row)


async def find_status(pool: asyncpg.Pool, owner: str, job_id: UUID) -> JobStatus:
    """Return where one job of an owner stands.

    Raises
    ------
    JobNotFoundError
        If there is none, or it is another owner's.
    """
    status = await pool.fetchval("SELECT status FROM jobs WHERE owner = $1 AND id = $2", owner, job_id)
    if status is None:
        raise JobNotFoundError
    return JobStatus(status)


async def find_page(pool: asyncpg.Pool, owner: str, wanted: JobFilter, *, limit: int, cursor: str | None) -> JobPage:
    """Return a page of an owner's jobs, newest first.

    Raises
    ------
    InvalidCursorError
        If the cursor is not one that a page before, with these filters, gave.
    """
    last = _CURSORS.read(cursor, wanted.given())
    statement, arguments = page_statement(owner, wanted, last, limit + 1)
    rows = await pool.fetch(statement, *arguments)
    shown = rows[:limit]
    return JobPage(
        items=[_view(row) for row in shown],
        next_cursor=_CURSORS.write((shown[-1]["submitted_at"], shown[-1]["id"]), wanted.given())
        if len(rows) > limit
        else None,
    )


def page_statement(
    owner: str, wanted: JobFilter, last: tuple[datetime, UUID] | None, limit: int
) -> tuple[str, list[Any]]:
    """Return the statement that reads a page of jobs, and its arguments.

    Each set of filters has a text of its own, so that PostgreSQL plans each by itself.
    """
    texts, arguments = conditions(wanted, first=3)
    after = []
    if last is not None:
        after = [f"(submitted_at, id) < (${len(arguments) + 3}, ${len(arguments) + 4}::uuid)"]
    where = " AND ".join(["owner = $1", *texts, *after])
    page = f"(SELECT * FROM jobs WHERE {where} ORDER BY submitted_at DESC, id DESC LIMIT $2)"  # noqa: S608
    statement = f"SELECT {_COLUMNS.format(page)} ORDER BY jobs.submitted_at DESC, jobs.id DESC"
    return statement, [owner, limit, *arguments, *(last or ())]


def _view(row: Any) -> JobView:
    status = JobStatus(row["status"])
    failure = None
    if status is JobStatus.FAILED:
        failure = JobFailure(
            code=row["error_code"], message=row["error_message"], failed_stage=Stage(row["failed_stage"])
        )
    return JobView(
        job_id=str(row["id"]),
        kind=row["kind"],
        url=row["url"],
        corpus_name=row["corpus_name"],
        status=status,
        outcome=row["outcome"],
        waiting=None if status in ENDED else _waiting(row),
        stages=sorted((_stage_view(*stage) for stage in row["stages"]), key=lambda view: _ORDER[view.stage]),
        counts=JobCounts(
            bytes=row["bytes"],
            chunks=row["chunks"],
            tokens=row["tokens"],
            saved_bytes=row["saved_bytes"],
            saved_chunks=row["saved_chunks"],
        ),
        extraction=row["extraction"],
        error=failure,
        retryable=refusal_of(row) is None,
        metadata=row["metadata"],
        trace_id=row["traceparent"].split("-")[1] if row["traceparent"] else None,
        batch_id=str(row["batch_id"]) if row["batch_id"] else None,
        retry_of=str(row["retry_of"]) if row["retry_of"] else None,
        submitted_at=row["submitted_at"],
        ended_at=row["ended_at"],
    )


def _stage_view(stage: str, attempts: int, started_at: datetime | None, ended_at: datetime | None) -> StageView:
    return StageView(
        stage=Stage(stage),
        attempts=attempts,
        started_at=started_at,
        ended_at=ended_at,
        duration_seconds=(ended_at - started_at).total_seconds() if started_at and ended_at else None,
    )


def _waiting(row: Any) -> Waiting:
    position = None
    match row["placement"]:
        case "leased":
            reason = WaitingReason.RUNNING if row["phase"] == "run" else WaitingReason.QUEUED
            if row["phase"] is None or row["lease_over"]:
                reason = WaitingReason.LEASE
        case "parked":
            # a host that is free to be asked is not what keeps the job: the stage has no free slot
            reason = WaitingReason.HOST_DELAY if row["host_busy"] else WaitingReason.QUEUED
            if row["stage_paused"]:
                reason = WaitingReason.UPSTREAM
        case "waiting":
            reason = WaitingReason.UPSTREAM
        case _:
            reason = WaitingReason.UPSTREAM if row["stage_paused"] else WaitingReason.QUEUED
            position = row["position"]
    return Waiting(reason=reason, since=row["waiting_since"], position=position)
