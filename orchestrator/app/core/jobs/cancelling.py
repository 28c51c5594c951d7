"""Cancelling: at once in PostgreSQL, whatever a job is at. A worker that has it hears so at its next sign of life.

One thing can't be cancelled: what an embedding worker is just writing. It said `committing`, and that conditional update and
the one here are after the same row: either loses. If that worker is lost, it may have written all the same, or write still: not
until the job is handed out again is it certain that nothing of this attempt counts.
"""

import asyncio
from typing import Final
from uuid import UUID

import asyncpg

from app.core.dispatch.pipeline import FIRST
from app.core.errors import AlreadyEndedError, BatchNotFoundError, CommittingError, JobNotFoundError
from ml_shared.contracts.jobs import ENDED, JobStatus

AT_ONCE: Final = 500
# jobs of one transaction: some tens of milliseconds, for which their lanes and their owner's row are locked
LOOKS: Final = 3
LOOK_SECONDS: Final = 0.05
# for jobs that somebody was just moving; what is left then, the recovery finds

_STANDING = "SELECT status, committing AND attempt_open AS committing FROM jobs WHERE owner = $1 AND id = $2"
_ASK = """
UPDATE batches SET cancel_asked_at = coalesce(cancel_asked_at, now()), cancel_open = true WHERE owner = $1 AND id = $2
RETURNING id
"""
_CLOSE = """
UPDATE batches SET cancel_open = false WHERE owner = $1 AND id = $2 AND NOT EXISTS (
    SELECT 1 FROM jobs WHERE owner = $1 AND batch_id = $2 AND placement <> 'ended')
RETURNING id
"""

_TO_CANCEL = "SELECT owner, id FROM batches WHERE cancel_open ORDER BY cancel_asked_at LIMIT 100"


async def cancel(pool: asyncpg.Pool, owner: str, job_id: UUID) -> bool:
    """Cancel a job of an owner; say whether it was not cancelled yet.

    Raises
    ------
    JobNotFoundError
        If there is none, or it is another owner's.
    CommittingError
        If its result is being written, or was when its worker was lost.
    AlreadyEndedError
        If it has completed or failed.
    """
    if await pool.fetchval("SELECT cancel_job($1, $2, $3)", owner, job_id, FIRST.stage):
        return True
    row = await pool.fetchrow(_STANDING, owner, job_id)
    if row is None:
        raise JobNotFoundError
    status = JobStatus(row["status"])
    if status is JobStatus.CANCELLED:
        return False
    if status not in ENDED:
        raise CommittingError
    raise AlreadyEndedError(f"the job has {status}; what has ended never moves")


async def cancel_batch(pool: asyncpg.Pool, owner: str, batch_id: UUID) -> int:
    """Cancel what is unfinished of a batch; return how many jobs that were.

    That it is to be cancelled is written first. Should this process end in the middle, `go_on` finishes it, and so it does
    with what is just being written, should that come to nothing.

    Raises
    ------
    BatchNotFoundError
        If there is none, or it is another owner's.
    """
    if await pool.fetchval(_ASK, owner, batch_id) is None:
        raise BatchNotFoundError
    cancelled = 0
    for look in range(LOOKS):
        if look:
            await asyncio.sleep(LOOK_SECONDS)
        cancelled += await _cancel_free(pool, owner, batch_id)
        if await pool.fetchval(_CLOSE, owner, batch_id) is not None:
            break
    return cancelled


async def go_on(pool: asyncpg.Pool) -> int:
    """Cancel what is left of batches that are to be cancelled; return how many jobs that were."""
    cancelled = 0
    for batch in await pool.fetch(_TO_CANCEL):
        cancelled += await _cancel_free(pool, batch["owner"], batch["id"])
        await pool.execute(_CLOSE, batch["owner"], batch["id"])
    return cancelled


async def _cancel_free(pool: asyncpg.Pool, owner: str, batch_id: UUID) -> int:
    """Cancel every job of a batch that nobody is moving, some at a time, each time in a transaction of its own."""
    cancelled = 0
    while count := await pool.fetchval("SELECT cancel_some($1, $2, $3, $4)", owner, batch_id, FIRST.stage, AT_ONCE):
        cancelled += count
    return cancelled
