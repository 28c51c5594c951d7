"""What of a crawl is changed, and shown: it counts from the next run on."""

from typing import Any

import pytest
from conftest import Core
from crawl_driver import OWNER, Driver, Page, Site, site_of

from ml_shared.contracts.crawls import LISTED_SHOWN, CrawlPatch, CrawlView, RunRequest
from ml_shared.contracts.scraping import Render
from ml_shared.errors import InvalidError

HOST = "http://site.test"
CUT = {"max_tokens": 256, "overlap_tokens": 32, "strategy": "sentence"}


async def change(driver: Driver, crawl_id: str, **changes: Any) -> CrawlView:
    return await driver.crawling.change(OWNER, crawl_id, CrawlPatch.model_validate(changes))


def validated(paths: list[str]) -> Site:
    site = site_of({"/": paths, **{path: [] for path in paths}})
    for page in site.values():
        page.etag = True
    return site


async def asked(core: Core, run: int, column: str) -> list[Any]:
    """What the pages of a run were asked for with."""
    rows = await core.pool.fetch(f"SELECT DISTINCT {column} AS one FROM jobs WHERE run = $1 AND kind = 'page'", run)
    return [row["one"] for row in rows]


async def test_all_that_was_asked_for_is_shown(core: Core) -> None:
    driver = Driver(core, Site())
    crawl_id = await driver.submit(chunking=CUT, metadata={"team": "docs"}, render="auto")
    crawl = await driver.crawling.crawl(OWNER, crawl_id)
    assert crawl.chunking.model_dump(mode="json") == CUT
    assert (crawl.metadata, crawl.render, crawl.listed) == ({"team": "docs"}, Render.AUTO, [])


async def test_of_a_long_list_the_first_hundred_are_shown_where_it_alone_is_asked_for(core: Core) -> None:
    driver = Driver(core, Site())
    urls = [f"{HOST}/{number}" for number in range(LISTED_SHOWN + 5)]
    crawl_id = await driver.submit(None, source="list", urls=urls)
    crawl = await driver.crawling.crawl(OWNER, crawl_id)
    assert (crawl.urls, crawl.listed) == (len(urls), urls[:LISTED_SHOWN])
    (listed,) = (await driver.crawling.crawls(OWNER, limit=5, cursor=None)).items
    assert (listed.urls, listed.listed) == (len(urls), [])


async def test_other_settings_of_chunking_make_every_page_anew_from_the_next_run_on(core: Core) -> None:
    driver = Driver(core, validated(["/a", "/b"]))
    crawl_id = await driver.submit()
    await driver.run(crawl_id, 1)
    assert (await driver.again(crawl_id)).saved.embeddings == 3
    changed = await change(driver, crawl_id, chunking=CUT)
    assert changed.chunking.model_dump(mode="json") == CUT
    run = await driver.again(crawl_id)
    assert (run.saved.bodies, set(driver.embedded.values())) == (0, {2})
    assert await asked(core, 3, "chunking") == [CUT]
    assert (await driver.again(crawl_id)).saved.bodies == 3


async def test_metadata_that_is_changed_goes_to_pages_that_are_not(core: Core) -> None:
    driver = Driver(core, validated(["/a", "/b"]))
    crawl_id = await driver.submit(metadata={"team": "docs", "old": True})
    await driver.run(crawl_id, 1)
    assert (await change(driver, crawl_id, metadata={"team": "web"})).metadata == {"team": "web"}
    run = await driver.again(crawl_id)
    assert (run.saved.bodies, run.saved.embeddings) == (3, 3)
    assert await asked(core, 2, "metadata") == [{"team": "web"}]


async def test_what_is_not_said_stays(core: Core) -> None:
    driver = Driver(core, Site())
    before = {"chunking": CUT, "metadata": {"team": "docs"}, "render": "auto", "urls": [f"{HOST}/a", f"{HOST}/b"]}
    crawl_id = await driver.submit(None, source="list", **before)
    shown = await driver.crawling.crawl(OWNER, crawl_id)
    assert await change(driver, crawl_id, render="never") == shown.model_copy(update={"render": Render.NEVER})
    assert await change(driver, crawl_id, max_depth=2, metadata=None, chunking=None, urls=None) == shown.model_copy(
        update={"render": Render.NEVER, "max_depth": 2}
    )


async def test_a_run_goes_on_as_it_was_begun_whatever_is_changed_meanwhile(core: Core) -> None:
    urls = [f"{HOST}/a", "http://other.test/b"]
    site = Site({url: Page(f"the text of {url}", [f"{url}1"]) for url in urls} | {f"{url}1": Page(url) for url in urls})
    driver = Driver(core, site, most=1)
    crawl_id = await driver.submit(None, source="list", urls=urls, follow_links=True, metadata={"one": 1})
    await driver.step()
    await change(driver, crawl_id, urls=urls[:1], metadata={"two": 2}, chunking=CUT, render="auto")
    run = await driver.run(crawl_id, 1)
    assert run.outcomes.new == 4, run.reasons
    assert await asked(core, 1, "metadata") == [{"one": 1}]
    assert CUT not in await asked(core, 1, "chunking")
    assert await asked(core, 1, "render") == ["never"]
    run = await driver.again(crawl_id)
    assert run.pages == 2
    assert await asked(core, 2, "render") == ["auto"]


async def test_a_run_that_began_before_its_settings_were_kept_with_it_has_its_crawls(core: Core) -> None:
    urls = [f"{HOST}/a", f"{HOST}/b"]
    site = Site(
        {url: Page(f"the text of {url}", [f"{url}1"]) for url in urls} | {f"{url}1": Page(f"{url}1") for url in urls}
    )
    driver = Driver(core, site)
    crawl_id = await driver.submit(None, source="list", urls=urls, follow_links=True, metadata={"one": 1})
    await driver.run(crawl_id, 1)
    site[urls[0]] = Page(error=("http_status", "HTTP status 503"))
    await driver.crawling.run_now(OWNER, crawl_id, RunRequest(), traceparent=None, idempotency_key=None)
    await core.pool.execute("UPDATE runs SET definition = definition - 'sites' - 'metadata' - 'chunking'")
    run = await driver.run(crawl_id, 2)
    assert (run.outcomes.unchanged, run.outcomes.failed, run.outcomes.skipped) == (3, 1, 0)
    assert await asked(core, 2, "metadata") == [{"one": 1}]


async def test_what_is_no_more_in_a_list_is_gone_like_any_page_that_nothing_leads_to(core: Core) -> None:
    names = "abcd"
    driver = Driver(core, site_of({f"/{name}": [] for name in [*names, "e"]}))
    crawl_id = await driver.submit(None, source="list", urls=[f"{HOST}/{name}" for name in names])
    await driver.run(crawl_id, 1)
    crawl = await change(driver, crawl_id, urls=[f"{HOST}/{name}" for name in "bcde"])
    assert (crawl.urls, crawl.listed[-1]) == (4, f"{HOST}/e")
    await driver.again(crawl_id)
    assert (await driver.outcomes(crawl_id, 2))["/e"] == "new"
    assert driver.removed == []
    await driver.again(crawl_id)
    assert driver.removed == [f"{HOST}/a"]


async def test_urls_are_for_a_list_and_have_to_be_such_as_can_be_fetched(core: Core) -> None:
    driver = Driver(core, Site())
    of_site = await driver.submit()
    with pytest.raises(InvalidError, match="a `page` has no `urls`"):
        await change(driver, of_site, urls=[f"{HOST}/a"])
    of_list = await driver.submit(None, source="list", urls=[f"{HOST}/a"])
    with pytest.raises(InvalidError) as refused:
        await change(driver, of_list, urls=["ftp://site.test/"])
    assert refused.value.code == "blocked_scheme"
    with pytest.raises(ValueError, match="at least 1"):
        CrawlPatch.model_validate({"urls": []})


WIDER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"subdomains": True}),
    ({}, {"keep_query": True}),
    ({"max_pages": 2, "exclude": ["/a"]}, {"max_pages": 10}),
    ({"max_depth": 1}, {"max_depth": 2}),
    ({"exclude": ["/z*"]}, {"exclude": []}),
]


def unchanging() -> Site:
    """Pages that answer 304 from the second time on, and where they lead."""
    site = site_of({"/": ["/a", "/b", "/z"], "/a": [], "/b": ["/b/c"], "/b/c": [], "/z": []})
    for url in (f"{HOST}/a?sid=1", "http://docs.site.test/a"):
        site[f"{HOST}/"].links.append(url)
        site[url] = Page(f"the text of {url}")
    for page in site.values():
        page.etag = True
    return site


@pytest.mark.parametrize("kept", [0, 10_000], ids=["counts", "rows"])
@pytest.mark.parametrize(("asked_for", "changes"), WIDER, ids=[str(case[1]) for case in WIDER])
async def test_what_belongs_to_a_crawl_now_is_found_from_pages_that_have_not_changed(
    core: Core, monkeypatch: pytest.MonkeyPatch, asked_for: dict[str, Any], changes: dict[str, Any], kept: int
) -> None:
    monkeypatch.setattr("app.core.crawls.passing.SKIPPED_KEPT", kept)
    monkeypatch.setattr("app.core.crawls.frontier.SKIPPED_KEPT", kept)
    narrow, wide = ({"exclude": []} | asked_for, {"exclude": []} | asked_for | changes)
    looked_at = []
    for asked in (narrow, wide):
        driver = Driver(core, unchanging())
        await driver.run(await driver.submit(corpus_name=f"alike-{len(looked_at)}", **asked), 1)
        looked_at.append(set(driver.site.asked))
    further = looked_at[1] - looked_at[0]
    assert further
    driver = Driver(core, unchanging())
    crawl_id = await driver.submit(**narrow)
    await driver.run(crawl_id, 1)
    assert (await driver.again(crawl_id)).outcomes.unchanged > 0
    assert set(driver.site.asked) == looked_at[0]
    await change(driver, crawl_id, **changes)
    await driver.again(crawl_id)
    assert {url: driver.site.asked[url] for url in further} == dict.fromkeys(further, 1)
    last = await driver.again(crawl_id)
    assert last.saved.bodies == last.outcomes.unchanged > 0, "once is enough"


@pytest.mark.parametrize(
    "changes", [{"max_pages": 50}, {"max_depth": 3}, {"subdomains": False}, {"metadata": {"a": 1}}, {"exclude": ["/q"]}]
)
async def test_a_change_that_lets_nothing_more_in_reads_nothing_again(core: Core, changes: dict[str, Any]) -> None:
    driver = Driver(core, validated(["/a", "/b"]))
    crawl_id = await driver.submit()
    await driver.run(crawl_id, 1)
    await change(driver, crawl_id, **changes)
    assert (await driver.again(crawl_id)).saved.bodies == 3


async def test_a_run_that_is_under_way_reads_nothing_again_for_what_belongs_to_the_next(core: Core) -> None:
    driver = Driver(core, validated(["/a", "/b"]))
    crawl_id = await driver.submit()
    await driver.run(crawl_id, 1)
    await driver.crawling.run_now(OWNER, crawl_id, RunRequest(), traceparent=None, idempotency_key=None)
    await change(driver, crawl_id, subdomains=True)
    assert (await driver.run(crawl_id, 2)).saved.bodies == 3
    assert (await driver.again(crawl_id)).saved.bodies == 0
    assert (await driver.again(crawl_id)).saved.bodies == 3


async def test_a_site_that_is_new_to_a_list_is_found_from_pages_that_have_not_changed(core: Core) -> None:
    other = "http://other.test"
    site = validated([])
    site[f"{HOST}/"].links.append(f"{other}/linked")
    site |= {f"{other}/": Page("the other"), f"{other}/linked": Page("linked")}
    driver = Driver(core, site)
    crawl_id = await driver.submit(None, source="list", urls=[f"{HOST}/"], follow_links=True)
    await driver.run(crawl_id, 1)
    await change(driver, crawl_id, urls=[f"{HOST}/", f"{other}/"])
    await driver.again(crawl_id)
    assert driver.site.asked[f"{other}/linked"] == 1
