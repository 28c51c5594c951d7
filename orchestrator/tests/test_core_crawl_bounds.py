"""What bounds a run, and how each bound shows: in its counts, or as a warning."""

from typing import Any

import pytest
from conftest import Core
from crawl_driver import OWNER, Driver, Page, Site, site_of

from ml_shared.contracts.crawls import RunState
from ml_shared.web.urls import URL_MAX_CHARACTERS

SITEMAP = "http://site.test/sitemap.xml"


async def test_a_page_of_more_links_than_are_taken_counts_the_others(core: Core) -> None:
    site = site_of({"/": []})
    site["http://site.test/"] = Page("begin", [f"http://other.test/{number}" for number in range(5_100)])
    driver = Driver(core, site)
    crawl_id = await driver.submit()
    run = await driver.run(crawl_id, 1)
    assert run.reasons["skipped"] == {"out_of_scope": 5_000, "over_limit": 100}


async def test_a_link_that_is_too_long_for_a_url_is_counted(core: Core) -> None:
    site = site_of({"/": []})
    links = [
        "http://site.test/" + "x" * URL_MAX_CHARACTERS,
        "http://site.test/" + "é" * 400,
        "http://[bad/",
        "http://site.test/" + "x" * 900,
    ]
    site["http://site.test/"] = Page("begin", links)
    driver = Driver(core, site)
    run = await driver.run(await driver.submit(max_pages=1), 1)
    assert run.reasons["skipped"] == {"unsupported": 2, "over_limit": 1}


async def test_a_run_that_met_links_that_are_too_long_still_knows_what_is_gone(core: Core) -> None:
    names = [f"/{name}" for name in "abcd"]
    site = site_of({"/": names, **{name: [] for name in names}})
    site["http://site.test/"].links.append("http://site.test/" + "x" * URL_MAX_CHARACTERS)
    driver = Driver(core, site)
    crawl_id = await driver.submit()
    await driver.run(crawl_id, 1)
    site["http://site.test/"].links.remove("http://site.test/a")
    for _ in range(2):
        run = await driver.again(crawl_id)
    assert (driver.removed, run.reasons["skipped"]) == (["http://site.test/a"], {"unsupported": 1})


async def test_what_was_left_out_is_kept_up_to_a_bound_and_counted_beyond(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.crawls.frontier.SKIPPED_KEPT", 20)
    monkeypatch.setattr("app.core.crawls.passing.SKIPPED_KEPT", 20)
    links = {f"/p{number}": [f"http://other{number}.test/{page}" for page in range(10)] for number in range(4)}
    site = site_of({"/": list(links)})
    for path, leads in links.items():
        site[f"http://site.test{path}"] = Page(path, leads)
    driver = Driver(core, site)
    crawl_id = await driver.submit()
    run = await driver.run(crawl_id, 1)
    assert run.reasons["skipped"] == {"out_of_scope": 40}
    assert await core.pool.fetchval("SELECT count(*) FROM run_pages WHERE outcome = 'skipped'") == 20
    cancelled = await driver.submit()
    await driver.step()
    await driver.crawling.cancel(OWNER, cancelled, 1)
    assert await core.pool.fetchval("SELECT count(*) FROM run_pages WHERE state <> 'ended'") == 0


def sitemaps(**lists: dict[str, Any]) -> Site:
    """A site of one page, and what its sitemaps are: by the names of their files."""
    site = site_of({"/page": []})
    for name, said in lists.items():
        named = [f"http://site.test/{one}.xml" for one in said.pop("sitemaps", ())]
        links = [{"url": f"http://site.test{path}"} for path in said.pop("links", ())]
        site[f"http://site.test/{name}.xml"] = Page(lists={"links": links, "sitemaps": named, **said})
    return site


async def warned(core: Core, site: Site) -> tuple[RunState, list[tuple[str, str]], list[str]]:
    """How a run of a site's sitemap ends, what its reader is warned of, and which sitemaps were read."""
    driver = Driver(core, site)
    run = await driver.run(await driver.submit(SITEMAP, source="sitemap"), 1)
    read = [url.removeprefix("http://site.test/") for url in site.asked if url.endswith(".xml")]
    return run.state, [(warning.code, warning.message) for warning in run.warnings], read


async def test_a_sitemap_that_was_cut_off_or_is_broken_gives_what_could_be_read_and_a_warning(core: Core) -> None:
    site = sitemaps(sitemap={"links": ["/page"], "truncated": True, "warnings": ["its XML is damaged", "and more"]})
    state, told, _ = await warned(core, site)
    assert state is RunState.COMPLETED
    assert told == [
        ("sitemap_incomplete", "its XML is damaged"),
        ("sitemap_truncated", "it names more than is read of one list"),
    ]


async def test_indexes_of_sitemaps_are_read_three_deep(core: Core) -> None:
    """An index, which names an index, which names an index: the sitemaps of that one are read."""
    site = sitemaps(
        sitemap={"sitemaps": ["second"]},
        second={"sitemaps": ["third"]},
        third={"sitemaps": ["pages", "fourth"]},
        pages={"links": ["/page"]},
        fourth={"sitemaps": ["fifth"]},
        fifth={"links": ["/page"]},
    )
    state, told, read = await warned(core, site)
    assert state is RunState.COMPLETED
    assert told == [("sitemap_too_deep", "lists of lists are read 3 deep")]
    assert read == ["sitemap.xml", "second.xml", "third.xml", "pages.xml", "fourth.xml"]


async def test_a_run_reads_so_many_sitemaps_and_says_that_there_are_more(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.crawls.taking.SITEMAPS_MOST", 3)
    site = sitemaps(
        sitemap={"sitemaps": ["a", "b", "c"]},
        a={"links": ["/page"], "sitemaps": ["d", "e"]},
        **{name: {} for name in ("b", "c", "d", "e")},
    )
    state, told, read = await warned(core, site)
    assert state is RunState.COMPLETED
    assert told == [("too_many_sitemaps", "a run reads 3 sitemaps at most")]
    assert read == ["sitemap.xml", "a.xml", "b.xml"]


async def test_a_run_keeps_no_more_urls_to_fetch_than_it_could_ask_for(core: Core) -> None:
    """Twice as many, and a thousand: some turn out to be traps. The others are over its limit at once."""
    site = site_of({"/": []})
    site["http://site.test/"] = Page("begin", [f"http://site.test/{number}" for number in range(3_000)])
    driver = Driver(core, site)
    crawl_id = await driver.submit(max_pages=1)
    await driver.step()
    await driver.step()
    waiting = await core.pool.fetchval("SELECT count(*) FROM run_pages WHERE state = 'waiting'")
    assert waiting <= 1_002
    run = await driver.run(crawl_id, 1)
    assert (run.pages, run.reasons["skipped"]) == (1, {"over_limit": 3_000})


async def test_a_scheduled_run_beyond_what_an_owner_may_have_open_is_missed_and_says_so(core: Core) -> None:
    driver = Driver(core, site_of({"/": []}))
    crawl_id = await driver.submit(schedule={"every": "1h"})
    await driver.run(crawl_id, 1)
    for _ in range(5):
        await driver.submit()
    await core.pool.execute("UPDATE crawls SET next_run_at = now() WHERE schedule IS NOT NULL")
    await driver.crawling.go_on()
    crawl = await driver.crawling.crawl(OWNER, crawl_id)
    assert (crawl.last_run, crawl.missed_runs) == (1, 1)
    assert crawl.last_missed is not None
    assert crawl.last_missed.reason == "too_many_open_runs"


async def test_a_run_keeps_so_many_warnings(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.core.crawls.settling.WARNINGS_MOST", 2)
    names = ["a", "b", "c", "d"]
    site = sitemaps(sitemap={"sitemaps": names, "links": ["/page"]}, **{name: {"truncated": True} for name in names})
    _, told, read = await warned(core, site)
    assert (len(told), len(read)) == (2, 5)
