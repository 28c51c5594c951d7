"""What is told of crawls in numbers: what passes count, and how runs and schedules stand at a scrape."""

from conftest import Core
from crawl_driver import OWNER, Driver, Page, gone, site_of
from prometheus_client import REGISTRY

from app.core.jobs.standing import FRONTIER, HELD, LATE, RUNS, read_gauges
from ml_shared.contracts.crawls import RunOutcome, RunState

STANDING = (RUNS, FRONTIER, HELD, LATE)


def counted() -> dict[str, float]:
    """What passes have counted since the process began."""
    asked = {
        **{outcome.value: ("ml_crawl_pages_total", {"outcome": outcome.value}) for outcome in RunOutcome},
        **{
            f"run {state.value}": ("ml_crawl_runs_ended_total", {"state": state.value})
            for state in RunState
            if state is not RunState.RUNNING
        },
        **{outcome: ("ml_crawl_runs_due_total", {"outcome": outcome}) for outcome in ("begun", "missed")},
        "held": ("ml_crawl_runs_held_total", {}),
    }
    return {name: REGISTRY.get_sample_value(metric, labels) or 0.0 for name, (metric, labels) in asked.items()}


def since(before: dict[str, float]) -> dict[str, int]:
    """What was counted since then, and how often."""
    return {name: int(now - before[name]) for name, now in counted().items() if now != before[name]}


async def standing(core: Core) -> tuple[float, ...]:
    """Runs under way, pages that they wait for, held deletions, and how late a schedule is in whole minutes."""
    found = await read_gauges(core.pool)
    runs, frontier, held, late = (found[reading][()] for reading in STANDING)
    return runs, frontier, held, late // 60


async def test_every_page_of_a_run_is_counted_by_what_became_of_it(core: Core) -> None:
    """Those too that no pass met: out of scope, too deep, or beyond what is kept of a run or taken of a page."""
    site = site_of({"/": ["/a", "/b", "/c", "/missing"], "/a": ["/a/deep"], "/b": [], "/c": []})
    site["http://site.test/b"] = Page("elsewhere", [f"http://other.test/{number}" for number in range(5_010)])
    driver = Driver(core, site)
    before = counted()
    run = await driver.run(await driver.submit(max_depth=1), 1)
    assert run.outcomes.skipped == 5_011
    told = {name: pages for name, pages in run.outcomes.model_dump().items() if pages}
    assert since(before) == {**told, "run completed_with_errors": 1}


async def test_a_run_that_is_cancelled_counts_what_it_left_out(core: Core) -> None:
    driver = Driver(core, site_of({"/": [f"/{number}" for number in range(30)]}))
    crawl_id = await driver.submit()
    await driver.step()
    before = counted()
    run = await driver.crawling.cancel(OWNER, crawl_id, 1)
    assert since(before) == {"new": 1, "run cancelled": 1, "skipped": run.outcomes.skipped}


async def test_runs_and_what_they_have_met_are_there_while_they_are_under_way(core: Core) -> None:
    driver = Driver(core, site_of({"/": [f"/{number}" for number in range(30)]}), most=1)
    assert await standing(core) == (0, 0, 0, 0)
    crawl_id = await driver.submit()
    await driver.step()
    runs, frontier, *_ = await standing(core)
    assert (runs, frontier >= 29) == (1, True)
    await driver.crawling.cancel(OWNER, crawl_id, 1)
    assert await standing(core) == (0, 0, 0, 0)


async def test_a_held_deletion_stands_until_it_is_confirmed_or_overtaken(core: Core) -> None:
    pages = ("/a", "/b", "/c")
    driver = Driver(core, site_of({"/": list(pages), **{page: [] for page in pages}}))
    crawl_id = await driver.submit()
    await driver.run(crawl_id, 1)
    well = dict(driver.site)
    driver.site.update({f"http://site.test{page}": gone() for page in pages})
    before = counted()
    await driver.again(crawl_id)
    assert (await driver.again(crawl_id)).held == "mass_deletion"
    assert (await standing(core), since(before)["held"]) == ((0, 0, 1, 0), 1)
    driver.site.update(well)
    assert (await driver.again(crawl_id)).held is None
    assert await standing(core) == (0, 0, 0, 0), "a later run knows better"
    driver.site.update({f"http://site.test{page}": gone() for page in pages})
    await driver.again(crawl_id)
    held = await driver.again(crawl_id)
    assert await standing(core) == (0, 0, 1, 0)
    await driver.crawling.confirm(OWNER, crawl_id, held.run)
    assert (await standing(core))[2] == 0


async def test_a_schedule_is_late_from_when_its_run_was_due_until_that_begins(core: Core) -> None:
    driver = Driver(core, site_of({"/": []}))
    crawl_id = await driver.submit(schedule={"every": "1h"})
    await driver.run(crawl_id, 1)
    due = "UPDATE crawls SET next_run_at = now() - interval '10 minutes'"
    await core.pool.execute(due)
    assert await standing(core) == (0, 0, 0, 10)
    await driver.crawling.pause(OWNER, crawl_id, paused=True)
    assert (await standing(core))[3] == 0, "one that rests is not late"
    await driver.crawling.pause(OWNER, crawl_id, paused=False)
    await core.pool.execute(due)
    before = counted()
    await driver.crawling.go_on()
    assert (since(before), (await standing(core))[3]) == ({"begun": 1}, 0)
    await core.pool.execute(due)
    before = counted()
    await driver.crawling.go_on()
    assert since(before) == {"missed": 1}, "the last one is still running"
