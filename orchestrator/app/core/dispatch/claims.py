"""Handing out: what a pass takes, and what becomes of it when the stage has answered.

A pass of a stage holds an advisory lock for the moment of claiming, so that the stage's limit is exact; it commits before
it calls anyone. (Called before the commit, a fast callback finds no row to update.)
"""

from collections.abc import Sequence
from typing import Any

import asyncpg

from app.core.dispatch.hand_outs import HandOut
from app.core.dispatch.pipeline import StageDefinition, behind
from app.core.dispatch.placement import Ended, by_lane, drop_lease, end, make_runnable
from ml_shared.contracts.jobs import JobStatus
from ml_shared.names import Stage

MATURE_BATCH = 500
# how many waiting jobs one pass makes runnable at most
LANE_BATCH = 500
# how many hosts' lanes one pass opens at most

_STAGE_LOCK = "SELECT pg_advisory_xact_lock(hashtext('stage'), hashtext($1))"
_MATURE = """
SELECT owner, id, host, tag FROM jobs
WHERE placement = 'waiting' AND not_before <= now() AND stage = $1
ORDER BY not_before LIMIT $2 FOR UPDATE SKIP LOCKED
"""
_FREE_SLOTS = "SELECT count(*) FROM leases WHERE stage = $1"
_STAGE_STATE = """
SELECT coalesce(paused_until > now(), false) AS paused,
       (SELECT count(*) FROM (SELECT 1 FROM jobs WHERE placement <> 'ended' AND stage = ANY($2) LIMIT $3) few) AS behind
FROM stages WHERE stage = $1
"""
# Two statements, for the second one's snapshot has to be younger than the lanes' locks: a job that was parked while the
# first one waited is seen, one that is parked later marks the lane as occupied again. A job that a report has locked is
# passed over, for the report may want the lane next; it keeps the lane occupied.
_FREE_LANES = """
SELECT host FROM lanes WHERE occupied AND holder IS NULL AND next_at <= now()
ORDER BY head_tag LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_OPEN_LANES = """
WITH heads AS MATERIALIZED (
    SELECT free.host, head.owner, head.id, head.tag FROM unnest($2::text[]) AS free(host) LEFT JOIN LATERAL (
        SELECT owner, id, tag FROM jobs
        WHERE placement = 'parked' AND host = free.host AND stage = $1 ORDER BY tag LIMIT 1 FOR UPDATE SKIP LOCKED
    ) head ON true
), turns AS MATERIALIZED (
    SELECT heads.owner, heads.id, GREATEST(coalesce(last_turn, 0), virtual_time)
        + row_number() OVER (PARTITION BY heads.owner ORDER BY heads.tag) / weight AS turn
    FROM heads JOIN owners ON owners.owner = heads.owner JOIN stages ON stages.stage = $1
    LEFT JOIN owner_turns ON owner_turns.owner = heads.owner AND owner_turns.stage = $1
), remembered AS (
    INSERT INTO owner_turns (owner, stage, last_turn) SELECT owner, $1, max(turn) FROM turns GROUP BY owner
    ON CONFLICT (owner, stage) DO UPDATE SET last_turn = excluded.last_turn
), readied AS (
    UPDATE jobs SET placement = 'ready', turn = turns.turn FROM turns
    WHERE jobs.owner = turns.owner AND jobs.id = turns.id AND jobs.placement = 'parked'
    RETURNING jobs.id
)
UPDATE lanes SET holder = heads.id, head_tag = coalesce(heads.tag, head_tag),
    occupied = EXISTS (SELECT 1 FROM jobs WHERE placement = 'parked' AND host = heads.host AND stage = $1)
FROM heads WHERE lanes.host = heads.host
"""
_CLAIM = """
WITH picked AS MATERIALIZED (
    SELECT owner, id FROM jobs WHERE stage = $1 AND placement = 'ready' ORDER BY turn LIMIT $2 FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE jobs SET placement = 'leased', status = $3, attempt_id = gen_random_uuid(), attempt_open = true,
        committing = false, waiting_since = now()
    FROM picked WHERE jobs.owner = picked.owner AND jobs.id = picked.id
    RETURNING jobs.*
), leased AS (
    INSERT INTO leases (owner, job_id, stage, attempt_id, phase, expires_at)
    SELECT owner, id, stage, attempt_id, 'dispatch', now() + make_interval(secs => $4) FROM claimed
), counted AS (
    UPDATE stages SET virtual_time = GREATEST(virtual_time, (SELECT max(turn) FROM claimed))
    WHERE stage = $1 AND EXISTS (SELECT 1 FROM claimed)
)
SELECT claimed.*, job_stages.trace_parent AS earlier_traceparent FROM claimed
LEFT JOIN job_stages ON job_stages.owner = claimed.owner AND job_stages.job_id = claimed.id AND job_stages.stage = $1
ORDER BY claimed.turn
"""
_QUEUED = """
UPDATE leases SET phase = 'queue', expires_at = now() + make_interval(secs => $3), queue_epoch = $4
WHERE owner = $1 AND attempt_id = $2 AND phase = 'dispatch'
"""
_END_PAUSE = """
UPDATE stages SET pauses = 0, paused_until = NULL, pause_reason = NULL WHERE stage = $1 AND pauses > 0
"""
_EPOCH_IS_NEW = "SELECT queue_epoch IS DISTINCT FROM $2 FROM stages WHERE stage = $1"
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
    pool: asyncpg.Pool, definition: StageDefinition, *, in_flight: int, high_water: int, lease_seconds: float
) -> list[HandOut]:
    """Claim as many jobs of a stage as it has free slots, in fair order, each under a new attempt.

    Nothing is claimed while the stage is paused, or while `high_water` jobs or more are behind it.
    """
    stage = definition.stage
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(_STAGE_LOCK, stage)
        state = await connection.fetchrow(_STAGE_STATE, stage, behind(stage), high_water)
        if state is None or state["paused"] or state["behind"] >= high_water:
            return []
        for job in by_lane(await connection.fetch(_MATURE, stage, MATURE_BATCH)):
            await make_runnable(connection, job, stage)
        free = in_flight - await connection.fetchval(_FREE_SLOTS, stage)
        if free <= 0:
            return []
        if definition.by_host:
            # all that are free, not just as many as there are slots: whose turn it is shows among all of them
            hosts = [row["host"] for row in await connection.fetch(_FREE_LANES, LANE_BATCH)]
            await connection.execute(_OPEN_LANES, stage, hosts)
        rows = await connection.fetch(_CLAIM, stage, free, definition.status, lease_seconds)
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
            document=row["document"],
            content_ref=row["content_ref"],
            as_of=row["as_of"],
            submitted_at=row["submitted_at"],
            traceparent=row["traceparent"],
            earlier_traceparent=row["earlier_traceparent"],
        )
        for row in rows
    ]


async def note_dispatch(pool: asyncpg.Pool, hand_out: HandOut, traceparent: str | None) -> None:
    """Keep the hand-out's own span, so that a later attempt's can link to it."""
    await pool.execute(_NOTE_DISPATCH, hand_out.owner, hand_out.job_id, hand_out.stage, traceparent)


async def queued(pool: asyncpg.Pool, hand_out: HandOut, *, queue_epoch: str | None, lease_seconds: float) -> int:
    """Turn the dispatch lease into a queue lease, unless a report came first.

    An epoch that was not seen before means that the queue was wiped: what was queued under another one is made runnable
    at once.

    Returns
    -------
    int
        How many jobs a wipe had taken.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(_QUEUED, hand_out.owner, hand_out.attempt_id, lease_seconds, queue_epoch)
        lost = []
        if queue_epoch is not None and await connection.fetchval(_EPOCH_IS_NEW, hand_out.stage, queue_epoch):
            lost = by_lane(await connection.fetch(_OF_ANOTHER_EPOCH, hand_out.stage, queue_epoch))
            for job in lost:
                await release(connection, job, hand_out.stage)
            await connection.execute(_KEEP_EPOCH, hand_out.stage, queue_epoch)
        await connection.execute(_END_PAUSE, hand_out.stage)
    return len(lost)


async def answered(pool: asyncpg.Pool, stage: Stage) -> None:
    """End the pause of a stage that answered, and let the next one be short again."""
    await pool.execute(_END_PAUSE, stage)


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
