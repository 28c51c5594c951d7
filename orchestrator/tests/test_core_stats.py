"""An owner's jobs in figures."""

from datetime import datetime, timedelta
from itertools import groupby

import httpx
import pytest
from conftest import ALICE, Core

from app.core.jobs.stats import MOST_BUCKETS, read, step_seconds
from ml_shared.contracts.jobs import WaitingReason
from ml_shared.contracts.stats import StatsFailure, StatsOpen
from ml_shared.names import Stage

USER = {"X-API-Key": ALICE}


async def ago(core: Core, minutes: int) -> datetime:
    moment: datetime = await core.pool.fetchval("SELECT now() - make_interval(mins => $1)", minutes)
    return moment


async def end(
    core: Core, url: str, code: str | None = None, *, at: datetime | None = None, owner: str = "key:a"
) -> None:
    """Have a job be submitted and end at a moment, now unless given. Two that are to be in one step have one moment."""
    job_id = await core.submit(url, owner=owner)
    await core.pool.execute(
        """UPDATE jobs SET placement = 'ended', status = $2, error_code = $3, failed_stage = $4, error_message = $4,
               submitted_at = coalesce($5, now()), ended_at = coalesce($5, now()), chunks = 3, tokens = 100 WHERE id = $1""",
        *(job_id, "failed" if code else "completed", code, "scraping" if code else None, at),
    )


@pytest.mark.parametrize("hours", range(1, 169))
def test_any_stretch_is_divided_into_few_steps(hours: int) -> None:
    assert hours * 3600 <= step_seconds(hours) * MOST_BUCKETS


async def test_an_owner_without_jobs_has_every_step_at_0(core: Core) -> None:
    stats = await read(core.pool, "key:a", 24)
    assert (stats.step_seconds, len(stats.buckets), stats.complete) == (900, 96, True)
    assert stats.buckets[0].at == stats.since
    assert all(not any(bucket.model_dump(exclude={"at"}).values()) for bucket in stats.buckets)
    assert (stats.open, stats.waiting, stats.failures) == (StatsOpen(), [], [])


async def test_what_ended_stands_in_the_step_in_which_it_did(core: Core) -> None:
    at = await ago(core, 30)
    await end(core, "http://a.test/", at=at)
    await end(core, "http://b.test/", "fetch_timeout", at=at)
    await end(core, "http://c.test/", at=await ago(core, 61 * 24))
    stats = await read(core.pool, "key:a", 1)
    busy = [bucket for bucket in stats.buckets if bucket.completed or bucket.failed]
    assert [(one.submitted, one.completed, one.failed, one.chunks, one.tokens) for one in busy] == [(2, 1, 1, 3, 100)]
    assert busy[0].at <= at < busy[0].at + timedelta(seconds=stats.step_seconds)


async def test_how_many_were_open_follows_from_what_came_and_went(core: Core) -> None:
    await core.submit("http://open.test/")
    await core.pool.execute("UPDATE jobs SET submitted_at = now() - interval '30 minutes'")
    await end(core, "http://ended.test/", at=await ago(core, 10))
    await core.pool.execute("UPDATE jobs SET submitted_at = now() - interval '20 minutes' WHERE ended_at IS NOT NULL")
    opened = [bucket.open for bucket in (await read(core.pool, "key:a", 1)).buckets]
    told = [number for number, _ in groupby(opened)]
    assert told == [0, 1, 2, 1], "it grows as they come, and falls as one ends"


async def test_unfinished_jobs_are_told_by_stage_and_by_why_they_are_not_further(core: Core) -> None:
    for path in ("a", "b", "c"):
        await core.submit(f"http://one.test/{path}")
    await core.started(await core.claim_one(Stage.SCRAPING))
    stats = await read(core.pool, "key:a", 1)
    told = {(one.stage, one.reason): one.jobs for one in stats.waiting}
    assert told == {(Stage.SCRAPING, WaitingReason.RUNNING): 1, (Stage.SCRAPING, WaitingReason.HOST_DELAY): 2}
    assert stats.open == StatsOpen(queued=2, scraping=1)


async def test_failures_are_told_by_code_the_most_frequent_first(core: Core) -> None:
    for number, code in enumerate(["http_status", "fetch_timeout", "http_status"]):
        await end(core, f"http://h{number}.test/", code)
    stats = await read(core.pool, "key:a", 1)
    assert stats.failures == [
        StatsFailure(code="http_status", failed_stage=Stage.SCRAPING, jobs=2),
        StatsFailure(code="fetch_timeout", failed_stage=Stage.SCRAPING, jobs=1),
    ]


async def test_another_owners_jobs_are_in_no_figure(core: Core) -> None:
    await end(core, "http://a.test/", "http_status", owner="key:b")
    await core.submit("http://b.test/", owner="key:b")
    stats = await read(core.pool, "key:a", 1)
    assert stats.failures == stats.waiting == []
    assert not any(bucket.submitted or bucket.failed or bucket.open for bucket in stats.buckets)


async def test_more_than_is_looked_at_shortens_the_stretch_and_is_said(core: Core) -> None:
    for minutes in (50, 40, 30, 20):
        await end(core, f"http://h{minutes}.test/", at=await ago(core, minutes))
    stats = await read(core.pool, "key:a", 1, most_rows=3)
    assert not stats.complete
    # the step of the oldest that was looked at may lack others: it is left out
    assert sum(bucket.completed for bucket in stats.buckets) == 2
    assert stats.since == stats.buckets[0].at


@pytest.mark.parametrize("hours", ["0", "169", "x", "1.5", "-1"])
async def test_hours_out_of_bounds_are_refused(api: httpx.AsyncClient, hours: str) -> None:
    answer = await api.get(f"/stats?hours={hours}", headers=USER)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["query.hours"]


async def test_the_route_answers_the_caller_alone(api: httpx.AsyncClient) -> None:
    await api.post("/jobs", json={"url": "http://a.test/"}, headers=USER)
    answer = (await api.get("/stats", headers=USER)).json()
    assert answer["open"]["queued"] == 1
    assert (await api.get("/stats")).status_code == 401
