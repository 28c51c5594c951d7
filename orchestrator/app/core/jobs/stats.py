"""An owner's jobs in figures, from their rows: each statement reads one index, and at most so many rows."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from app.core.jobs.standing import REASON, WITH_REASON
from ml_shared.contracts.jobs import JobStatus
from ml_shared.contracts.stats import StatsBucket, StatsFailure, StatsOpen, StatsView, StatsWaiting
from ml_shared.names import Stage

MOST_ROWS: Final = 100_000
# of jobs that ended, and of jobs that were submitted, the newest: a busy week is cut, and the answer says so
MOST_BUCKETS: Final = 96
MOST_FAILURES: Final = 20
_OPEN: Final = StatsOpen.model_fields.keys()
_STEPS_SECONDS: Final = (60, 300, 900, 1_800, 3_600, 7_200)

# $1 owner, $2 since, $3 step in seconds, $4 most rows
ENDED: Final = """
SELECT floor(extract(epoch FROM ended_at - $2) / $3)::integer AS bucket, status, error_code, failed_stage,
    count(*) AS jobs, coalesce(sum(chunks), 0)::bigint AS chunks, coalesce(sum(tokens), 0)::bigint AS tokens
FROM (SELECT ended_at, status, error_code, failed_stage, chunks, tokens FROM jobs
      WHERE owner = $1 AND ended_at >= $2 ORDER BY ended_at DESC LIMIT $4) AS newest
GROUP BY 1, 2, 3, 4
"""
SUBMITTED: Final = """
SELECT floor(extract(epoch FROM submitted_at - $2) / $3)::integer AS bucket, count(*) AS jobs
FROM (SELECT submitted_at FROM jobs WHERE owner = $1 AND submitted_at >= $2 ORDER BY submitted_at DESC LIMIT $4) AS newest
GROUP BY 1
"""
# $1 owner, $2 all stages, by which the index of unfinished jobs begins
OPEN: Final = f"""
SELECT jobs.status, jobs.stage, {REASON} AS reason, count(*) AS jobs, min(waiting_since) AS since
FROM {WITH_REASON}
WHERE jobs.owner = $1 AND jobs.placement <> 'ended' AND jobs.stage = ANY($2) GROUP BY 1, 2, 3
"""  # noqa: S608


async def read(pool: asyncpg.Pool, owner: str, hours: int, *, most_rows: int = MOST_ROWS) -> StatsView:
    """Return how an owner's jobs stand, and what became of them in the last hours.

    Parameters
    ----------
    hours
        How far back; steps are whole and the same for everybody, so the first and the last may reach beyond it.
    most_rows
        How many jobs that ended, or were submitted, are looked at.
    """
    step = step_seconds(hours)
    # one snapshot for all of it: a job is open or has ended, never both
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        now: datetime = await connection.fetchval("SELECT now()")
        until = _rounded_up(now, step)
        since = until - timedelta(seconds=step * -(-hours * 3600 // step))
        window = (owner, since, float(step), most_rows)
        ended = await connection.fetch(ENDED, *window)
        submitted = await connection.fetch(SUBMITTED, *window)
        standing = await connection.fetch(OPEN, owner, list(Stage))
    first = max(_first_complete(ended, most_rows), _first_complete(submitted, most_rows))
    ended = [row for row in ended if row["bucket"] >= first]
    count = int((until - since).total_seconds()) // step
    return StatsView(
        since=since + timedelta(seconds=first * step),
        step_seconds=step,
        complete=first == 0,
        open=StatsOpen(**{status.value: _sum(standing, status) for status in JobStatus if status.value in _OPEN}),
        buckets=_buckets(since, step, range(first, count), ended, submitted, standing),
        waiting=_waiting(standing),
        failures=_failures(ended),
    )


def step_seconds(hours: int) -> int:
    """Return the smallest step that divides so many hours into few enough."""
    return next(step for step in _STEPS_SECONDS if hours * 3600 <= step * MOST_BUCKETS)


def _rounded_up(moment: datetime, step: int) -> datetime:
    return datetime.fromtimestamp((int(moment.timestamp()) // step + 1) * step, UTC)


def _first_complete(rows: list[Any], most_rows: int) -> int:
    """Return the first step that was read as a whole: the newest rows were read, and the oldest of them may be a part."""
    if sum(row["jobs"] for row in rows) < most_rows:
        return 0
    return int(min(row["bucket"] for row in rows)) + 1


def _sum(rows: Iterable[Any], status: JobStatus) -> int:
    return sum(row["jobs"] for row in rows if row["status"] == status)


def _buckets(
    since: datetime, step: int, numbers: range, ended: list[Any], submitted: list[Any], standing: list[Any]
) -> list[StatsBucket]:
    """Return the steps, from early to late. How many were open at the end of each follows from how many are open now."""
    came = {row["bucket"]: row["jobs"] for row in submitted}
    gone: dict[int, list[Any]] = {}
    for row in ended:
        gone.setdefault(row["bucket"], []).append(row)
    still_open = sum(row["jobs"] for row in standing)
    found = []
    for number in reversed(numbers):
        rows = gone.get(number, [])
        found.append(
            StatsBucket(
                at=since + timedelta(seconds=number * step),
                submitted=came.get(number, 0),
                completed=_sum(rows, JobStatus.COMPLETED),
                failed=_sum(rows, JobStatus.FAILED),
                cancelled=_sum(rows, JobStatus.CANCELLED),
                open=still_open,
                chunks=sum(row["chunks"] for row in rows if row["status"] == JobStatus.COMPLETED),
                tokens=sum(row["tokens"] for row in rows if row["status"] == JobStatus.COMPLETED),
            )
        )
        still_open += sum(row["jobs"] for row in rows) - came.get(number, 0)
    return found[::-1]


def _waiting(standing: list[Any]) -> list[StatsWaiting]:
    found: dict[tuple[str, str], StatsWaiting] = {}
    for row in standing:
        key = row["stage"], row["reason"]
        one = found.setdefault(key, StatsWaiting(stage=row["stage"], reason=row["reason"], jobs=0, since=row["since"]))
        one.jobs += row["jobs"]
        one.since = min(one.since, row["since"])
    return sorted(found.values(), key=lambda one: one.jobs, reverse=True)


def _failures(ended: list[Any]) -> list[StatsFailure]:
    found: dict[tuple[str, str], int] = {}
    for row in ended:
        if row["status"] == JobStatus.FAILED:
            key = row["error_code"], row["failed_stage"]
            found[key] = found.get(key, 0) + row["jobs"]
    most = sorted(found.items(), key=lambda item: (-item[1], item[0]))[:MOST_FAILURES]
    return [StatsFailure(code=code, failed_stage=stage, jobs=jobs) for (code, stage), jobs in most]
