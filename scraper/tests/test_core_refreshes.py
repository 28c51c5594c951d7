"""Pages that send their reader on by themselves."""

from typing import Any

import pytest
from conftest import scraper_with
from redis.asyncio import Redis
from sites import Site
from stand_ins import SENTENCES, page

from app.core.errors import EmptyContentError
from app.core.extraction.extract import extract
from app.core.fetching.visiting import Visit
from app.core.logic import execute_scrape
from ml_shared.contracts.scraping import ScrapeResult
from ml_shared.errors import ServiceError

URL = "https://harbour.example/a/old?x=1"
NEW = "https://harbour.example/a/new"


def refreshing(content: str, body: str = "<p>This page has a new address.</p>", head: str = "") -> str:
    return page(body, "Moved", f'{head}<meta http-equiv="refresh" content="{content}">')


def onward(html: str, header: str | None = None) -> str | None:
    return extract(html.encode(), url=URL, media_type="text/html", charset="utf-8", refresh=header).refresh


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("0; url=new", NEW),
        ("0;url=new", NEW),
        ("0, url=new", NEW),
        ("0 url=new", NEW),
        ("0;new", NEW),
        ("  0.5 ; URL = 'new'  ", NEW),
        (".5;url=new", NEW),
        ("0; url=&quot;/a/new&quot; and more", NEW),
        ("5; url=https://harbour.example:443/a/new#part", NEW),
        ("3;url=//other.example/", "https://other.example/"),
        ("0; url=?x=2", "https://harbour.example/a/old?x=2"),
        ("0; url=/straße", "https://harbour.example/stra%C3%9Fe"),
        ("0; url=", None),
        ("0", None),
        ("5", None),
        ("0; url=old?x=1#top", None),
        ("60; url=new", None),
        ("-1; url=new", None),
        ("url=new", None),
        ("soon; url=new", None),
        ("0url=new", None),
        ("", None),
        ("0; url=javascript:alert(1)", None),
        ("0; url=mailto:master@harbour.example", None),
        ("0; url=app://open", None),
        ("0; url=http://[bad", None),
        ("0; url=http://user:word@harbour.example/", None),
    ],
)
def test_where_a_page_leads_is_read_as_browsers_read_it(content: str, where: str | None) -> None:
    assert onward(refreshing(content)) == where
    assert onward(page("<p>This page has a new address.</p>"), content.replace("&quot;", '"')) == where


def test_it_leads_relative_to_the_pages_base() -> None:
    assert (
        onward(refreshing("0; url=new", head='<base href="https://base.example/b/">')) == "https://base.example/b/new"
    )


def test_a_page_that_is_there_to_be_read_is_left_at_once_or_not_at_all() -> None:
    text = f"<p>{SENTENCES}</p>"
    assert onward(refreshing("0; url=new", text)) == NEW
    assert onward(refreshing("8; url=new", text)) is None


def test_the_first_refresh_counts() -> None:
    html = refreshing("0; url=/second", head='<meta http-equiv="Refresh" content="0; url=new">')
    assert onward(html) == NEW
    assert onward(refreshing("0; url=/second", head='<meta http-equiv="refresh" content="900">')) is None


def test_what_is_meant_for_readers_without_javascript_is_for_us_where_there_is_no_text() -> None:
    fallback = '<noscript><meta http-equiv="refresh" content="0; url=/plain"></noscript>'
    assert onward(page("<div id='root'></div>", "App", fallback)) == "https://harbour.example/plain"
    assert onward(page(f"<h1>Tides</h1><p>{SENTENCES}</p>", "Tides", fallback)) is None


def test_a_refresh_that_is_not_one_is_not_followed() -> None:
    assert onward(page("<!-- <meta http-equiv='refresh' content='0;url=new'> --><p>The harbour is closed.</p>")) is None
    assert (
        onward(page("<p>The harbour is closed.</p><pre>&lt;meta http-equiv=refresh content='0;url=new'></pre>")) is None
    )
    assert onward(page("<script>'<meta http-equiv=refresh content=\"0;url=new\">'</script><p>Closed.</p>")) is None


async def scrape(settings: Any, redis: Redis, url: str, **changes: Any) -> ScrapeResult:
    async with scraper_with(settings, redis, **changes) as scraper:
        return await execute_scrape(scraper, Visit(url))


async def test_a_refresh_is_followed_as_a_redirect(settings: Any, redis: Redis, site: Site, other: Site) -> None:
    other.html("/c", "The harbour is closed on Monday.")
    site.page("/b", refreshing(f"0; url={other.url('/c')}"))
    result = await scrape(settings, redis, site.redirect("/a", "/b"))
    assert (result.url, result.final_url) == (site.url("/a"), other.url("/c"))
    assert "closed on Monday" in result.content
    assert site.paths == ["/robots.txt", "/a", "/b"]


async def test_a_refresh_header_is_followed_as_well(settings: Any, redis: Redis, site: Site) -> None:
    site.html("/b", "The harbour is closed on Monday.")
    url = site.page("/a", "<p>Moved.</p>", headers={"refresh": "0; url=/b"})
    assert (await scrape(settings, redis, url)).final_url == site.url("/b")


@pytest.mark.parametrize("kinds", ["rrrr", "mmmm", "rmrm", "mrrm"])
async def test_refreshes_and_redirects_count_together(settings: Any, redis: Redis, site: Site, kinds: str) -> None:
    for number, kind in enumerate(kinds):
        if kind == "r":
            site.redirect(f"/{number}", f"/{number + 1}")
        else:
            site.page(f"/{number}", refreshing(f"0; url=/{number + 1}"))
    site.html(f"/{len(kinds)}")
    result = await scrape(settings, redis, site.url("/0"), MAX_REDIRECTS=4)
    assert result.final_url == site.url("/4")
    with pytest.raises(ServiceError) as caught:
        await scrape(settings, redis, site.url("/0"), MAX_REDIRECTS=3)
    assert (caught.value.code, caught.value.detail) == ("too_many_redirects", "more than 3 redirects")


async def test_refreshes_in_a_circle_end(settings: Any, redis: Redis, site: Site) -> None:
    site.page("/a", refreshing("0; url=/b"))
    site.page("/b", refreshing("0; url=/a"))
    with pytest.raises(ServiceError) as caught:
        await scrape(settings, redis, site.url("/a"))
    assert caught.value.code == "too_many_redirects"
    assert len(site.hits) < 10


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("http://169.254.169.254/latest/meta-data/", "blocked_address"),
        ("http://127.0.0.3/", "blocked_address"),
        ("http://127.0.0.1:6379/", "blocked_port"),
    ],
)
async def test_a_refresh_leads_nowhere_that_a_url_would_not(
    settings: Any, redis: Redis, site: Site, target: str, code: str
) -> None:
    with pytest.raises(ServiceError) as caught:
        await scrape(settings, redis, site.page("/a", refreshing(f"0; url={target}")))
    assert caught.value.code == code


async def test_robots_txt_is_asked_where_a_refresh_leads(settings: Any, redis: Redis, site: Site, other: Site) -> None:
    other.robots("User-agent: *\nDisallow: /b")
    with pytest.raises(ServiceError) as caught:
        await scrape(settings, redis, site.page("/a", refreshing(f"0; url={other.url('/b')}")))
    assert (caught.value.code, other.paths) == ("robots_disallowed", ["/robots.txt"])


async def test_a_page_that_loads_itself_again_is_judged_by_its_text(settings: Any, redis: Redis, site: Site) -> None:
    assert (await scrape(settings, redis, site.page("/a", refreshing("0; url=/a")))).final_url == site.url("/a")
    with pytest.raises(EmptyContentError):
        await scrape(settings, redis, site.page("/b", refreshing("5; url=/b", "<p>Please wait…</p>")))
