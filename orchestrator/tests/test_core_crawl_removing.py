"""Documents that go: as they stood when that was decided, and no further than somebody still wants it."""

import asyncio
from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
from conftest import Core
from crawl_driver import OWNER, Driver, gone, site_of

from app.core.crawls.crawls import delete
from app.core.errors import NotHeldError, RunInProgressError, RunNotFoundError
from app.core.jobs.removing import remove_documents
from app.core.jobs.retrying import retry
from ml_shared.contracts.crawls import OnGone, RunRequest, RunState
from ml_shared.contracts.jobs import CallbackStatus
from ml_shared.names import Stage

HOST = "http://site.test"
NAMES = [f"/{name}" for name in "abcdef"]


async def held(core: Core, *, more: int = 0, **window: Any) -> tuple[Driver, str]:
    """A crawl whose third run holds back six of its pages: all but the first, and so many more."""
    names = [*NAMES, *(f"/more-{number}" for number in range(more))]
    driver = Driver(core, site_of({"/": names, **{name: [] for name in names}}), **window)
    crawl_id = await driver.submit()
    await driver.run(crawl_id, 1)
    well = dict(driver.site)
    driver.site.update({f"{HOST}{name}": gone() for name in NAMES})
    await driver.again(crawl_id)
    assert (await driver.again(crawl_id)).held == "mass_deletion"
    driver.site.update(well)
    return driver, crawl_id


async def begin(driver: Driver, crawl_id: str) -> int:
    accepted, _ = await driver.crawling.run_now(OWNER, crawl_id, RunRequest(), traceparent=None, idempotency_key=None)
    return accepted.run


def really(driver: Driver) -> None:
    """Let removals be jobs that somebody has to do."""
    driver.crawling._passes._remove_documents = remove_documents  # type: ignore[assignment]
    driver.crawling._remove_documents = remove_documents  # type: ignore[assignment]


async def now(core: Core) -> datetime:
    moment: datetime = await core.pool.fetchval("SELECT clock_timestamp()")
    return moment


async def removals(core: Core) -> list[Any]:
    rows: list[Any] = await core.pool.fetch("SELECT * FROM jobs WHERE kind = 'remove' ORDER BY turn")
    return rows


async def test_a_held_deletion_is_not_confirmed_while_a_later_run_is_finding_out(core: Core) -> None:
    driver, crawl_id = await held(core)
    await begin(driver, crawl_id)
    for _ in range(2):
        await driver.step()
    with pytest.raises(RunInProgressError, match="run 4 is under way") as refused:
        await driver.crawling.confirm(OWNER, crawl_id, 3)
    assert "runs/4/cancel" in refused.value.detail
    assert (await driver.crawling.run(OWNER, crawl_id, 3)).held == "mass_deletion", "nothing is decided"
    run = await driver.run(crawl_id, 4)
    assert (run.outcomes.removed, driver.removed) == (0, [])
    with pytest.raises(NotHeldError):
        await driver.crawling.confirm(OWNER, crawl_id, 3)
    with pytest.raises(RunNotFoundError):
        await driver.crawling.confirm(OWNER, crawl_id, 9)


async def test_a_held_deletion_is_confirmed_once_the_later_run_was_cancelled(core: Core) -> None:
    driver, crawl_id = await held(core)
    await begin(driver, crawl_id)
    await driver.crawling.cancel(OWNER, crawl_id, 4)
    await driver.crawling.confirm(OWNER, crawl_id, 3)
    for _ in range(3):
        await driver.step()
    assert len(driver.removed) == len(NAMES)


async def test_of_a_confirmation_and_a_run_that_begins_at_once_one_comes_first(core: Core) -> None:
    driver, crawl_id = await held(core)
    told = await asyncio.gather(
        *(driver.crawling.confirm(OWNER, crawl_id, 3), begin(driver, crawl_id)), return_exceptions=True
    )
    assert sum(isinstance(one, RunInProgressError) for one in told) == 1, told


async def test_what_was_confirmed_goes_as_it_stood_then_however_long_it_takes(core: Core) -> None:
    driver, crawl_id = await held(core, most=2)
    really(driver)
    await driver.crawling.confirm(OWNER, crawl_id, 3)
    confirmed = await now(core)
    for _ in range(4):
        await driver.step()
    taken = await removals(core)
    assert len(taken) == len(NAMES)
    assert max(job["as_of"] for job in taken) < confirmed < max(job["submitted_at"] for job in taken)


async def test_what_a_run_finds_gone_goes_as_it_stood_when_the_run_knew(core: Core) -> None:
    names = [f"/{number}" for number in range(12)]
    driver = Driver(core, site_of({"/": names, **{name: [] for name in names}}), most=2)
    really(driver)
    crawl_id = await driver.submit()
    await driver.run(crawl_id, 1)
    driver.site.update({f"{HOST}{name}": gone() for name in names[:4]})
    await driver.again(crawl_id)
    await driver.again(crawl_id)
    taken = await removals(core)
    assert (len(taken), len({job["as_of"] for job in taken})) == (4, 1)
    assert len({job["submitted_at"] for job in taken}) > 1


async def test_documents_of_a_deleted_crawl_go_as_they_stood_when_it_was_deleted(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.crawls.upkeep.AT_ONCE", 2)
    driver = Driver(core, site_of({"/": NAMES, **{name: [] for name in NAMES}}))
    really(driver)
    crawl_id = await driver.submit()
    await driver.run(crawl_id, 1)
    await driver.crawling.delete(OWNER, crawl_id, documents=OnGone.DELETE)
    deleted = await now(core)
    for _ in range(5):
        await driver.crawling.go_on()
    taken = await removals(core)
    assert len(taken) == len(NAMES) + 1
    assert all(job["as_of"] < deleted < job["submitted_at"] for job in taken)


async def test_pages_that_a_deleted_crawl_was_just_fetching_are_not_fetched_any_more(core: Core) -> None:
    """Else their documents would be younger than the deletion, and stay."""
    driver = Driver(core, site_of({"/": NAMES, **{name: [] for name in NAMES}}))
    crawl_id = await driver.submit()
    await driver.step()
    await driver.crawling.go_on()
    assert await delete(core.pool, OWNER, UUID(crawl_id), documents="delete") > 0
    assert await core.claim(Stage.SCRAPING) == []
    youngest = await core.pool.fetchval("SELECT max(coalesce(as_of, submitted_at)) FROM jobs")
    assert await core.pool.fetchval("SELECT deleting_at FROM crawls") > youngest


async def test_a_removal_that_is_tried_again_takes_what_stood_when_it_was_asked_for(core: Core) -> None:
    async with core.pool.acquire() as connection, connection.transaction():
        [job_id] = await remove_documents(connection, OWNER, "docs", [f"{HOST}/a"], None, None)
    job = await core.claim_one(Stage.EMBEDDING)
    await core.complete(job, status=CallbackStatus.FAILED, error_code="store_unavailable")
    asked = (await core.row(job_id))["as_of"]
    for _ in range(2):
        retried, _ = await retry(core.pool, OWNER, job_id, traceparent=None, max_open_jobs=9)
        again = await core.claim_one(Stage.EMBEDDING)
        assert (str(again.job_id), again.as_of) == (retried.job_id, asked)
        await core.complete(again, status=CallbackStatus.FAILED, error_code="store_unavailable")
        job_id = again.job_id


async def test_a_confirmed_deletion_stops_where_it_is_cancelled(core: Core) -> None:
    driver, crawl_id = await held(core, most=2)
    await driver.crawling.confirm(OWNER, crawl_id, 3)
    await driver.crawling.go_on()
    assert len(driver.removed) == 2
    with pytest.raises(RunInProgressError, match=r"run 3 is removing .*runs/3/cancel stops that"):
        await begin(driver, crawl_id)
    run = await driver.crawling.cancel(OWNER, crawl_id, 3)
    assert (run.state, run.open, run.cancel_asked_at is not None) == (RunState.COMPLETED_WITH_ERRORS, 0, True)
    for _ in range(4):
        await driver.step()
    assert len(driver.removed) == 2
    assert (await driver.again(crawl_id)).outcomes.unchanged >= len(NAMES) - 2
    assert await driver.crawling.cancel(OWNER, crawl_id, 3) == await driver.crawling.run(OWNER, crawl_id, 3)


async def test_what_a_cancelled_deletion_left_is_not_removed_by_the_next_run_for_being_few(core: Core) -> None:
    driver, crawl_id = await held(core, more=4, most=2)
    await driver.crawling.confirm(OWNER, crawl_id, 3)
    for _ in range(2):
        await driver.crawling.go_on()
    assert len(driver.removed) == len(NAMES) - 2
    await driver.crawling.cancel(OWNER, crawl_id, 3)
    driver.site.update({f"{HOST}{name}": gone() for name in NAMES})
    assert (await driver.again(crawl_id)).held is None
    assert len(driver.removed) == len(NAMES) - 2


async def test_removals_that_nobody_has_begun_are_cancelled_with_their_run(core: Core) -> None:
    driver, crawl_id = await held(core, most=4)
    really(driver)
    await driver.crawling.confirm(OWNER, crawl_id, 3)
    await driver.crawling.go_on()
    begun, *_ = await core.claim(Stage.EMBEDDING)
    assert await core.started(begun)
    run = await driver.crawling.cancel(OWNER, crawl_id, 3)
    assert (run.open, run.waiting, run.outcomes.removed) == (0, 0, 0)
    assert {job["status"] for job in await removals(core)} == {"cancelled"}
    told = Counter((await driver.outcomes(crawl_id, 3)).values())
    assert told == {"unchanged": 1, "unchanged: cancelled": 4, "failed: gone": 2}, "what was kept is told as that"
    assert run.outcomes.unchanged == 5
    assert not await core.started(begun), "its worker is told to drop it"
    assert (await driver.crawling.crawl(OWNER, crawl_id)).documents == len(NAMES) + 1


@pytest.mark.parametrize("documents", list(OnGone))
async def test_a_crawl_that_is_deleted_stops_a_confirmed_deletion(core: Core, documents: OnGone) -> None:
    driver, crawl_id = await held(core, most=2)
    await driver.crawling.confirm(OWNER, crawl_id, 3)
    await driver.crawling.go_on()
    await driver.crawling.delete(OWNER, crawl_id, documents=documents)
    for _ in range(6):
        await driver.crawling.go_on()
    assert len(driver.removed) == (2 if documents is OnGone.KEEP else len(NAMES) + 1)
    assert await core.pool.fetchval("SELECT count(*) FROM crawls") == 0


async def test_a_run_that_has_ended_and_holds_something_back_is_not_changed_by_a_cancel(core: Core) -> None:
    driver, crawl_id = await held(core)
    before = await driver.crawling.run(OWNER, crawl_id, 3)
    assert await driver.crawling.cancel(OWNER, crawl_id, 3) == before
    await driver.crawling.confirm(OWNER, crawl_id, 3)
    for _ in range(3):
        await driver.step()
    assert len(driver.removed) == len(NAMES)
