"""Taking in jobs: one transaction, however many."""

import hashlib
import uuid
from typing import Any

import asyncpg
import orjson

from app.core.dispatch.pipeline import FIRST
from app.core.dispatch.placement import make_runnable
from app.core.errors import IdempotencyInProgressError, IdempotencyKeyReusedError, TooManyOpenJobsError
from app.core.metrics import JOBS_SUBMITTED
from ml_shared.contracts.jobs import JobAccepted, JobRequest, JobStatus
from ml_shared.web.urls import host_of, normalise_url

IDEMPOTENCY_WAIT = "2s"
# how long a repeat waits for the first request to end
TOO_MANY_RETRY_AFTER_SECONDS = 30.0

_RESERVE_TAGS = """
INSERT INTO owners AS o (owner, last_tag, open_jobs)
VALUES ($1, (SELECT coalesce(max(virtual_time), 0) FROM stages WHERE stage = $2) + $3, $3)
ON CONFLICT (owner) DO UPDATE SET
    last_tag = GREATEST(o.last_tag, (SELECT coalesce(max(virtual_time), 0) FROM stages WHERE stage = $2))
               + $3 / o.weight,
    open_jobs = o.open_jobs + $3
RETURNING last_tag, open_jobs
"""
_INSERT_JOB = """
INSERT INTO jobs (owner, id, url, host, corpus_name, metadata, chunking, stage, placement, tag, traceparent)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'ready', $9, $10)
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
    async with pool.acquire() as connection, connection.transaction():
        if idempotency_key is not None:
            body_hash = _body_hash(request)
            await connection.execute(f"SET LOCAL lock_timeout = '{IDEMPOTENCY_WAIT}'")
            try:
                async with connection.transaction():  # a savepoint: a time-out must not spoil the rest
                    first = await connection.fetchval(
                        _CLAIM_KEY, owner, "jobs", idempotency_key, body_hash, accepted.model_dump(mode="json")
                    )
            except asyncpg.LockNotAvailableError as error:
                raise IdempotencyInProgressError(
                    "the first request with this Idempotency-Key is still under way; repeat it later"
                ) from error
            if first is None:
                return await _repeated(connection, owner, idempotency_key, body_hash)
        tags = await connection.fetchrow(_RESERVE_TAGS, owner, FIRST.stage, 1)
        if tags["open_jobs"] > max_open_jobs:
            raise TooManyOpenJobsError(
                f"you have {max_open_jobs} unfinished jobs, the most there may be; submit more as they end",
                retry_after_seconds=TOO_MANY_RETRY_AFTER_SECONDS,
            )
        url = normalise_url(request.url)
        job = {"owner": owner, "id": job_id, "host": host_of(url), "tag": tags["last_tag"]}
        await connection.execute(
            _INSERT_JOB,
            owner,
            job_id,
            request.url,
            job["host"],
            request.corpus_name,
            request.metadata,
            request.chunking.model_dump(mode="json", exclude_unset=False),
            FIRST.stage,
            job["tag"],
            traceparent,
        )
        await make_runnable(connection, job, FIRST.stage)
    JOBS_SUBMITTED.inc()
    return accepted
