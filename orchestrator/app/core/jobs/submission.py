"""Taking in jobs: one transaction, however many."""

import hashlib
import uuid
from typing import Any

import asyncpg
import orjson

from app.core.dispatch.pipeline import FIRST
from app.core.errors import IdempotencyInProgressError, IdempotencyKeyReusedError, TooManyOpenJobsError
from app.core.metrics import JOBS_SUBMITTED
from ml_shared.contracts.jobs import JobAccepted, JobRequest, JobStatus
from ml_shared.web.urls import host_of, normalise_url

IDEMPOTENCY_WAIT = "2s"
# how long a repeat waits for the first request to end
TOO_MANY_RETRY_AFTER_SECONDS = 30.0

# One statement: the owner's row is locked by every submission of his and by the end of every job, and no longer than this.
_SUBMIT = """
WITH reserved AS (
    INSERT INTO owners AS o (owner, last_tag, open_jobs)
    VALUES ($1, (SELECT coalesce(max(virtual_time), 0) FROM stages WHERE stage = $9) + 1, 1)
    ON CONFLICT (owner) DO UPDATE SET
        last_tag = GREATEST(o.last_tag, (SELECT coalesce(max(virtual_time), 0) FROM stages WHERE stage = $9))
                   + 1 / o.weight,
        open_jobs = o.open_jobs + 1
    WHERE o.open_jobs < $11
    RETURNING last_tag
), job AS (
    INSERT INTO jobs (owner, id, url, host, corpus_name, metadata, chunking, traceparent, stage, placement, tag)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, CASE WHEN $10 THEN 'parked' ELSE 'ready' END, last_tag FROM reserved
    RETURNING host, tag
), lane AS (
    INSERT INTO lanes (host, head_tag) SELECT host, tag FROM job WHERE $10
    ON CONFLICT (host) DO UPDATE SET
        occupied = true,
        head_tag = CASE WHEN lanes.occupied THEN LEAST(lanes.head_tag, excluded.head_tag) ELSE excluded.head_tag END
)
SELECT count(*) FROM reserved
"""
_CLAIM_KEY = """
INSERT INTO idempotency_keys (owner, route, key, body_hash, answer) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (owner, route, key) DO NOTHING RETURNING key
"""


def _body_hash(request: JobRequest) -> str:
    return hashlib.sha256(orjson.dumps(request.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)).hexdigest()


async def _repeated(connection: Any, owner: str, key: str, body_hash: str) -> JobAccepted:
    row = await connection.fetchrow(
        "SELECT body_hash, answer FROM idempotency_keys WHERE owner = $1 AND route = 'jobs' AND key = $2", owner, key
    )
    if row["body_hash"] != body_hash:
        raise IdempotencyKeyReusedError("this Idempotency-Key came with another body before; use a new key")
    return JobAccepted.model_validate(row["answer"])


async def _claim_key(connection: Any, owner: str, key: str, body_hash: str, accepted: JobAccepted) -> bool:
    """Take a key for the first request that has it; a request that comes meanwhile waits for that one's end."""
    await connection.execute(f"SET LOCAL lock_timeout = '{IDEMPOTENCY_WAIT}'")
    try:
        async with connection.transaction():  # a savepoint: a time-out must not spoil the rest
            first = await connection.fetchval(
                _CLAIM_KEY, owner, "jobs", key, body_hash, accepted.model_dump(mode="json")
            )
    except asyncpg.LockNotAvailableError as error:
        raise IdempotencyInProgressError(
            "the first request with this Idempotency-Key is still under way; repeat it later"
        ) from error
    return first is not None


def _check_taken(taken: int, max_open_jobs: int) -> None:
    if not taken:
        raise TooManyOpenJobsError(
            f"you have {max_open_jobs} unfinished jobs, the most there may be; submit more as they end",
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
    job_id = uuid.uuid4()
    accepted = JobAccepted(job_id=str(job_id), status=JobStatus.QUEUED)
    url = normalise_url(request.url)
    arguments = (
        *(owner, job_id, request.url, host_of(url), request.corpus_name, request.metadata),
        request.chunking.model_dump(mode="json", exclude_unset=False),
        *(traceparent, FIRST.stage, FIRST.by_host, max_open_jobs),
    )
    if idempotency_key is None:
        taken = await pool.fetchval(_SUBMIT, *arguments)
    else:
        async with pool.acquire() as connection, connection.transaction():
            body_hash = _body_hash(request)
            if not await _claim_key(connection, owner, idempotency_key, body_hash, accepted):
                return await _repeated(connection, owner, idempotency_key, body_hash)
            taken = await connection.fetchval(_SUBMIT, *arguments)
            _check_taken(taken, max_open_jobs)  # within: what was refused leaves no key
    _check_taken(taken, max_open_jobs)
    JOBS_SUBMITTED.inc()
    return accepted
