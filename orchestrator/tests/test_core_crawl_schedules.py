"""When a crawl is run next, and what becomes of runs that are due."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from conftest import Core
from crawl_driver import OWNER, Driver, site_of
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.crawls.scheduling import JITTER_MOST, JITTER_SHARE, next_run_at
from app.core.errors import InvalidScheduleError
from ml_shared.contracts.crawls import CrawlPatch, RunState, RunTrigger, Schedule

settings.load_profile("ci")  # no time limits: a slow machine is no fault

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
    assert due >= BEGUN + interval, "what is run at the beginning is not run again before a whole interval is over"
    jitter = (due - BEGUN) % interval
    assert jitter <= min(interval * JITTER_SHARE, JITTER_MOST)
    assert next_run_at(Schedule(every=f"{count}{unit}"), crawl_id, BEGUN, due) == due + interval


@given(st.uuids(), st.integers(0, 30 * 60))
def test_the_first_time_is_a_whole_interval_after_the_beginning(crawl_id: UUID, seconds: int) -> None:
    due = next_run_at(Schedule(every="24h"), crawl_id, BEGUN, BEGUN + timedelta(seconds=seconds))
    assert timedelta(hours=24) <= due - BEGUN <= timedelta(hours=24) + JITTER_MOST


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


async def test_a_crawl_that_is_submitted_is_not_run_again_before_its_interval_is_over(core: Core) -> None:
    driver = Driver(core, site_of({"/": []}))
    began = datetime.now(UTC)
    crawl_id = await driver.submit(schedule={"every": "24h"})
    due = (await driver.crawling.crawl(OWNER, crawl_id)).next_run_at
    assert due is not None
    assert timedelta(hours=24) <= due - began <= timedelta(hours=24, minutes=11)


async def test_a_schedule_counts_from_when_it_was_given_in_all_that_follows(core: Core) -> None:
    driver = Driver(core, site_of({"/": []}))
    crawl_id = await driver.submit(schedule={"every": "24h"})
    await driver.run(crawl_id, 1)
    await core.pool.execute("UPDATE crawls SET submitted_at = submitted_at - interval '23 hours'")
    given_at = datetime.now(UTC)
    await driver.crawling.change(OWNER, crawl_id, CrawlPatch.model_validate({"schedule": {"every": "12h"}}))

    async def due() -> datetime:
        found = (await driver.crawling.crawl(OWNER, crawl_id)).next_run_at
        assert found is not None
        return found

    first = await due()
    assert timedelta(hours=12) <= first - given_at <= timedelta(hours=12, minutes=11)
    for changes in ({"max_depth": 3}, {"schedule": {"every": "12h"}, "on_gone": "keep"}):
        await driver.crawling.change(OWNER, crawl_id, CrawlPatch.model_validate(changes))
        assert await due() == first, "it has the schedule that it had"
    await driver.crawling.pause(OWNER, crawl_id, paused=True)
    await driver.crawling.pause(OWNER, crawl_id, paused=False)
    assert await due() == first
    await due_now(core)
    await driver.crawling.go_on()
    assert (await driver.run(crawl_id, 2)).trigger is RunTrigger.SCHEDULED
    assert await due() == first


async def test_a_crawl_that_rests_keeps_a_schedule_that_it_is_given_for_when_it_goes_on(core: Core) -> None:
    driver = Driver(core, site_of({"/": []}))
    crawl_id = await driver.submit()
    await driver.crawling.pause(OWNER, crawl_id, paused=True)
    await core.pool.execute("UPDATE crawls SET submitted_at = submitted_at - interval '23 hours'")
    given_at = datetime.now(UTC)
    patch = CrawlPatch.model_validate({"schedule": {"every": "24h"}})
    assert (await driver.crawling.change(OWNER, crawl_id, patch)).next_run_at is None
    due = (await driver.crawling.pause(OWNER, crawl_id, paused=False)).next_run_at
    assert due is not None
    assert timedelta(hours=24) <= due - given_at <= timedelta(hours=24, minutes=11)


async def test_a_schedule_of_which_no_beginning_is_kept_began_with_its_crawl(core: Core) -> None:
    driver = Driver(core, site_of({"/": []}))
    crawl_id = await driver.submit(schedule={"every": "24h"})
    due = (await driver.crawling.crawl(OWNER, crawl_id)).next_run_at
    assert await core.pool.fetchval("SELECT schedule_begun_at FROM crawls") is None
    await driver.crawling.pause(OWNER, crawl_id, paused=True)
    resumed = (await driver.crawling.pause(OWNER, crawl_id, paused=False)).next_run_at
    assert due is not None
    assert resumed is not None
    assert abs(resumed - due) < timedelta(seconds=60)


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
