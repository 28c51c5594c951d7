"""Where an unfinished job is, and moving it: each function is part of a transaction that its caller has open.

Rows are locked in one order everywhere, so that no two transactions wait for each other: jobs, then owners, then lanes,
then stages. Whoever moves several jobs in one transaction takes them `by_lane`, and ends none. What moves a job is a
function of the database (`migrations/0004_transitions.sql`), so that a move is one call.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.core.dispatch.pipeline import StageDefinition, definition_of
from ml_shared.contracts.jobs import JobStatus
from ml_shared.names import Stage

_WAIT = """
UPDATE jobs SET stage = $3, status = $4, placement = 'waiting', not_before = $5, waiting_since = now(), put_off_code = $6
WHERE owner = $1 AND id = $2
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended, and how many seconds after it was submitted; `searchable`: whether its page can be found now."""

    status: JobStatus
    seconds: float
    code: str | None = None
    failed_stage: Stage | None = None
    searchable: bool = True


def by_lane(jobs: Iterable[Any]) -> list[Any]:
    """Return jobs in the order in which their lanes are locked: by code point, as SQL does it by `COLLATE "C"`."""
    return sorted(jobs, key=lambda job: job["host"])


async def drop_lease(connection: Any, job: Any) -> None:
    """Remove the job's lease, if it has one."""
    await connection.execute("DELETE FROM leases WHERE owner = $1 AND job_id = $2", job["owner"], job["id"])


async def leave_lane(connection: Any, job: Any, next_at: datetime | None = None) -> None:
    """Free the host's lane if this job holds it, and move the time before which the host is left alone."""
    await connection.execute("SELECT leave_lane($1, $2, $3)", job["host"], job["id"], next_at)


def waiting_status(definition: StageDefinition) -> JobStatus:
    """Return the status of a job that waits for a stage: one that waits for a host is in none yet."""
    return JobStatus.QUEUED if definition.by_host else definition.status


async def make_runnable(connection: Any, job: Any, stage: Stage) -> None:
    """Put a job where the next pass of a stage finds it: ready, or parked in its host's lane."""
    definition = definition_of(stage)
    await connection.execute(
        "SELECT make_runnable($1, $2, $3, $4, $5, $6, $7)",
        *(job["owner"], job["id"], job["host"], job["tag"], stage, waiting_status(definition), definition.by_host),
    )


async def make_wait(connection: Any, job: Any, stage: Stage, until: datetime, code: str) -> None:
    """Let a job wait until a time, for the reason of that code; the pass after it makes it runnable."""
    status = waiting_status(definition_of(stage))
    await connection.execute(_WAIT, job["owner"], job["id"], stage, status, until, code)


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
    seconds = await connection.fetchval(
        "SELECT end_job($1, $2, $3, $4, $5, $6, $7)",
        *(job["owner"], job["id"], job["host"], status, code, message, failed_stage),
    )
    return Ended(status, seconds, code, failed_stage)
