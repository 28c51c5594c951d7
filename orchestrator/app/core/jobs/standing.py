"""How all jobs stand: what a scrape reads from PostgreSQL. Unfinished jobs only, however many have ended."""

from typing import Any

import asyncpg

from ml_shared.contracts.jobs import ENDED, JobStatus, WaitingReason
from ml_shared.telemetry.readings import Reading, Values

KEPT_SECONDS = 15.0
# as often as a scraper comes, usually

STATE = Reading("ml_jobs_state", "Unfinished jobs, by status.", ("status",))
WAITING = Reading("ml_jobs_waiting", "Unfinished jobs, by why they are not further.", ("reason",))
OLDEST = Reading(
    "ml_jobs_oldest_queued_age_seconds", "How long ago the oldest queued job was submitted; 0 without one."
)
OWNERS = Reading("ml_jobs_owners_waiting", "Owners who have jobs that are not handed out.")
LARGEST = Reading("ml_jobs_largest_owner_ratio", "The share of the jobs in flight that one owner has, at most; 0 to 1.")
RUNS = Reading("ml_crawl_runs_open", "Runs of crawls that are under way.")
FRONTIER = Reading("ml_crawl_frontier_pages", "Pages that runs under way have met and not asked for yet.")
HELD = Reading(
    "ml_crawl_runs_held_open", "Runs that would remove more than a third of their documents, and wait for somebody."
)
LATE = Reading(
    "ml_crawl_schedule_late_seconds",
    "How long ago the run was due that is due for longest and has not begun; 0 without one.",
)
PAUSED = Reading(
    "ml_dispatch_stage_paused", "Whether a stage gets no work because it could not be used: 0 or 1.", ("stage",)
)

# the reasons of `reading._waiting`
REASON = """CASE
        WHEN placement = 'leased' AND (phase IS NULL OR leases.expires_at < now()) THEN 'lease'
        WHEN placement = 'leased' AND phase = 'run' THEN 'running'
        WHEN placement = 'leased' THEN 'queued'
        WHEN placement = 'waiting' OR stages.paused_until > now() THEN 'upstream'
        WHEN placement = 'parked' AND (lanes.holder IS NOT NULL OR lanes.next_at > now()) THEN 'host_delay'
        ELSE 'queued'
    END"""
WITH_REASON = """jobs
LEFT JOIN leases ON leases.owner = jobs.owner AND leases.job_id = jobs.id
LEFT JOIN stages ON stages.stage = jobs.stage
LEFT JOIN lanes ON lanes.host = jobs.host AND jobs.placement = 'parked'"""
_JOBS = f"""
SELECT jobs.status, {REASON} AS reason, count(*) AS jobs,
    extract(epoch FROM now() - min(submitted_at))::float8 AS oldest_seconds
FROM {WITH_REASON}
WHERE placement <> 'ended' GROUP BY 1, 2
"""  # noqa: S608
_OWNERS = """
SELECT (SELECT count(DISTINCT owner) FROM jobs WHERE placement <> 'ended' AND placement <> 'leased') AS waiting,
       coalesce((SELECT max(jobs) / sum(jobs) FROM (SELECT count(*) AS jobs FROM leases GROUP BY owner) shares), 0)::float8
           AS largest
"""

_CRAWLS = """
SELECT (SELECT count(*) FROM runs WHERE state = 'running')::float8 AS runs,
    (SELECT count(*) FROM run_pages JOIN runs USING (crawl_id, run)
     WHERE runs.state = 'running' AND run_pages.state = 'waiting')::float8 AS frontier,
    (SELECT count(*) FROM runs WHERE held IS NOT NULL)::float8 AS held,
    coalesce((SELECT extract(epoch FROM now() - min(next_run_at)) FROM crawls
              WHERE next_run_at <= now() AND NOT paused AND deleting IS NULL), 0)::float8 AS late
"""


async def read_gauges(pool: asyncpg.Pool) -> Values:
    """Return how all jobs stand, for a scrape."""
    async with pool.acquire() as connection:
        jobs = await connection.fetch(_JOBS)
        owners = await connection.fetchrow(_OWNERS)
        crawls = await connection.fetchrow(_CRAWLS)
        stages = await connection.fetch("SELECT stage, coalesce(paused_until > now(), false) AS paused FROM stages")
    queued = [row["oldest_seconds"] for row in jobs if row["status"] == JobStatus.QUEUED]
    return {
        STATE: {(status.value,): _sum(jobs, "status", status) for status in JobStatus if status not in ENDED},
        WAITING: {(reason.value,): _sum(jobs, "reason", reason) for reason in WaitingReason},
        OLDEST: {(): max(queued, default=0.0)},
        OWNERS: {(): float(owners["waiting"])},
        LARGEST: {(): owners["largest"]},
        RUNS: {(): crawls["runs"]},
        FRONTIER: {(): crawls["frontier"]},
        HELD: {(): crawls["held"]},
        LATE: {(): crawls["late"]},
        PAUSED: {(row["stage"],): float(row["paused"]) for row in stages},
    }


def _sum(rows: list[Any], column: str, value: str) -> float:
    return float(sum(row["jobs"] for row in rows if row[column] == value))
