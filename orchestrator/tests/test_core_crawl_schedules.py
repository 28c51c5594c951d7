"""When a crawl is run next, and what becomes of runs that are due."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from conftest import Core
from crawl_driver import OWNER, Driver, site_of
from hypothesis import given
from hypothesis import strategies as st

from app.core.crawls.scheduling import JITTER_MOST, JITTER_SHARE, next_run_at
from app.core.errors import InvalidScheduleError
from ml_shared.contracts.crawls import RunState, RunTrigger, Schedule

BEGUN = datetime(2026, 1, 1, 12, tzinfo=UTC)


@given(st.integers(1, 500), st.sampled_from("mhd"), st.uuids(), st.integers(0, 10**8))
def test_every_so_often_is_counted_from_its_begin_whatever_was_late(
    count: int, unit: str, crawl_id: UUID, seconds: int
) -> None:
    interval = timedelta(**{{"m": "minutes", "h": "hours", "d": "days"}[unit]: count})
    now = BEGUN + timedelta(seconds=seconds)
    if interval > timedelta(days=366):
        with pytest.raises(InvalidScheduleError):
            next_run_at(Schedule(every=f"{count}{unit}"), crawl_id, BEGUN, now)
        return
    due = next_run_at(Schedule(every=f"{count}{unit}"), crawl_id, BEGUN, now)
    assert now < due <= now + interval + min(interval * JITTER_SHARE, JITTER_MOST)
    jitter = (due - BEGUN) % interval
    assert jitter <= min(interval * JITTER_SHARE, JITTER_MOST)
    assert next_run_at(Schedule(every=f"{count}{unit}"), crawl_id, BEGUN, due) == due + interval


@given(st.uuids(), st.integers(0, 366 * 86_400))
def test_cron_is_read_in_its_time_zone_and_never_early(crawl_id: UUID, seconds: int) -> None:
    now = BEGUN + timedelta(seconds=seconds)
    due = next_run_at(Schedule(cron="0 3 * * 1", timezone="Europe/Dublin"), crawl_id, BEGUN, now)
    local = due.astimezone(ZoneInfo("Europe/Dublin"))
    assert (local.weekday(), local.hour) == (0, 3)
    assert timedelta() <= local - local.replace(minute=0, second=0) < JITTER_MOST
    assert now < due <= now + timedelta(days=7, hours=2)


def test_crawls_of_one_time_do_not_begin_at_once() -> None:
    due = {next_run_at(Schedule(cron="0 3 * * *"), uuid4(), BEGUN, BEGUN) for _ in range(50)}
    assert len(due) > 40


@pytest.mark.parametrize("cron", ["0 3 31 2 *", "60 3 * * *", "nonsense 1 2 3 4", "10 10 10 1", "0 0 0 1 1 *"])
def test_a_time_that_never_comes_is_refused(cron: str) -> None:
    with pytest.raises(InvalidScheduleError, match=r"schedule\.cron"):
        next_run_at(Schedule(cron=cron), uuid4(), BEGUN, BEGUN)


async def due_now(core: Core) -> None:
    await core.pool.execute("UPDATE crawls SET next_run_at = now() - interval '1 second' WHERE schedule IS NOT NULL")


async def test_a_run_that_is_due_begins_and_one_that_finds_the_last_still_running_is_missed(core: Core) -> None:
    driver = Driver(core, site_of({"/": ["/a"], "/a": []}))
    crawl_id = await driver.submit(schedule={"every": "1h"})
    await due_now(core)
    await driver.crawling.go_on()
    crawl = await driver.crawling.crawl(OWNER, crawl_id)
    assert (crawl.last_run, crawl.missed_runs) == (1, 1)
    assert crawl.last_missed is not None
    assert crawl.last_missed.reason == "still_running"
    assert crawl.next_run_at is not None
    assert crawl.next_run_at > datetime.now(UTC)
    await driver.run(crawl_id, 1)
    await due_now(core)
    await driver.crawling.go_on()
    run = await driver.run(crawl_id, 2)
    assert (run.trigger, run.state, run.outcomes.unchanged) == (RunTrigger.SCHEDULED, RunState.COMPLETED, 2)
    await driver.crawling.pause(OWNER, crawl_id, paused=True)
    await due_now(core)
    await driver.crawling.go_on()
    assert (await driver.crawling.crawl(OWNER, crawl_id)).last_run == 2, "a crawl that rests is not run"


async def test_the_last_fifty_runs_of_a_crawl_are_kept(core: Core) -> None:
    driver = Driver(core, site_of({"/": []}))
    crawl_id = await driver.submit()
    await driver.run(crawl_id, 1)
    await core.pool.execute("UPDATE crawls SET last_run = 50")
    await driver.again(crawl_id)
    assert await driver.crawling.forget_old_runs() == 1
    kept = await driver.crawling.runs(OWNER, crawl_id, limit=20, cursor=None)
    assert [run.run for run in kept.items] == [51]
    assert await core.pool.fetchval("SELECT count(*) FROM run_pages WHERE run = 1") == 0
