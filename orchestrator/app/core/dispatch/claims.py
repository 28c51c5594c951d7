"""Handing out: what a pass takes, and what becomes of it when the stage has answered.

A pass of a stage holds an advisory lock for the moment of claiming, so that the stage's limit is exact; it commits before
it calls anyone. (Called before the commit, a fast callback finds no row to update.)
"""

from collections.abc import Sequence
from typing import Any

import asyncpg

from app.core.dispatch.hand_outs import KNOWN_KINDS, HandOut
from app.core.dispatch.pipeline import FIRST, StageDefinition, behind
from app.core.dispatch.placement import Ended, by_lane, drop_lease, end, make_runnable, waiting_status
from ml_shared.contracts.jobs import JobStatus
from ml_shared.contracts.scraping import Render
from ml_shared.names import Stage

MATURE_BATCH = 500
# how many waiting jobs one pass makes runnable at most
LANE_BATCH = 500
# how many hosts' lanes one pass opens at most

_CLAIM = "SELECT * FROM hand_out_jobs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
# The first span of a hand-out is noted once it is under way: a later attempt's links to it.
_QUEUED = """
WITH handed AS (
    SELECT * FROM unnest($4::text[], $5::uuid[], $6::uuid[], $7::text[]) AS handed(owner, job_id, attempt_id, trace_parent)
), noted AS (
    INSERT INTO job_stages (owner, job_id, stage, trace_parent) SELECT owner, job_id, $1, trace_parent FROM handed
    ON CONFLICT (owner, job_id, stage) DO UPDATE SET trace_parent = excluded.trace_parent
    RETURNING job_id
), queued AS (
    UPDATE leases SET phase = 'queue', expires_at = now() + make_interval(secs => $2), queue_epoch = $3
    FROM handed
    WHERE leases.owner = handed.owner AND leases.attempt_id = handed.attempt_id AND phase = 'dispatch'
      AND (SELECT count(*) FROM noted) > 0  -- first: a report locks these two tables in this order
)
SELECT $3::text IS NOT NULL AND queue_epoch IS DISTINCT FROM $3 AS wiped, pauses > 0 AS paused FROM stages WHERE stage = $1
"""
_END_PAUSE = """
UPDATE stages SET pauses = 0, paused_until = NULL, pause_reason = NULL WHERE stage = $1 AND pauses > 0
"""
_KEEP_EPOCH = "UPDATE stages SET queue_epoch = $2 WHERE stage = $1"
_OF_ANOTHER_EPOCH = """
SELECT jobs.owner, jobs.id, jobs.host, jobs.tag FROM jobs JOIN leases ON leases.owner = jobs.owner AND leases.job_id = jobs.id
WHERE leases.stage = $1 AND leases.phase = 'queue' AND leases.queue_epoch IS DISTINCT FROM $2
FOR UPDATE OF jobs SKIP LOCKED
"""
_STILL_DISPATCHING = """
SELECT jobs.owner, jobs.id, jobs.host, jobs.tag FROM jobs
WHERE owner = $1 AND id = $2 AND attempt_id = $3 AND attempt_open AND placement = 'leased'
  AND EXISTS (SELECT 1 FROM leases WHERE owner = $1 AND attempt_id = $3 AND phase = 'dispatch')
FOR UPDATE
"""
_PAUSE = """
UPDATE stages SET pauses = pauses + 1, pause_reason = $2,
    paused_until = now() + make_interval(secs => LEAST($3 * power(2, LEAST(pauses, 10)), $4) * (0.75 + random() / 2))
WHERE stage = $1 AND coalesce(paused_until, now()) <= now()
RETURNING extract(epoch FROM paused_until - now())::float8
"""
_NOTE_DISPATCH = """
INSERT INTO job_stages (owner, job_id, stage, trace_parent) VALUES ($1, $2, $3, $4)
ON CONFLICT (owner, job_id, stage) DO UPDATE SET trace_parent = excluded.trace_parent
"""


async def ensure_stages(connection: Any, stages: Sequence[Stage]) -> None:
    """Give each stage of the pipeline its row."""
    await connection.executemany(
        "INSERT INTO stages (stage) VALUES ($1) ON CONFLICT DO NOTHING", [(stage,) for stage in stages]
    )


async def claim(
    pool: asyncpg.Pool,
    definition: StageDefinition,
    *,
    in_flight: int,
    high_water: int,
    lease_seconds: float,
    deadline_seconds: float | None = None,
) -> list[HandOut]:
    """Claim as many jobs of a stage as it has free slots, in fair order, each under a new attempt.

    Nothing is claimed while the stage is paused, or while `high_water` jobs or more are behind it.

    Parameters
    ----------
    deadline_seconds
        Of a stage that whoever claims its jobs runs itself: they are started at once, under a lease of that phase.
    """
    stage = definition.stage
    rows = await pool.fetch(
        _CLAIM,
        *(stage, definition.status, definition.by_host, waiting_status(definition), behind(stage), high_water),
        *(in_flight, lease_seconds, MATURE_BATCH, LANE_BATCH, deadline_seconds, definition is FIRST, KNOWN_KINDS),
    )
    return [
        HandOut(
            owner=row["owner"],
            job_id=row["id"],
            attempt_id=row["attempt_id"],
            stage=stage,
            url=row["url"],
            host=row["host"],
            corpus_name=row["corpus_name"],
            metadata=row["metadata"],
            chunking=row["chunking"],
            render=Render(row["render"]),
            document=row["document"],
            content_ref=row["content_ref"],
            as_of=row["as_of"],
            submitted_at=row["submitted_at"],
            traceparent=row["traceparent"],
            earlier_traceparent=row["earlier_traceparent"],
            attempts=row["attempts"],
            again=row["again"],
            kind=row["kind"],
            upload=row["upload"],
            known=row["known"],
            unchanged=row["unchanged"],
            chunking_hash=row["chunking_hash"],
        )
        for row in rows
    ]


async def note_dispatch(pool: asyncpg.Pool, hand_out: HandOut, traceparent: str | None) -> None:
    """Keep the hand-out's own span, so that a later attempt's can link to it."""
    await pool.execute(_NOTE_DISPATCH, hand_out.owner, hand_out.job_id, hand_out.stage, traceparent)


async def queued(
    pool: asyncpg.Pool,
    stage: Stage,
    handed: Sequence[tuple[HandOut, str | None]],
    *,
    queue_epoch: str | None,
    lease_seconds: float,
) -> int:
    """Turn dispatch leases into queue leases, unless a report came first, and keep the hand-outs' own spans.

    An epoch that was not seen before means that the queue was wiped: what was queued under another one is made runnable
    at once.

    Parameters
    ----------
    handed
        Jobs of the stage that its queue took in that life of its, each with its hand-out's `traceparent`.

    Returns
    -------
    int
        How many jobs a wipe had taken.
    """
    in_order = sorted(handed, key=lambda each: (each[0].owner, each[0].job_id))  # as everybody locks several
    columns = zip(*((job.owner, job.job_id, job.attempt_id, told) for job, told in in_order), strict=True)
    told = await pool.fetchrow(_QUEUED, stage, lease_seconds, queue_epoch, *map(list, columns))
    if told is None or not (told["wiped"] or told["paused"]):
        return 0
    lost = []
    async with pool.acquire() as connection, connection.transaction():
        if told["wiped"]:
            lost = by_lane(await connection.fetch(_OF_ANOTHER_EPOCH, stage, queue_epoch))
            for job in lost:
                await release(connection, job, stage)
            await connection.execute(_KEEP_EPOCH, stage, queue_epoch)
        await connection.execute(_END_PAUSE, stage)
    return len(lost)


async def release(connection: Any, job: Any, stage: Stage) -> None:
    """Take a lease back and make its job runnable. The attempt stays open: until someone takes over, it is still good."""
    await drop_lease(connection, job)
    await make_runnable(connection, job, stage)
    # its lane is left as well, or it would wait for itself
    await connection.execute("UPDATE lanes SET holder = NULL WHERE host = $1 AND holder = $2", job["host"], job["id"])


async def give_back(
    pool: asyncpg.Pool, hand_out: HandOut, *, reason: str, base_seconds: float, most_seconds: float
) -> float | None:
    """Undo a claim that reached nobody, and pause the stage: one outage does not walk through the backlog.

    Returns
    -------
    float or None
        Seconds that the stage now pauses, or `None` if it was paused already.
    """
    async with pool.acquire() as connection, connection.transaction():
        job = await connection.fetchrow(_STILL_DISPATCHING, hand_out.owner, hand_out.job_id, hand_out.attempt_id)
        if job is not None:
            await release(connection, job, hand_out.stage)
        seconds: float | None = await connection.fetchval(_PAUSE, hand_out.stage, reason, base_seconds, most_seconds)
    return seconds


async def reject(pool: asyncpg.Pool, hand_out: HandOut, *, code: str, message: str) -> Ended | None:
    """Fail a job that its stage will never take. Returns its end, or `None` if it was not this attempt's to fail."""
    async with pool.acquire() as connection, connection.transaction():
        job = await connection.fetchrow(_STILL_DISPATCHING, hand_out.owner, hand_out.job_id, hand_out.attempt_id)
        if job is None:
            return None
        return await end(connection, job, JobStatus.FAILED, code=code, message=message, failed_stage=hand_out.stage)
