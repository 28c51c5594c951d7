"""What can be listened to: a job's events, one after the other, and a batch's counts, each time as a whole."""

from collections.abc import Collection, Mapping
from itertools import groupby
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.errors import BatchNotFoundError, JobNotFoundError
from app.core.jobs import batches
from app.core.notices.streams import News, Notice, Standing, Subject
from ml_shared.contracts.events import BatchEventType, EventError, EventWaiting, JobEvent
from ml_shared.contracts.jobs import JobCounts

PAGE: Final = 100
# a job's events of one look; the others follow when these are sent

_STANDING = "SELECT last_event, placement = 'ended' AS ended FROM jobs WHERE owner = $1 AND id = $2"
_EVENTS = """
SELECT asked.owner, asked.job_id AS asked_job, asked.seen, jobs.last_event, jobs.placement = 'ended' AS ended, events.*
FROM unnest($1::text[], $2::uuid[], $3::bigint[]) AS asked(owner, job_id, seen)
JOIN jobs ON jobs.owner = asked.owner AND jobs.id = asked.job_id
LEFT JOIN LATERAL (
    SELECT number, type, status, stage, attempt, reason, not_before, code, bytes, chunks, tokens, at FROM job_events
    WHERE job_events.owner = asked.owner AND job_events.job_id = asked.job_id AND number > asked.seen
    ORDER BY number LIMIT $4
) events ON true
WHERE jobs.last_event > asked.seen OR jobs.placement = 'ended'
ORDER BY asked.owner, asked.job_id, events.number
"""
_BATCHES_OF = "SELECT DISTINCT owner, batch_id FROM jobs WHERE id = ANY($1::uuid[]) AND batch_id IS NOT NULL"


class JobSource:
    """A job's events: numbered by the job's own counter, without a gap."""

    name = "jobs"
    rest_seconds = 0.05

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def standing(self, subject: Subject) -> Standing:
        """See `Source`.

        Raises
        ------
        JobNotFoundError
            If there is no such job, or it is another owner's.
        """
        row = await self._pool.fetchrow(_STANDING, subject.owner, subject.id)
        if row is None:
            raise JobNotFoundError
        return Standing(row["last_event"], row["ended"])

    async def news(self, asked: Mapping[Subject, int]) -> list[News]:
        """See `Source`."""
        rows = await self._pool.fetch(_EVENTS, *_columns(asked), list(asked.values()), PAGE)
        found = groupby(rows, key=lambda row: Subject(row["owner"], row["asked_job"]))
        return [_news_of_job(subject, list(events)) for subject, events in found]

    async def concerned(self, moved: Collection[UUID], watched: Collection[Subject]) -> set[Subject]:
        """See `Source`."""
        return {subject for subject in watched if subject.id in moved}


class BatchSource:
    """A batch's counts, as a whole each time. Their number is the sum of its jobs' counters: it grows with every event."""

    name = "batches"
    rest_seconds = 1.0
    # each counts up to 1,000 rows

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def standing(self, subject: Subject) -> Standing:
        """See `Source`.

        Raises
        ------
        BatchNotFoundError
            If there is no such batch, or it is another owner's.
        """
        found = await batches.snapshots(self._pool, [subject.owner], [subject.id])
        if not found:
            raise BatchNotFoundError
        _, view, number = found[0]
        return Standing(number, view.ended_at is not None)

    async def news(self, asked: Mapping[Subject, int]) -> list[News]:
        """See `Source`."""
        news = []
        for owner, view, number in await batches.snapshots(self._pool, *_columns(asked)):
            subject, ended = Subject(owner, UUID(view.batch_id)), view.ended_at is not None
            if number > asked[subject] or ended:
                kind = BatchEventType.ENDED if ended else BatchEventType.PROGRESS
                notice = Notice(number, kind, view.model_dump_json(exclude_none=True).encode())
                news.append(News(subject, (notice,), ended=ended))
        return news

    async def concerned(self, moved: Collection[UUID], watched: Collection[Subject]) -> set[Subject]:
        """See `Source`: a batch moves as one of its jobs does, or as a whole, when it is cancelled."""
        of_jobs = {Subject(*row) for row in await self._pool.fetch(_BATCHES_OF, list(moved))}
        return {subject for subject in watched if subject.id in moved or subject in of_jobs}


def _columns(asked: Collection[Subject]) -> tuple[list[str], list[Any]]:
    return [subject.owner for subject in asked], [subject.id for subject in asked]


def _news_of_job(subject: Subject, rows: list[Any]) -> News:
    events = [row for row in rows if row["number"] is not None]
    last = events[-1]["number"] if events else rows[0]["seen"]
    return News(
        subject,
        tuple(_notice(subject, event) for event in events),
        more=len(events) == PAGE,
        ended=rows[0]["ended"] and last >= rows[0]["last_event"],
    )


def _notice(subject: Subject, row: Any) -> Notice:
    event = JobEvent(
        number=row["number"],
        job_id=str(subject.id),
        type=row["type"],
        at=row["at"],
        status=row["status"],
        stage=row["stage"],
        attempt=row["attempt"],
        waiting=EventWaiting(reason=row["reason"], not_before=row["not_before"]) if row["reason"] else None,
        error=EventError(code=row["code"]) if row["code"] else None,
        counts=JobCounts(bytes=row["bytes"], chunks=row["chunks"], tokens=row["tokens"]),
    )
    return Notice(event.number, event.type, event.model_dump_json(exclude_none=True).encode())
