"""Taking back what was lost: leases that ran out, lanes that nobody holds, content that nobody needs."""

import logging
from typing import Any, Final

import asyncpg

from app.core.dispatch.claims import release
from app.core.dispatch.placement import Ended
from app.core.jobs.transitions import Limits, fail_lost
from ml_shared.names import Stage

logger = logging.getLogger(__name__)

RECOVERY_BATCH: Final = 200
# leases taken back at one look; the rest waits for the next, seconds later

PROBE_AFTER_SECONDS: Final = 30.0
PROBE_INTERVAL_SECONDS: Final = 60.0
# a stage in which everything waits and nothing runs may have lost its queue; one hand-out a minute finds that out

_PROBE = """
WITH quiet AS (
    UPDATE stages SET probed_at = now() FROM (
        SELECT stage FROM leases GROUP BY stage
        HAVING bool_and(phase = 'queue') AND min(expires_at) < now() + make_interval(secs => $1)
    ) waiting
    WHERE stages.stage = waiting.stage
      AND coalesce(probed_at, '-infinity') < now() - make_interval(secs => $2)
    RETURNING stages.stage
)
UPDATE leases SET expires_at = now() - interval '1 second' FROM (
    SELECT DISTINCT ON (stage) owner, job_id FROM leases JOIN quiet USING (stage) ORDER BY stage, expires_at
) oldest
WHERE leases.owner = oldest.owner AND leases.job_id = oldest.job_id AND phase = 'queue'
"""
_EXPIRED = "SELECT owner, job_id FROM leases WHERE expires_at < now() ORDER BY expires_at LIMIT $1"
_TAKE_BACK = """
SELECT jobs.owner, jobs.id, jobs.host, jobs.tag, leases.stage, leases.phase, job_stages.attempts, jobs.traceparent
FROM leases JOIN jobs ON jobs.owner = leases.owner AND jobs.id = leases.job_id
LEFT JOIN job_stages ON job_stages.owner = leases.owner AND job_stages.job_id = leases.job_id
    AND job_stages.stage = leases.stage
WHERE leases.owner = $1 AND leases.job_id = $2 AND leases.expires_at < now() FOR UPDATE OF jobs, leases SKIP LOCKED
"""
# a holder that neither is ready nor holds a lease holds nothing: nothing in the code leaves one, a crash might
_FREE_DEAD_LANES = """
UPDATE lanes SET holder = NULL WHERE holder IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM jobs WHERE jobs.id = lanes.holder AND jobs.host = lanes.host AND jobs.placement IN ('ready', 'leased')
)
"""


async def recover(
    pool: asyncpg.Pool, limits: Limits, *, queue_lease_seconds: float
) -> tuple[list[Any], list[tuple[Any, Ended]]]:
    """Take back leases that ran out: the job is runnable again, or failed if it had all its attempts.

    A wiped queue shows at the next hand-out, by its epoch. Where every job of a stage waits in its queue there is none,
    so the oldest one's lease ends early: handed out again, it brings the others back if the queue was wiped, and else
    its first message is a superseded attempt, which a worker drops.

    Parameters
    ----------
    queue_lease_seconds
        How long a queue lease lasts; what is left of one tells since when its job waits.

    Returns
    -------
    released, failed
        Rows of (owner, id, stage, phase); those of failed jobs with their end.
    """
    released: list[Any] = []
    failed: list[tuple[Any, Ended]] = []
    async with pool.acquire() as connection:
        await connection.execute(_PROBE, queue_lease_seconds - PROBE_AFTER_SECONDS, PROBE_INTERVAL_SECONDS)
        for lease in await connection.fetch(_EXPIRED, RECOVERY_BATCH):
            # a transaction a job: one for all would hold lanes while it waits for owners, whom a submission locks first
            async with connection.transaction():
                job = await connection.fetchrow(_TAKE_BACK, lease["owner"], lease["job_id"])
                if job is None:
                    continue
                ended = None
                if job["phase"] == "run" and (job["attempts"] or 0) >= limits.max_attempts:
                    ended = await fail_lost(connection, job, Stage(job["stage"]), limits)
                else:
                    await release(connection, job, Stage(job["stage"]))
            if ended is not None:
                failed.append((job, ended))
            else:
                released.append(job)
        await connection.execute(_FREE_DEAD_LANES)
    return released, failed


def log_recovered(released: list[Any], failed: list[tuple[Any, Ended]]) -> None:
    """Write a line for each lease that ran out: with the job's trace, so that it is found beside the job's spans."""
    for job in released:
        logger.warning("lease_expired", extra=_fields(job))
    for job, _ in failed:
        logger.error("attempts_lost", extra=_fields(job))


def _fields(job: Any) -> dict[str, Any]:
    return {
        "job_id": str(job["id"]),
        "failed_stage": job["stage"],
        "lease_phase": job["phase"],
        "attempts": job["attempts"] or 0,
        "job_trace_id": job["traceparent"].split("-")[1] if job["traceparent"] else None,
    }


async def seconds_to_next_lane(pool: asyncpg.Pool) -> float | None:
    """Return in how many seconds a host with waiting jobs may be asked again, or `None` if no job waits for that."""
    seconds: float | None = await pool.fetchval(
        """SELECT extract(epoch FROM min(next_at) - now())::float8 FROM lanes
           WHERE occupied AND holder IS NULL AND next_at > now()"""
    )
    return seconds
