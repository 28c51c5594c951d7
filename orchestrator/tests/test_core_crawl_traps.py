"""Traps are what links lead to without an end; what somebody listed has one, and is looked at whatever it looks like."""

from collections import Counter

import pytest
from conftest import Core
from crawl_driver import Driver, Page, Site
from test_core_crawl_addresses import scope_of

from app.core.crawls import traps
from app.core.crawls.frontier import Link, RunScope
from app.core.crawls.traps import CALENDAR_MOST, FACETS_MOST, listed, shape_of

HOST = "http://site.test"


def dates(count: int, area: str = "news") -> list[str]:
    return [f"{HOST}/{area}/2026-{1 + number // 28:02}-{1 + number % 28:02}" for number in range(count)]


def articles(count: int) -> list[str]:
    return [f"{HOST}/index.php?id={number}&option=com_content&view=article" for number in range(count)]


def pages_of(*urls: str) -> Site:
    """A site whose pages have texts of their own."""
    return Site({url: Page(f"the text of {url}") for url in urls})


async def told_of(driver: Driver, crawl_id: str, run: int = 1) -> Counter[str]:
    await driver.run(crawl_id, run)
    return Counter((await driver.outcomes(crawl_id, run)).values())


@pytest.mark.parametrize("urls", [dates(100), articles(150), [f"{HOST}/a/a/a/a"]], ids=["dates", "articles", "nested"])
async def test_pages_that_a_user_listed_are_all_looked_at(core: Core, urls: list[str]) -> None:
    driver = Driver(core, pages_of(*urls))
    crawl_id = await driver.submit(None, source="list", urls=urls)
    assert await told_of(driver, crawl_id) == Counter(new=len(urls))


async def test_pages_of_a_list_that_say_nothing_new_are_no_trap(core: Core) -> None:
    urls = [f"{HOST}/index.php?id={number}" for number in range(60)]
    driver = Driver(core, Site(dict.fromkeys(urls, Page("the same"))))
    crawl_id = await driver.submit(None, source="list", urls=urls)
    assert await told_of(driver, crawl_id) == Counter({"new": 1, "skipped: duplicate_content": 59})


@pytest.mark.parametrize("source", ["sitemap", "feed"])
@pytest.mark.parametrize("urls", [dates(100), articles(150), [f"{HOST}/a/a/a/a"]], ids=["dates", "articles", "nested"])
async def test_pages_that_a_site_listed_are_all_looked_at(core: Core, source: str, urls: list[str]) -> None:
    site = pages_of(*urls)
    site[f"{HOST}/all.xml"] = Page(lists={"links": [{"url": url} for url in urls], "sitemaps": []})
    driver = Driver(core, site)
    crawl_id = await driver.submit(f"{HOST}/all.xml", source=source)
    assert await told_of(driver, crawl_id) == Counter(new=len(urls))


async def test_the_right_name_of_a_page_that_is_listed_is_as_good_as_its_own(core: Core) -> None:
    urls = dates(CALENDAR_MOST + 10)
    right = {url: url.replace("/news/", "/archive/") for url in urls}
    site = pages_of(*right.values())
    site |= {url: Page("moved", final_url=right[url]) for url in urls}
    site[f"{HOST}/all.xml"] = Page(lists={"links": [{"url": url} for url in urls], "sitemaps": []})
    driver = Driver(core, site)
    crawl_id = await driver.submit(f"{HOST}/all.xml", source="sitemap")
    assert await told_of(driver, crawl_id) == Counter({"new": len(urls), "skipped: canonical_elsewhere": len(urls)})


async def test_a_page_that_changed_is_looked_at_though_many_others_say_nothing_new(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.crawls.filling.STALE_MOST", 5)
    # those of one text are asked for in each run, and whatever the order is in which a run asks, some of these stand before most
    good, same = (
        [f"{HOST}/{kind}/{number}" for number in range(count)] for kind, count in (("good", 10), ("same", 30))
    )
    site = pages_of(*good)
    site |= {url: Page("the same") for url in same}
    links = dict.fromkeys((*good, *same), "2026-01-01T00:00:00Z")

    def tell() -> None:
        told = [{"url": url, "lastmod": lastmod} for url, lastmod in links.items()]
        site[f"{HOST}/all.xml"] = Page(lists={"links": told, "sitemaps": []})

    tell()
    driver = Driver(core, site, most=4)
    crawl_id = await driver.submit(f"{HOST}/all.xml", source="sitemap")
    assert await told_of(driver, crawl_id) == Counter({"new": 11, "skipped: duplicate_content": 29})
    for url in good:
        site[url] = Page(f"another text of {url}")
        links[url] = "2099-01-01T00:00:00Z"
    tell()
    run = await driver.again(crawl_id)
    assert (run.outcomes.changed, run.reasons["skipped"]) == (10, {"duplicate_content": 29})


async def test_a_run_that_finds_nothing_new_follows_no_more_links_and_looks_at_all_that_is_listed(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.crawls.filling.STALE_MOST", 5)
    linked = [f"{HOST}/{letter * 3}/linked" for letter in "abcdefghijklmnopqrst"]
    sitemap = [f"{HOST}/listed/{number}" for number in range(20)]
    site = Site({url: Page("the same", linked) for url in (*linked, *sitemap)})
    site[f"{HOST}/"] = Page("begin", linked)
    site[f"{HOST}/robots.txt"] = Page(lists={"links": [], "sitemaps": [f"{HOST}/index.xml"]})
    site[f"{HOST}/index.xml"] = Page(lists={"links": [], "sitemaps": [f"{HOST}/all.xml"]})
    site[f"{HOST}/all.xml"] = Page(lists={"links": [{"url": url} for url in sitemap], "sitemaps": []})
    driver = Driver(core, site, most=2)
    crawl_id = await driver.submit(source="site")
    run = await driver.run(crawl_id, 1)
    told = await driver.outcomes(crawl_id, 1)
    assert Counter(told[url.removeprefix(HOST)].partition(": ")[2] for url in sitemap)["trap"] == 0
    assert run.outcomes.new == 2
    assert 0 < run.reasons["skipped"]["trap"] == sum(told[url.removeprefix(HOST)] == "skipped: trap" for url in linked)


@pytest.mark.parametrize(
    ("urls", "most"), [(dates(100), CALENDAR_MOST), (articles(150), FACETS_MOST)], ids=["calendar", "filters"]
)
async def test_pages_of_a_suspicious_pattern_that_links_lead_to_are_bounded_whatever_they_say(
    core: Core, urls: list[str], most: int
) -> None:
    site = pages_of(*urls)
    site[f"{HOST}/"] = Page("begin", urls)
    driver = Driver(core, site)
    crawl_id = await driver.submit()
    assert await told_of(driver, crawl_id) == Counter({"new": most + 1, "skipped: trap": len(urls) - most})


async def test_what_a_list_has_of_a_pattern_takes_nothing_from_what_its_pages_lead_to(core: Core) -> None:
    known, linked = dates(100), dates(200)[100:]
    site = pages_of(*known, *linked)
    site[known[0]].links += linked
    driver = Driver(core, site)
    crawl_id = await driver.submit(None, source="list", urls=known, follow_links=True)
    told = await told_of(driver, crawl_id)
    assert told == Counter({"new": 100 + CALENDAR_MOST, "skipped: trap": 100 - CALENDAR_MOST})


async def test_a_page_that_a_link_led_to_first_is_one_that_is_listed_once_a_sitemap_names_it(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traps, "CALENDAR_MOST", 3)
    urls, nested = dates(20), f"{HOST}/a/a/a/a"
    site = pages_of(*urls, nested)
    site[f"{HOST}/"] = Page("begin", [*urls, nested])
    site[f"{HOST}/sitemap.xml"] = Page(lists={"links": [], "sitemaps": [f"{HOST}/more.xml"]})
    site[f"{HOST}/more.xml"] = Page(lists={"links": [], "sitemaps": [f"{HOST}/all.xml"]})
    listed_ones = [{"url": url} for url in [*urls[:15], nested]]
    site[f"{HOST}/all.xml"] = Page(lists={"links": listed_ones, "sitemaps": []})
    driver = Driver(core, site)
    crawl_id = await driver.submit(source="site")
    while not await core.pool.fetchval("SELECT count(*) > 5 FROM run_pages WHERE reason = 'trap'"):
        await driver.step()
    assert site.asked[f"{HOST}/all.xml"] == 0, "they were left out before the sitemap was read"
    told = await told_of(driver, crawl_id)
    assert told["skipped: trap"] <= 5
    outcomes = await driver.outcomes(crawl_id, 1)
    assert {outcomes[one["url"].removeprefix(HOST)] for one in listed_ones} == {"new"}


def test_what_is_listed_has_a_pattern_of_its_own_and_what_is_linked_that_of_its_like() -> None:
    scope: RunScope = scope_of()
    one, other = (scope.met(Link(url), depth=0, is_listed=True) for url in dates(2))
    assert one is not None
    assert other is not None
    assert one.shape == listed(one.url_hash) != other.shape
    assert (one.shape.most, one.reason) == (None, None)
    assert shape_of(one.url) == shape_of(other.url)


async def test_the_database_tells_what_is_listed_as_this_code_does(core: Core) -> None:
    for one in (bytes(range(16)), bytes(range(255, 239, -1))):
        assert await core.pool.fetchval("SELECT pattern_of_listed($1)", one) == listed(one).pattern
