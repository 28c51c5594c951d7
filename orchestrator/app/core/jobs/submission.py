"""Taking in jobs: one transaction, however many."""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from pydantic import BaseModel

from app.core.dispatch.pipeline import FIRST
from app.core.errors import TooManyOpenJobsError
from app.core.jobs.idempotency import claim_key
from app.core.jobs.ids import new_id
from app.core.metrics import JOBS_SUBMITTED
from ml_shared.contracts.jobs import JobAccepted, JobKind, JobRequest, JobStatus
from ml_shared.web.urls import host_of, normalise_url

ROUTE: Final = "jobs"
TOO_MANY_RETRY_AFTER_SECONDS = 30.0

# One statement: the owner's row is locked by every submission of his and by the end of every job, and no longer than this.
_SUBMIT = """
WITH reserved AS (
    INSERT INTO owners AS o (owner, last_tag, open_jobs)
    VALUES ($1, (SELECT coalesce(max(virtual_time), 0) FROM stages WHERE stage = $10) + 1, 1)
    ON CONFLICT (owner) DO UPDATE SET
        last_tag = GREATEST(o.last_tag, (SELECT coalesce(max(virtual_time), 0) FROM stages WHERE stage = $10))
                   + 1 / o.weight,
        open_jobs = o.open_jobs + 1
    WHERE o.open_jobs < $12
    RETURNING last_tag
), job AS (
    INSERT INTO jobs (
        owner, id, url, document_url, host, corpus_name, metadata, chunking, render, traceparent, stage, placement, tag, afresh,
        kind, upload
    )
    SELECT $1, $2, $3, NULLIF($13, $3), $4, $5, $6, $7, $8, $9, $10, CASE WHEN $11 THEN 'parked' ELSE 'ready' END, last_tag, $14,
        $15, $16
    FROM reserved
    RETURNING host, tag
), lane AS (
    INSERT INTO lanes (host, head_tag) SELECT host, tag FROM job WHERE $11
    ON CONFLICT (host) DO UPDATE SET
        occupied = true,
        head_tag = CASE WHEN lanes.occupied THEN LEAST(lanes.head_tag, excluded.head_tag) ELSE excluded.head_tag END
)
SELECT count(*) FROM reserved
"""


def check_taken(taken: int, max_open_jobs: int) -> None:
    """Refuse what did not fit beside an owner's unfinished jobs.

    Raises
    ------
    TooManyOpenJobsError
        If nothing was taken in.
    """
    if not taken:
        raise TooManyOpenJobsError(
            f"you may have {max_open_jobs} unfinished jobs, and would have more; submit them as others end",
            retry_after_seconds=TOO_MANY_RETRY_AFTER_SECONDS,
        )


async def submit(
    pool: asyncpg.Pool,
    owner: str,
    request: JobRequest,
    *,
    traceparent: str | None,
    idempotency_key: str | None,
    max_open_jobs: int,
) -> JobAccepted:
    """Insert a job, runnable at once.

    Raises
    ------
    TooManyOpenJobsError
        If the owner has `max_open_jobs` unfinished ones already.
    IdempotencyKeyReusedError, IdempotencyInProgressError
        If the key came with another body, or its first request is still under way after two seconds.
    """
    job_id = new_id()
    accepted = JobAccepted(job_id=str(job_id), status=JobStatus.QUEUED)
    url = normalise_url(request.url)
    arguments = (
        *(owner, job_id, request.url, host_of(url), request.corpus_name, request.metadata),
        request.chunking.model_dump(mode="json", exclude_unset=False),
        *(request.render, traceparent, FIRST.stage, FIRST.by_host, max_open_jobs, url, request.force),
        *(JobKind.PAGE, None),
    )
    return await insert_job(pool, owner, request, accepted, arguments, ROUTE, idempotency_key, max_open_jobs)


async def insert_job(
    pool: asyncpg.Pool,
    owner: str,
    request: BaseModel,
    accepted: JobAccepted,
    arguments: Sequence[Any],
    route: str,
    idempotency_key: str | None,
    max_open_jobs: int,
) -> JobAccepted:
    """Insert one job, and its `Idempotency-Key` where it has one; raise as `submit` does.

    Returns
    -------
    JobAccepted
        The given one, or that of the first request with this key.
    """
    if idempotency_key is None:
        taken = await pool.fetchval(_SUBMIT, *arguments)
    else:
        async with pool.acquire() as connection, connection.transaction():
            earlier = await claim_key(connection, owner, route, idempotency_key, request, accepted)
            if earlier is not None:
                return earlier
            taken = await connection.fetchval(_SUBMIT, *arguments)
            check_taken(taken, max_open_jobs)  # within: what was refused leaves no key
    check_taken(taken, max_open_jobs)
    JOBS_SUBMITTED.inc()
    return accepted
