"""Batches: several URLs taken in as one, and how far they are."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.errors import BatchNotFoundError
from app.core.jobs.idempotency import claim_key
from app.core.jobs.ids import new_id, new_ids
from app.core.jobs.inserting import Asked, NewBatch, NewJob, insert_jobs
from app.core.jobs.roots import open_roots
from ml_shared.contracts.batches import (
    BatchAccepted,
    BatchCounts,
    BatchPage,
    BatchRequest,
    BatchView,
)
from ml_shared.contracts.cursors import Cursors
from ml_shared.contracts.jobs import JobStatus
from ml_shared.contracts.values import Timestamp
from ml_shared.errors import InvalidError
from ml_shared.web.urls import InvalidUrlError, host_of, normalise_url

ROUTE: Final = "jobs/batch"
URLS_AT_ONCE: Final = 100
# normalised before others get their turn: one takes some tens of microseconds
RECENT_SECONDS: Final = 300.0
# what ended in the last minutes says how fast it goes

_CURSORS: Final[Cursors[tuple[datetime, UUID]]] = Cursors("batches", tuple[Timestamp, UUID])
_BY_STATUS: Final = ", ".join(f"count(*) FILTER (WHERE status = '{status}') AS {status}" for status in JobStatus)
# Counted from rows, at most 1,000 a batch. What was cancelled says nothing of how fast the others go.
_COUNTED: Final = f"""
SELECT batches.*, counted.*,
    CASE WHEN counted.recent > 0 AND counted.ended < counted.jobs THEN now() + make_interval(
        secs => (counted.jobs - counted.ended) / counted.recent::float8
                * LEAST({RECENT_SECONDS}, extract(epoch FROM now() - batches.submitted_at)::float8)) END AS estimated_end_at
FROM batches CROSS JOIN LATERAL (
    SELECT count(*) AS jobs, count(*) FILTER (WHERE placement = 'ended') AS ended, max(jobs.ended_at) AS last_end,
        sum(last_event)::bigint AS events,
        {_BY_STATUS},
        count(*) FILTER (WHERE status <> 'cancelled' AND jobs.ended_at > now() - make_interval(secs => {RECENT_SECONDS}))
            AS recent
    FROM jobs WHERE jobs.owner = batches.owner AND jobs.batch_id = batches.id
) counted
"""  # noqa: S608


async def submit(
    pool: asyncpg.Pool, owner: str, request: BatchRequest, *, idempotency_key: str | None, max_open_jobs: int
) -> tuple[BatchAccepted, bool]:
    """Insert a job for each document that the URLs of a request name: all of them, or none.

    Returns
    -------
    BatchAccepted, bool
        The answer, and whether it is new: a repeat of a request gets the first one's.

    Raises
    ------
    InvalidError
        If a URL is none that can be fetched; which one is said.
    TooManyOpenJobsError
        If the owner would have more than `max_open_jobs` unfinished jobs.
    IdempotencyKeyReusedError, IdempotencyInProgressError
        As `app.core.jobs.submission.submit` does.
    """
    batch, (jobs, duplicates) = NewBatch(new_id()), await _documents(request.urls)
    accepted = BatchAccepted.model_validate(  # at once: a thousand models made one by one take four times as long
        {
            "batch_id": str(batch.id),
            "jobs": [{"job_id": str(job.id), "url": job.url} for job in jobs],
            "duplicates": [{"job_id": str(job.id), "url": url, "index": index} for index, url, job in duplicates],
        }
    )
    async with pool.acquire() as connection, connection.transaction():
        if idempotency_key is not None:
            earlier = await claim_key(connection, owner, ROUTE, idempotency_key, request, accepted)
            if earlier is not None:
                return earlier, False
        await insert_traced(connection, owner, jobs, Asked.of(request), max_open_jobs=max_open_jobs, batch=batch)
    return accepted, True


async def insert_traced(
    connection: Any, owner: str, jobs: list[NewJob], asked: Asked, *, max_open_jobs: int, batch: NewBatch
) -> None:
    """Insert the jobs of a batch, each with a trace of its own."""
    async with open_roots([(job.id, job.url) for job in jobs], asked.corpus_name) as traceparents:
        for job, traceparent in zip(jobs, traceparents, strict=True):
            job.traceparent = traceparent
        await insert_jobs(connection, owner, jobs, asked, max_open_jobs=max_open_jobs, batch=batch)


async def _documents(urls: list[str]) -> tuple[list[NewJob], list[tuple[int, str, NewJob]]]:
    """Return a job a document, and of each further URL of one its place and that job."""
    first: dict[str, NewJob] = {}
    duplicates = []
    ids = iter(new_ids(len(urls)))
    for index, url in enumerate(urls):
        if index % URLS_AT_ONCE == URLS_AT_ONCE - 1:
            await asyncio.sleep(0)
        try:
            normal = normalise_url(url)
        except InvalidUrlError as error:
            raise InvalidError(f"urls.{index}: {error.detail}", code=error.code) from error
        job = first.get(normal)
        if job is None:
            first[normal] = NewJob(next(ids), url, host_of(normal), document_url=normal)
        else:
            duplicates.append((index, url, job))
    return list(first.values()), duplicates


async def find(pool: asyncpg.Pool, owner: str, batch_id: UUID) -> BatchView:
    """Return one batch of an owner.

    Raises
    ------
    BatchNotFoundError
        If there is none, or it is another owner's.
    """
    row = await pool.fetchrow(f"{_COUNTED} WHERE batches.owner = $1 AND batches.id = $2", owner, batch_id)
    if row is None:
        raise BatchNotFoundError
    return _view(row)


async def snapshots(
    pool: asyncpg.Pool, owners: Sequence[str], batch_ids: Sequence[Any]
) -> list[tuple[str, BatchView, int]]:
    """Return batches of these owners and ids, each with its owner and how many events its jobs had."""
    asked = "SELECT * FROM unnest($1::text[], $2::uuid[])"
    rows = await pool.fetch(f"{_COUNTED} WHERE (batches.owner, batches.id) IN ({asked})", owners, batch_ids)
    return [(row["owner"], _view(row), row["events"] or 0) for row in rows]


async def find_page(pool: asyncpg.Pool, owner: str, *, limit: int, cursor: str | None) -> BatchPage:
    """Return a page of an owner's batches, newest first.

    Raises
    ------
    InvalidCursorError
        If the cursor is not one that a page before gave.
    """
    last = _CURSORS.read(cursor)
    rows = await pool.fetch(
        f"""{_COUNTED} WHERE batches.owner = $1
            {"AND (batches.submitted_at, batches.id) < ($3, $4::uuid)" if last else ""}
            ORDER BY batches.submitted_at DESC, batches.id DESC LIMIT $2""",
        *(owner, limit + 1, *(last or ())),
    )
    shown = rows[:limit]
    more = _CURSORS.write((shown[-1]["submitted_at"], shown[-1]["id"])) if len(rows) > limit else None
    return BatchPage(items=[_view(row) for row in shown], next_cursor=more)


def _view(row: Any) -> BatchView:
    return BatchView(
        batch_id=str(row["id"]),
        corpus_name=row["corpus_name"],
        jobs=row["jobs"],
        counts=BatchCounts(**{status.value: row[status.value] for status in JobStatus}),
        progress=row["ended"] / row["jobs"] if row["jobs"] else 1.0,
        estimated_end_at=row["estimated_end_at"],
        cancel_asked_at=row["cancel_asked_at"],
        retry_of=str(row["retry_of"]) if row["retry_of"] else None,
        submitted_at=row["submitted_at"],
        ended_at=row["last_end"] if row["ended"] == row["jobs"] else None,
    )
