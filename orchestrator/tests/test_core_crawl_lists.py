"""Lists that could not be read: a run says so, has not met everything then, and takes nothing for gone that it did not look for."""

import pytest
from conftest import Core
from crawl_driver import OWNER, Driver, Page, Site, gone, site_of

from ml_shared.contracts.crawls import RunState, RunView

HOST = "http://site.test"
ROBOTS, SITEMAP = f"{HOST}/robots.txt", f"{HOST}/sitemap.xml"
LINKED, LISTED = [f"/p{number}" for number in range(7)], ["/p7", "/p8"]


def listing(*paths: str, **said: object) -> Page:
    return Page(lists={"links": [{"url": f"{HOST}{path}"} for path in paths], "sitemaps": [], **said})


def naming(*lists: str) -> Page:
    return Page(lists={"links": [], "sitemaps": list(lists)})


def site_with(**lists: Page) -> Site:
    """A site of ten pages, of which two are in its sitemap alone."""
    site = site_of({"/": LINKED, **{path: [] for path in [*LINKED, *LISTED]}})
    site[SITEMAP] = listing(*LISTED)
    for name, page in lists.items():
        site[{"robots": ROBOTS, "sitemap": SITEMAP}[name]] = page
    return site


async def runs(driver: Driver, crawl_id: str, count: int) -> RunView:
    for _ in range(count):
        run = await driver.again(crawl_id)
    return run


def told(run: RunView) -> list[tuple[str, str | None]]:
    return [(one.code, one.url) for one in run.warnings]


@pytest.mark.parametrize("status", [403, 429, 500, 503])
@pytest.mark.parametrize("robots", [naming(SITEMAP), naming()], ids=["named", "guessed"])
async def test_pages_of_a_sitemap_that_could_not_be_read_stay(core: Core, robots: Page, status: int) -> None:
    driver = Driver(core, site_with(robots=robots))
    crawl_id = await driver.submit(source="site")
    first = await driver.run(crawl_id, 1)
    assert (first.state, first.outcomes.new, told(first)) == (RunState.COMPLETED, 10, [])
    driver.site[SITEMAP] = gone(status)
    run = await runs(driver, crawl_id, 3)
    assert told(run) == [("http_status", SITEMAP)]
    assert str(status) in run.warnings[0].message
    assert (run.state, run.held, driver.removed) == (RunState.COMPLETED_WITH_ERRORS, None, [])


@pytest.mark.parametrize("status", [404, 410, 403, 503])
async def test_a_sitemap_that_something_names_is_to_be_there(core: Core, status: int) -> None:
    driver = Driver(core, site_with(robots=naming(SITEMAP), sitemap=gone(status)))
    run = await driver.run(await driver.submit(source="site"), 1)
    code = "gone" if status in (404, 410) else "http_status"
    assert (run.state, told(run)) == (RunState.COMPLETED_WITH_ERRORS, [(code, SITEMAP)])


@pytest.mark.parametrize(
    "answer",
    [gone(404), gone(410), gone(403), Page(error=("not_a_list", "a page")), Page(error=("robots_disallowed", "no"))],
)
async def test_a_site_without_a_sitemap_is_whole_and_its_run_has_no_errors(core: Core, answer: Page) -> None:
    driver = Driver(core, site_with(robots=gone(), sitemap=answer))
    crawl_id = await driver.submit(source="site")
    first = await driver.run(crawl_id, 1)
    assert (first.state, first.outcomes.new, first.warnings) == (RunState.COMPLETED, 8, [])
    driver.site[f"{HOST}/"].links.remove(f"{HOST}/p0")
    run = await runs(driver, crawl_id, 2)
    assert (run.state, told(run), driver.removed) == (RunState.COMPLETED, [], [f"{HOST}/p0"])


async def test_a_sitemap_that_nobody_names_and_that_is_no_longer_there_is_gone_and_the_run_says_so(core: Core) -> None:
    driver = Driver(core, site_with(robots=naming()))
    crawl_id = await driver.submit(source="site")
    await driver.run(crawl_id, 1)
    driver.site[SITEMAP] = gone()
    run = await runs(driver, crawl_id, 1)
    assert (run.state, told(run), driver.removed) == (RunState.COMPLETED, [("sitemap_gone", SITEMAP)], [])
    run = await runs(driver, crawl_id, 1)
    assert (run.state, told(run)) == (RunState.COMPLETED, [("sitemap_gone", SITEMAP)])
    assert sorted(driver.removed) == [f"{HOST}{path}" for path in LISTED]


async def test_a_sitemap_that_was_read_once_is_missed_however_few_runs_are_kept(core: Core) -> None:
    driver = Driver(core, site_with(robots=naming()))
    crawl_id = await driver.submit(source="site")
    await driver.run(crawl_id, 1)
    driver.site[SITEMAP] = gone(403)
    for number in range(2, 5):
        run = await driver.again(crawl_id)
        assert told(run) == [("http_status", SITEMAP)]
        await core.pool.execute("DELETE FROM run_pages WHERE run < $1", number)
    assert driver.removed == []


async def test_a_sitemap_that_a_run_may_not_read_any_more_is_one_that_it_could_not_read(core: Core) -> None:
    driver = Driver(core, site_with(robots=naming(SITEMAP)))
    crawl_id = await driver.submit(source="site")
    await driver.run(crawl_id, 1)
    driver.site[SITEMAP] = Page(error=("robots_disallowed", "its robots.txt disallows it"))
    run = await runs(driver, crawl_id, 3)
    assert (told(run), driver.removed) == ([("robots_disallowed", SITEMAP)], [])


async def test_a_fault_of_a_sitemap_that_cost_no_page_is_told_and_keeps_nothing_that_is_gone(core: Core) -> None:
    names = [f"/{name}" for name in "abcd"]
    driver = Driver(core, site_of({name: [] for name in names}))
    notes = ["it has bare ampersands, which were read as themselves", "1 times could not be read"]
    driver.site[SITEMAP] = listing(*names, notes=notes)
    crawl_id = await driver.submit(source="sitemap")
    first = await driver.run(crawl_id, 1)
    assert [(one.code, one.message) for one in first.warnings] == [("sitemap_untidy", "; ".join(notes))]
    driver.site[SITEMAP] = listing(*names[1:], notes=notes)
    run = await runs(driver, crawl_id, 2)
    assert (run.state, driver.removed) == (RunState.COMPLETED, [f"{HOST}/a"])


async def test_notes_leave_room_for_the_warning_that_a_run_is_not_whole(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.crawls.settling.WARNINGS_MOST", 4)
    names = [f"/{name}" for name in "abcd"]
    driver = Driver(core, site_of({name: [] for name in names}))
    lists = [f"{HOST}/{number}.xml" for number in range(6)]
    driver.site[SITEMAP] = naming(*lists)
    driver.site |= {url: listing(*names, notes=["1 times could not be read"]) for url in lists}
    crawl_id = await driver.submit(source="sitemap")
    await driver.run(crawl_id, 1)
    driver.site |= {url: listing(*names[1:], notes=["1 times could not be read"]) for url in lists[1:]}
    driver.site[lists[0]] = gone(503)
    run = await runs(driver, crawl_id, 3)
    assert sorted(one.code for one in run.warnings) == ["http_status", "sitemap_untidy", "sitemap_untidy"]
    assert driver.removed == []


async def test_what_rolls_out_of_a_feed_stays_and_what_is_not_there_any_more_goes(core: Core) -> None:
    posts = [f"/post{number}" for number in range(10)]
    driver = Driver(core, site_of({path: [] for path in posts}))
    driver.site[f"{HOST}/feed"] = listing(*posts[:8])
    crawl_id = await driver.submit(f"{HOST}/feed", source="feed")
    await driver.run(crawl_id, 1)
    driver.site[f"{HOST}/feed"] = listing(*posts[2:])
    driver.site[f"{HOST}{posts[5]}"] = gone(410)
    run = await runs(driver, crawl_id, 3)
    assert (run.held, driver.removed) == (None, [f"{HOST}{posts[5]}"])
    assert (await driver.crawling.crawl(OWNER, crawl_id)).documents == 9


@pytest.mark.parametrize(("kind", "removed"), [("rss", []), ("atom", []), ("sitemap", [f"{HOST}/post0"])])
async def test_what_rolls_out_of_a_feed_that_a_sitemap_turned_out_to_be_stays(
    core: Core, kind: str, removed: list[str]
) -> None:
    posts = [f"/post{number}" for number in range(5)]
    driver = Driver(core, site_of({path: [] for path in posts}))
    driver.site[f"{HOST}/feed"] = listing(*posts[:4], kind=kind)
    crawl_id = await driver.submit(f"{HOST}/feed", source="sitemap")
    await driver.run(crawl_id, 1)
    driver.site[f"{HOST}/feed"] = listing(*posts[1:], kind=kind)
    run = await runs(driver, crawl_id, 3)
    assert (run.state, run.held, run.warnings, driver.removed) == (RunState.COMPLETED, None, [], removed)


async def test_a_list_whose_content_was_lost_met_nothing_and_says_so(core: Core) -> None:
    driver = Driver(core, site_with(robots=naming(SITEMAP)))
    crawl_id = await driver.submit(source="site")
    await driver.run(crawl_id, 1)
    driver.site[SITEMAP] = Page(lists={"links": "lost"})
    run = await runs(driver, crawl_id, 3)
    assert (told(run), driver.removed) == ([("sitemap_incomplete", SITEMAP)], [])
