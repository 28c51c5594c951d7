"""Runs: what becomes of every page of a site, read from rows."""

import asyncio
from collections import Counter

import pytest
from conftest import Core
from crawl_driver import OWNER, Driver, Page, Site, gone, site_of

from app.core.errors import RunInProgressError, TooManyCrawlsError, TooManyOpenRunsError
from ml_shared.contracts.crawls import OnGone, RunRequest, RunState
from ml_shared.names import Stage


async def test_a_site_is_followed_from_its_page_and_every_url_has_an_outcome(core: Core) -> None:
    site = site_of({"/": ["/a", "/b#part", "/missing"], "/a": ["/", "/c?utm_source=x"], "/b": ["/x/x/x/x"], "/c": []})
    site["http://site.test/b"].links += ["http://other.test/", "mailto:somebody@site.test"]
    driver = Driver(core, site)
    crawl_id = await driver.submit()
    run = await driver.run(crawl_id, 1)
    assert await driver.outcomes(crawl_id, 1) == {
        "/": "new",
        "/a": "new",
        "/b": "new",
        "/c": "new",
        "/missing": "failed: gone",
        "/x/x/x/x": "skipped: trap",
        "http://other.test/": "skipped: out_of_scope",
    }
    assert (run.state, run.outcomes.new, run.outcomes.failed, run.pages) == (RunState.COMPLETED_WITH_ERRORS, 4, 1, 5)
    assert run.reasons["skipped"] == {"trap": 1, "out_of_scope": 1}
    assert site.asked == Counter({f"http://site.test{path}": 1 for path in ("/", "/a", "/b", "/c", "/missing")})
    assert (await driver.crawling.crawl(OWNER, crawl_id)).documents == 4
    assert await core.pool.fetchval("SELECT open_jobs FROM owners") == 0


async def test_a_run_whose_beginning_is_not_there_has_failed(core: Core) -> None:
    driver = Driver(core, Site())
    crawl_id = await driver.submit()
    assert (await driver.run(crawl_id, 1)).state is RunState.FAILED


async def test_bounds_of_pages_and_depth_are_told_of_each_url(core: Core) -> None:
    site = site_of({"/": [f"/p{number}" for number in range(8)], **{f"/p{number}": ["/deep"] for number in range(8)}})
    site["http://site.test/deep"] = Page("deep")
    driver = Driver(core, site)
    crawl_id = await driver.submit(max_pages=3, max_depth=1)
    await driver.run(crawl_id, 1)
    told = Counter((await driver.outcomes(crawl_id, 1)).values())
    assert told == Counter({"new": 3, "skipped: over_limit": 6 - 0, "skipped: too_deep": 1})
    assert sum(site.asked.values()) == 3


async def test_a_page_that_is_met_nearer_later_is_not_too_deep(core: Core) -> None:
    site = site_of({"/": ["/a"], "/a": ["/b"], "/b": ["/c"], "/c": []})
    site["http://site.test/a"].nofollow = True
    driver = Driver(core, site)
    crawl_id = await driver.submit()
    await driver.run(crawl_id, 1)
    assert await driver.outcomes(crawl_id, 1) == {"/": "new", "/a": "new", "/b": "skipped: nofollow"}
    site["http://site.test/"].links.append("http://site.test/b")
    site["http://site.test/"].text = "another text"
    await driver.again(crawl_id)
    assert (await driver.outcomes(crawl_id, 2))["/b"] == "new"


async def test_where_a_run_begins_is_read_for_its_links_whatever_is_included(core: Core) -> None:
    site = site_of({"/": ["/docs/a", "/blog/b"], "/docs/a": ["/docs/secret/x"]})
    driver = Driver(core, site)
    crawl_id = await driver.submit(include=["/docs/*"], exclude=["*/secret/*"])
    await driver.run(crawl_id, 1)
    assert await driver.outcomes(crawl_id, 1) == {
        "/": "skipped: excluded",
        "/docs/a": "new",
        "/blog/b": "skipped: excluded",
        "/docs/secret/x": "skipped: excluded",
    }
    assert driver.embedded == Counter({"http://site.test/docs/a": 1})


async def test_the_same_text_is_one_document_and_the_other_names_it(core: Core) -> None:
    site = site_of({"/": ["/a", "/b"]})
    for path in ("/a", "/b"):
        site[f"http://site.test{path}"] = Page("the same")
    driver = Driver(core, site)
    crawl_id = await driver.submit()
    await driver.run(crawl_id, 1)
    told = await driver.outcomes(crawl_id, 1)
    first, other = sorted(("/a", "/b"), key=lambda path: told[path] != "new")
    assert (told[first], told[other]) == ("new", "skipped: duplicate_content")
    detail = await core.pool.fetchval("SELECT detail FROM run_pages WHERE url = $1", f"http://site.test{other}")
    assert detail == f"http://site.test{first}"
    assert driver.embedded[f"http://site.test{other}"] == 0
    for _ in range(2):  # the document stays the one that it is, whichever comes first
        await driver.again(crawl_id)
    assert (await driver.outcomes(crawl_id, 3))[first] == "unchanged"
    assert driver.removed == []


async def test_pages_that_name_another_as_theirs_leave_it_to_that_one(core: Core) -> None:
    site = site_of({"/": ["/print", "/loop1", "/old", "/away"], "/page": []})
    site["http://site.test/print"] = Page("printed", canonical="http://site.test/page")
    site["http://site.test/loop1"] = Page("one", canonical="http://site.test/loop2")
    site["http://site.test/loop2"] = Page("two", canonical="http://site.test/loop1")
    site["http://site.test/old"] = Page("moved", final_url="http://site.test/page")
    site["http://site.test/away"] = Page("elsewhere", final_url="http://other.test/")
    driver = Driver(core, site)
    crawl_id = await driver.submit()
    await driver.run(crawl_id, 1)
    told = await driver.outcomes(crawl_id, 1)
    assert (told["/print"], told["/old"], told["/page"]) == (*["skipped: canonical_elsewhere"] * 2, "new")
    assert told["/away"] == "skipped: out_of_scope"
    assert sorted((told["/loop1"], told["/loop2"])) == ["new", "skipped: canonical_elsewhere"]


async def test_a_site_without_an_end_is_left_when_it_says_nothing_new(core: Core) -> None:
    site = Site({"http://site.test/": Page("begin", ["http://site.test/s/0"])})

    class Endless(Site):
        def answer(self, url: str, kind: str) -> Page:
            if url == "http://site.test/":
                return super().answer(url, kind)
            number = int(url.rpartition("/")[2])
            more = [f"http://site.test/s/{number * 3 + step}" for step in (1, 2, 3)]
            self[url] = Page("always the same", more)
            return super().answer(url, kind)

    driver = Driver(core, Endless(dict(site)))
    crawl_id = await driver.submit(max_pages=5_000, max_depth=50)
    run = await driver.run(crawl_id, 1)
    assert run.pages < 150
    assert run.reasons["skipped"]["trap"] > 10
    assert run.outcomes.new == 2


async def test_filters_in_all_combinations_that_show_the_same_are_left_soon(core: Core) -> None:
    class Shop(Site):
        def answer(self, url: str, kind: str) -> Page:
            chosen = dict(pair.partition("=")[::2] for pair in url.partition("?")[2].split("&"))
            others = [
                "&".join(f"{key}={of}" for key, of in sorted({**chosen, name: str(len(url) + number)}.items()))
                for number, name in enumerate(("brand", "color", "page", "size", "sort"))
            ]
            self[url] = Page("everything there is", [f"http://site.test/shop?{other}" for other in others])
            return super().answer(url, kind)

    driver = Driver(core, Shop())
    crawl_id = await driver.submit("http://site.test/shop?color=red", max_pages=5_000)
    run = await driver.run(crawl_id, 1)
    assert (run.outcomes.new, run.pages < 130) == (1, True), run.pages


async def test_a_calendar_is_left_after_some_of_its_months(core: Core) -> None:
    class Calendar(Site):
        def answer(self, url: str, kind: str) -> Page:
            year, month = (int(part) for part in url.removeprefix("http://site.test/calendar/").split("/"))
            following = (year, month + 1) if month < 12 else (year + 1, 1)
            self[url] = Page(f"{year} {month}", [f"http://site.test/calendar/{following[0]}/{following[1]}"])
            return super().answer(url, kind)

    driver = Driver(core, Calendar())
    crawl_id = await driver.submit("http://site.test/calendar/2026/1", max_depth=50, max_pages=1_000)
    run = await driver.run(crawl_id, 1)
    assert run.pages == 51, "each is a link deeper"
    assert run.reasons["skipped"] == {"too_deep": 1}


async def test_a_run_has_a_bounded_number_of_jobs_and_leaves_its_owner_room(core: Core) -> None:
    site = site_of({"/": [f"/{'abcdefghij'[number % 10]}/{number}" for number in range(60)]})
    for url in list(site["http://site.test/"].links):
        site[url] = Page(url)
    driver = Driver(core, site, most=7)
    crawl_id = await driver.submit()
    most = 0
    while (await driver.crawling.run(OWNER, crawl_id, 1)).ended_at is None:
        await driver.step()
        await driver.crawling.go_on()
        most = max(most, await core.pool.fetchval("SELECT count(*) FROM jobs WHERE placement <> 'ended'"))
    assert most == 7
    assert (await driver.crawling.run(OWNER, crawl_id, 1)).outcomes.new == 61
    full = Driver(core, site, max_open_jobs=0)
    waits = await full.submit()
    await full.step()
    assert (await full.crawling.run(OWNER, waits, 1)).waiting == 1, (
        "it waits for its owner's other work, and does not end"
    )


async def test_sitemaps_are_read_index_by_index_and_what_is_broken_is_a_warning(core: Core) -> None:
    site = site_of({"/": [], "/a": ["/never"], "/b": []})
    site["http://site.test/robots.txt"] = Page(lists={"links": [], "sitemaps": ["http://site.test/index.xml"]})
    site["http://site.test/index.xml"] = Page(
        lists={"links": [], "sitemaps": ["http://site.test/one.xml", "http://site.test/broken.xml"]}
    )
    pages = [{"url": "http://site.test/a", "lastmod": "2026-01-01T23:59:59Z"}, {"url": "http://site.test/b"}]
    site["http://site.test/one.xml"] = Page(lists={"links": pages, "sitemaps": ["http://site.test/index.xml"]})
    site["http://site.test/broken.xml"] = Page(error=("extraction_failed", "no XML"))
    driver = Driver(core, site)
    crawl_id = await driver.submit(source="sitemap")
    run = await driver.run(crawl_id, 1)
    assert await driver.outcomes(crawl_id, 1) == {"/a": "new", "/b": "new"}
    assert [(one.code, one.url) for one in run.warnings] == [("extraction_failed", "http://site.test/broken.xml")]
    assert run.state is RunState.COMPLETED_WITH_ERRORS
    assert (run.pages, site.asked["http://site.test/index.xml"]) == (2, 1)
    again = await driver.again(crawl_id)
    assert (await driver.outcomes(crawl_id, 2))["/a"] == "unchanged: lastmod"
    assert (again.saved.requests, again.saved.bodies) == (1, 0)
    assert (site.asked["http://site.test/a"], site.asked["http://site.test/b"]) == (1, 2)
    await driver.again(crawl_id, force=True)
    assert site.asked["http://site.test/a"] == 2


async def test_a_document_that_is_gone_or_of_another_model_comes_back_whatever_its_sitemap_says(core: Core) -> None:
    site = site_of({"/": [], "/a": ["/never"], "/b": [], "/c": []})
    links = [{"url": f"http://site.test/{name}", "lastmod": "2026-01-01T23:59:59Z"} for name in "abc"]
    site["http://site.test/sitemap.xml"] = Page(lists={"links": links, "sitemaps": []})
    driver = Driver(core, site)
    crawl_id = await driver.submit(source="sitemap")
    await driver.run(crawl_id, 1)
    site["http://site.test/b"] = gone()
    driver.missing = {"http://site.test/a", "http://site.test/b"}
    run = await driver.again(crawl_id)
    assert await driver.outcomes(crawl_id, 2) == {"/a": "unchanged", "/b": "failed: gone", "/c": "unchanged: lastmod"}
    asked = {path: site.asked[f"http://site.test/{path}"] for path in ("sitemap.xml", *"abc")}
    assert asked == {"sitemap.xml": 2, "a": 2, "b": 2, "c": 1}
    assert (driver.embedded["http://site.test/a"], driver.embedded["http://site.test/c"]) == (2, 1)
    assert (run.saved.requests, driver.touched.total()) == (1, 3)
    looked = "SELECT url, looked_at FROM validators ORDER BY url"
    before = dict(await core.pool.fetch(looked))
    driver.missing.clear()
    await driver.again(crawl_id)
    after = dict(await core.pool.fetch(looked))
    assert after["http://site.test/c"] == before["http://site.test/c"], (
        "a touch is no look: its sitemap is believed for a while"
    )


async def test_a_run_touches_as_many_documents_at_once_as_its_window_has_and_a_cancel_ends_them(core: Core) -> None:
    site = site_of({"/": [], **{f"/{number}": [] for number in range(6)}})
    links = [{"url": f"http://site.test/{number}", "lastmod": "2026-01-01T23:59:59Z"} for number in range(6)]
    site["http://site.test/sitemap.xml"] = Page(lists={"links": links, "sitemaps": []})
    driver = Driver(core, site, most=4)
    crawl_id = await driver.submit(source="sitemap")
    await driver.run(crawl_id, 1)
    accepted, _ = await driver.crawling.run_now(OWNER, crawl_id, RunRequest(), traceparent=None, idempotency_key=None)
    while (run := await driver.crawling.run(OWNER, crawl_id, accepted.run)).open != 4:
        await driver.crawling.go_on()
        await core.pool.execute("UPDATE lanes SET next_at = now()")
        for job in await core.claim(Stage.SCRAPING, high_water=1_000_000):
            await driver.scraped(job)
    assert run.waiting == 2
    await driver.crawling.cancel(OWNER, crawl_id, accepted.run)
    ended = await driver.run(crawl_id, accepted.run)
    assert (ended.state, ended.outcomes.skipped) == (RunState.CANCELLED, 6)
    assert await core.pool.fetchval("SELECT open_jobs FROM owners WHERE owner = $1", OWNER) == 0


async def test_a_dry_run_finds_pages_and_indexes_none(core: Core) -> None:
    driver = Driver(core, site_of({"/": ["/a"], "/a": []}))
    crawl_id = await driver.submit(dry_run=True)
    run = await driver.run(crawl_id, 1)
    assert (run.state, run.outcomes.new, driver.embedded) == (RunState.COMPLETED, 2, Counter())
    assert (await driver.crawling.crawl(OWNER, crawl_id)).documents == 0


async def test_a_refresh_tells_what_is_new_changed_and_unchanged_and_follows_what_was_not_sent(core: Core) -> None:
    site = site_of({"/": ["/a", "/b", "/c"], "/a": [], "/b": [], "/c": ["/d"], "/d": []})
    for page in site.values():
        page.etag = True
    driver = Driver(core, site)
    crawl_id = await driver.submit()
    await driver.run(crawl_id, 1)
    site["http://site.test/b"].text = "another text"
    site["http://site.test/b"].links.append("http://site.test/e")
    site["http://site.test/e"] = Page("e")
    run = await driver.again(crawl_id)
    assert await driver.outcomes(crawl_id, 2) == {
        **dict.fromkeys(("/", "/a", "/c", "/d"), "unchanged"),
        "/b": "changed",
        "/e": "new",
    }
    assert (run.saved.bodies, run.saved.embeddings) == (4, 4)
    assert driver.embedded == Counter(
        {f"http://site.test{path}": 1 for path in ("/", "/a", "/c", "/d", "/e")} | {"http://site.test/b": 2}
    )


async def test_a_page_of_which_somebody_wrote_a_newer_version_meanwhile_is_told_as_that(core: Core) -> None:
    driver = Driver(core, site_of({"/": ["/a", "/b"], "/a": [], "/b": []}))
    crawl_id = await driver.submit()
    driver.superseded = {"http://site.test/a"}
    run = await driver.run(crawl_id, 1)
    assert await driver.outcomes(crawl_id, 1) == {"/": "new", "/a": "unchanged: superseded", "/b": "new"}
    assert (run.state, run.outcomes.new, run.outcomes.unchanged) == (RunState.COMPLETED, 2, 1)
    assert (await driver.crawling.crawl(OWNER, crawl_id)).documents == 3, "it is one of them, whoever wrote it"
    driver.superseded = {"http://site.test/b"}
    driver.site["http://site.test/b"].text = "another text"
    await driver.again(crawl_id)
    told = await driver.outcomes(crawl_id, 2)
    assert (told["/a"], told["/b"]) == ("changed", "unchanged: superseded")
    driver.superseded.clear()
    await driver.again(crawl_id)
    assert (await driver.outcomes(crawl_id, 3))["/b"] == "changed", "what the run before had found was not written"


async def test_a_page_that_is_gone_twice_is_removed_and_one_that_comes_back_is_not(core: Core) -> None:
    site = site_of({"/": [f"/{name}" for name in "abcdefgh"], **{f"/{name}": [] for name in "abcdefgh"}})
    driver = Driver(core, site)
    crawl_id = await driver.submit()
    await driver.run(crawl_id, 1)
    kept = {path: site[f"http://site.test/{path}"] for path in "ab"}
    site["http://site.test/a"], site["http://site.test/b"] = gone(404), gone(410)
    site["http://site.test/"].links.remove("http://site.test/c")
    await driver.again(crawl_id)
    assert driver.removed == []
    site["http://site.test/b"] = kept["b"]
    run = await driver.again(crawl_id)
    assert sorted(driver.removed) == ["http://site.test/a", "http://site.test/c"]
    told = await driver.outcomes(crawl_id, 3)
    assert (told["/a"], told["/b"], told["/c"]) == ("removed: gone", "unchanged", "removed: not_met")
    assert (run.outcomes.removed, run.state) == (2, RunState.COMPLETED)
    assert (await driver.crawling.crawl(OWNER, crawl_id)).documents == 7


@pytest.mark.parametrize("source", ["list", "sitemap", "page"])
async def test_what_a_page_leads_to_stays_while_the_page_itself_fails(core: Core, source: str) -> None:
    site = site_of({"/a": ["/a1", "/b"], "/b": [f"/b{number}" for number in range(6)], "/a1": []})
    site |= {f"http://site.test/b{number}": Page(f"b{number}") for number in range(6)}
    links = [{"url": f"http://site.test/{name}"} for name in "ab"]
    site["http://site.test/all.xml"] = Page(lists={"links": links, "sitemaps": []})
    driver = Driver(core, site)
    begins = {
        "list": {"url": None, "urls": [link["url"] for link in links]},
        "sitemap": {"url": "http://site.test/all.xml"},
        "page": {"url": "http://site.test/a"},
    }
    crawl_id = await driver.submit(source=source, follow_links=True, **begins[source])
    await driver.run(crawl_id, 1)
    site["http://site.test/a"] = gone(503)
    for run in (2, 3, 4):
        await driver.again(crawl_id)
        told = await driver.outcomes(crawl_id, run)
        assert (told["/a"], told["/a1"], told["/b0"]) == ("failed: http_status", "unchanged", "unchanged")
    assert driver.removed == []


@pytest.mark.parametrize(
    "ill", ["everything is gone", "nothing is linked", "everybody has to log in", "the sitemap is empty"]
)
async def test_a_site_that_is_ill_loses_nothing(core: Core, ill: str) -> None:
    names = [f"/{name}" for name in "abcdef"]
    site = site_of({"/": names, **{name: [] for name in names}})
    by_sitemap = ill == "the sitemap is empty"
    listed = {"links": [{"url": f"http://site.test{name}"} for name in names], "sitemaps": []}
    site["http://site.test/sitemap.xml"] = Page(lists=listed)
    driver = Driver(core, site)
    crawl_id = await driver.submit(source="sitemap" if by_sitemap else "page")
    await driver.run(crawl_id, 1)
    if ill == "everything is gone":
        for url in site:
            site[url] = gone()
    elif ill == "nothing is linked":
        site["http://site.test/"].links.clear()
    elif ill == "everybody has to log in":
        for url in site:
            site[url] = Page("log in", final_url="http://site.test/login")
        site["http://site.test/login"] = Page("log in")
    else:
        site["http://site.test/sitemap.xml"] = Page(lists={"links": [], "sitemaps": []})
    for _ in range(3):
        run = await driver.again(crawl_id)
    assert driver.removed == []
    assert run.state is RunState.FAILED or run.held == "mass_deletion"


async def test_what_is_held_back_is_removed_once_it_is_confirmed(core: Core) -> None:
    names = [f"/{name}" for name in "abcdef"]
    site = site_of({"/": names, **{name: [] for name in names}})
    driver = Driver(core, site)
    crawl_id = await driver.submit()
    await driver.run(crawl_id, 1)
    del site["http://site.test/"].links[:3]
    await driver.again(crawl_id)
    held = await driver.again(crawl_id)
    assert (held.held, held.held_documents, driver.removed) == ("mass_deletion", 3, [])
    assert (await driver.crawling.confirm(OWNER, crawl_id, 3)).held is None
    for _ in range(4):
        await driver.step()
    assert len(driver.removed) == 3
    view = await driver.crawling.run(OWNER, crawl_id, 3)
    assert (view.outcomes.removed, view.state) == (3, RunState.COMPLETED)
    assert (await driver.again(crawl_id)).held is None, "another run begins when it is done"


async def test_a_crawl_that_keeps_what_is_gone_removes_nothing(core: Core) -> None:
    site = site_of({"/": ["/a", "/b", "/c", "/d"], **{f"/{name}": [] for name in "abcd"}})
    driver = Driver(core, site)
    crawl_id = await driver.submit(on_gone="keep")
    await driver.run(crawl_id, 1)
    site["http://site.test/a"] = gone()
    for _ in range(3):
        run = await driver.again(crawl_id)
    assert (driver.removed, run.held) == ([], None)


async def test_a_cancelled_run_ends_at_once_and_leaves_nothing_open(core: Core) -> None:
    site = site_of({"/": [f"/p{number}" for number in range(50)]})
    driver = Driver(core, site, most=10)
    crawl_id = await driver.submit()
    await driver.step()
    await driver.step()
    view = await driver.crawling.cancel(OWNER, crawl_id, 1)
    assert (view.state, view.waiting, view.open) == (RunState.CANCELLED, 0, 0)
    assert view.reasons["skipped"]["cancelled"] > 30
    assert await core.pool.fetchval("SELECT open_jobs FROM owners") == 0
    assert (await driver.crawling.cancel(OWNER, crawl_id, 1)).state is RunState.CANCELLED


async def test_a_deleted_crawl_takes_its_documents_with_it_or_leaves_them(core: Core) -> None:
    for documents, removed in ((OnGone.KEEP, 0), (OnGone.DELETE, 3)):
        driver = Driver(core, site_of({"/": ["/a", "/b"], "/a": [], "/b": []}))
        crawl_id = await driver.submit()
        await driver.run(crawl_id, 1)
        await driver.crawling.delete(OWNER, crawl_id, documents=documents)
        assert (await driver.crawling.crawls(OWNER, limit=10, cursor=None)).items == []
        for _ in range(4):
            await driver.step()
        assert len(driver.removed) == removed
    for table in ("crawls", "runs", "run_pages", "run_contents", "crawl_documents", "crawl_links", "run_tallies"):
        assert await core.pool.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_crawls_and_open_runs_are_bounded_and_a_crawl_has_one_run_at_a_time(core: Core) -> None:
    driver = Driver(core, site_of({"/": []}))
    crawl_ids = [await driver.submit() for _ in range(5)]
    with pytest.raises(TooManyOpenRunsError):
        await driver.submit()
    with pytest.raises(RunInProgressError):
        await driver.again(crawl_ids[0])
    for crawl_id in crawl_ids:
        await driver.run(crawl_id, 1)
    driver.crawling._max_crawls = 5
    with pytest.raises(TooManyCrawlsError):
        await driver.submit()
    begun = await asyncio.gather(
        *(
            driver.crawling.run_now(OWNER, crawl_ids[0], RunRequest(), traceparent=None, idempotency_key=None)
            for _ in range(4)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(one, RunInProgressError) for one in begun) == 3
