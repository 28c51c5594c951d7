"""Where an unfinished job is, and moving it: each function is part of a transaction that its caller has open.

Rows are locked in one order everywhere, so that no two transactions wait for each other: jobs, then owners, then lanes,
then stages. Whoever moves several jobs in one transaction takes them `by_lane`, and ends none.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.core.dispatch.pipeline import definition_of
from ml_shared.contracts.jobs import JobStatus
from ml_shared.names import Stage

_PLACE = """
UPDATE jobs SET stage = $3, status = $4, placement = $5, not_before = $6, waiting_since = now()
WHERE owner = $1 AND id = $2
"""
_OCCUPY_LANE = """
INSERT INTO lanes (host, head_tag) VALUES ($1, $2)
ON CONFLICT (host) DO UPDATE SET
    occupied = true,
    head_tag = CASE WHEN lanes.occupied THEN LEAST(lanes.head_tag, excluded.head_tag) ELSE excluded.head_tag END
"""
_LEAVE_LANE = """
UPDATE lanes SET
    holder = CASE WHEN holder = $2 THEN NULL ELSE holder END,
    next_at = GREATEST(next_at, coalesce($3::timestamptz, next_at))
WHERE host = $1
"""
_END = """
UPDATE jobs SET
    status = $3, placement = 'ended', not_before = NULL, attempt_open = false, committing = false,
    ended_at = now(), waiting_since = now(), error_code = $4, error_message = $5, failed_stage = $6
WHERE owner = $1 AND id = $2
RETURNING extract(epoch FROM now() - submitted_at)::float8 AS seconds
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended, and how many seconds after it was submitted."""

    status: JobStatus
    seconds: float
    code: str | None = None
    failed_stage: Stage | None = None


def by_lane(jobs: Iterable[Any]) -> list[Any]:
    """Return jobs in the order in which their lanes are locked."""
    return sorted(jobs, key=lambda job: job["host"])


async def drop_lease(connection: Any, job: Any) -> None:
    """Remove the job's lease, if it has one."""
    await connection.execute("DELETE FROM leases WHERE owner = $1 AND job_id = $2", job["owner"], job["id"])


async def leave_lane(connection: Any, job: Any, next_at: datetime | None = None) -> None:
    """Free the host's lane if this job holds it, and move the time before which the host is left alone."""
    await connection.execute(_LEAVE_LANE, job["host"], job["id"], next_at)


async def make_runnable(connection: Any, job: Any, stage: Stage) -> None:
    """Put a job where the next pass of a stage finds it: ready, or parked in its host's lane."""
    definition = definition_of(stage)
    waiting_status = JobStatus.QUEUED if definition.by_host else definition.status
    placement = "parked" if definition.by_host else "ready"
    await connection.execute(_PLACE, job["owner"], job["id"], stage, waiting_status, placement, None)
    if definition.by_host:
        await connection.execute(_OCCUPY_LANE, job["host"], job["tag"])


async def make_wait(connection: Any, job: Any, stage: Stage, until: datetime) -> None:
    """Let a job wait until a time; the pass after it makes it runnable."""
    definition = definition_of(stage)
    status = JobStatus.QUEUED if definition.by_host else definition.status
    await connection.execute(_PLACE, job["owner"], job["id"], stage, status, "waiting", until)


async def end(
    connection: Any,
    job: Any,
    status: JobStatus,
    *,
    code: str | None = None,
    message: str | None = None,
    failed_stage: Stage | None = None,
) -> Ended:
    """End a job: nothing moves it afterwards."""
    seconds = await connection.fetchval(_END, job["owner"], job["id"], status, code, message, failed_stage)
    await connection.execute("UPDATE owners SET open_jobs = open_jobs - 1 WHERE owner = $1", job["owner"])
    await drop_lease(connection, job)
    await leave_lane(connection, job)
    return Ended(status, seconds, code, failed_stage)
