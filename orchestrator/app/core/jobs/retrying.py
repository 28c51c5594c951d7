"""Trying again: an ended job never moves, so what is tried again is a new job, which names the one that it is for.

A repeat finds that new one. Whoever tries a job again has its row locked meanwhile, so that two at once make one.
"""

from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.errors import BatchNotFoundError, JobNotFoundError, NotRetryableError
from app.core.jobs.batches import insert_traced
from app.core.jobs.ids import new_id, new_ids
from app.core.jobs.inserting import Asked, NewBatch, NewJob, insert_jobs
from app.core.jobs.refusals import DEFINITION, refusal_of
from app.core.jobs.removing import insert_removals
from ml_shared.contracts.batches import BatchJob, BatchRetried
from ml_shared.contracts.jobs import JobKind, JobRetried, JobStatus
from ml_shared.contracts.scraping import Render

_LOCK_JOB: Final = f"""
SELECT id, url, document_url, host, status, kind, corpus_name, crawl_id, run, metadata, chunking, render, afresh, as_of, {DEFINITION}
FROM jobs WHERE owner = $1 AND id = $2 FOR NO KEY UPDATE
"""  # noqa: S608
_RETRY_OF_JOB = "SELECT id, status FROM jobs WHERE owner = $1 AND retry_of = $2"
_LOCK_FAILED = """
SELECT 1 FROM jobs WHERE owner = $1 AND batch_id = $2 AND status = 'failed' ORDER BY id FOR NO KEY UPDATE
"""
# a statement after the locks: one that waited for them would not see what was tried again meanwhile
_FAILED = """
SELECT id, url, document_url, host, corpus_name, metadata, chunking, render, afresh FROM jobs
WHERE owner = $1 AND batch_id = $2 AND status = 'failed'
  AND NOT EXISTS (SELECT 1 FROM jobs AS again WHERE again.owner = $1 AND again.retry_of = jobs.id)
ORDER BY tag
"""
_RETRIES_OF_BATCH = """
SELECT id, batch_id, url FROM jobs WHERE owner = $1 AND batch_id = (
    SELECT id FROM batches WHERE owner = $1 AND retry_of = $2 ORDER BY submitted_at DESC, id DESC LIMIT 1)
ORDER BY tag
"""


async def retry(
    pool: asyncpg.Pool, owner: str, job_id: UUID, *, traceparent: str | None, max_open_jobs: int
) -> tuple[JobRetried, bool]:
    """Try a failed or cancelled job again, as a new one.

    Returns
    -------
    JobRetried, bool
        The answer, and whether the job is new: a repeat gets the one that there is, as it stands by now.

    Raises
    ------
    JobNotFoundError
        If there is none, or it is another owner's.
    NotRetryableError
        If it has not ended, or has completed, or means something to its run or from its upload only.
    TooManyOpenJobsError
        If the owner has `max_open_jobs` unfinished ones already.
    """
    async with pool.acquire() as connection, connection.transaction():
        old = await connection.fetchrow(_LOCK_JOB, owner, job_id)
        if old is None:
            raise JobNotFoundError
        known = await connection.fetchrow(_RETRY_OF_JOB, owner, job_id)
        if known is not None:
            return _retried(known["id"], job_id, JobStatus(known["status"])), False
        if (refusal := refusal_of(old)) is not None:
            raise NotRetryableError(refusal)
        new = NewJob(new_id(), old["url"], old["host"], traceparent, job_id, old["document_url"])
        if old["kind"] == JobKind.REMOVE:
            # as of then: the page may have come back since
            await insert_removals(
                connection,
                owner,
                old["corpus_name"],
                [new],
                crawl_id=old["crawl_id"],
                run=old["run"],
                as_of=old["as_of"],
            )
        else:
            await insert_jobs(connection, owner, [new], _asked(old), max_open_jobs=max_open_jobs)
    return _retried(new.id, job_id, JobStatus.QUEUED), True


async def retry_batch(
    pool: asyncpg.Pool, owner: str, batch_id: UUID, *, max_open_jobs: int
) -> tuple[BatchRetried, bool]:
    """Try again what failed of a batch and was not tried again yet, as a new batch.

    Returns
    -------
    BatchRetried, bool
        The answer, and whether the batch is new: a repeat gets the last one, as long as nothing more has failed.

    Raises
    ------
    BatchNotFoundError
        If there is none, or it is another owner's.
    NotRetryableError
        If nothing of it has failed.
    TooManyOpenJobsError
        If the owner would have more than `max_open_jobs` unfinished jobs.
    """
    async with pool.acquire() as connection, connection.transaction():
        if not await connection.fetchval(
            "SELECT 1 FROM batches WHERE owner = $1 AND id = $2 FOR UPDATE", owner, batch_id
        ):
            raise BatchNotFoundError
        await connection.execute(_LOCK_FAILED, owner, batch_id)
        failed = await connection.fetch(_FAILED, owner, batch_id)
        if not failed:
            return await _retried_before(connection, owner, batch_id), False
        batch = NewBatch(new_id(), batch_id)
        jobs = [
            NewJob(job_id, old["url"], old["host"], None, old["id"], old["document_url"])
            for job_id, old in zip(new_ids(len(failed)), failed, strict=True)
        ]
        await insert_traced(connection, owner, jobs, _asked(failed[0]), max_open_jobs=max_open_jobs, batch=batch)
    told = [BatchJob(job_id=str(job.id), url=job.url) for job in jobs]
    return BatchRetried(batch_id=str(batch.id), retry_of=str(batch_id), jobs=told), True


async def _retried_before(connection: Any, owner: str, batch_id: UUID) -> BatchRetried:
    jobs = await connection.fetch(_RETRIES_OF_BATCH, owner, batch_id)
    if not jobs:
        raise NotRetryableError("nothing of this batch has failed that was not tried again")
    told = [BatchJob(job_id=str(job["id"]), url=job["url"]) for job in jobs]
    return BatchRetried(batch_id=str(jobs[0]["batch_id"]), retry_of=str(batch_id), jobs=told)


def _retried(new: UUID, old: UUID, status: JobStatus) -> JobRetried:
    return JobRetried(job_id=str(new), status=status, retry_of=str(old))


def _asked(old: Any) -> Asked:
    """Return what was asked of a job: jobs of one batch were asked the same."""
    return Asked(old["corpus_name"], old["metadata"], old["chunking"], Render(old["render"]), old["afresh"])
