"""What pages ask of robots: not to be indexed, and that their links are not followed."""

from typing import Any

import httpx
import pytest
from conftest import scraper_with
from documents import DOCUMENTS
from producers import PRODUCERS
from redis.asyncio import Redis
from sites import Site

from app.core.errors import NoIndexError
from app.core.fetching.visiting import Visit
from app.core.logic import execute_scrape
from app.core.robots.directives import rules_of
from ml_shared.contracts.scraping import ScrapeResult

WORDS = "<p>Words of a page that says something about the harbour and its boats.</p>"


async def scrape(settings: Any, redis: Redis, url: str, **changes: Any) -> ScrapeResult:
    async with scraper_with(settings, redis, **changes) as scraper:
        return await execute_scrape(scraper, Visit(url))


def served(site: Site, meta: str = "", header: str | None = None) -> str:
    page = f"<html><head><title>Port</title>{meta}</head><body>{WORDS}<a href='/next'>next</a></body></html>"
    return site.page("/page", page, headers={"X-Robots-Tag": header} if header else None)


@pytest.mark.parametrize(
    ("meta", "header"),
    [
        ('<meta name="robots" content="noindex">', None),
        ('<META NAME="ROBOTS" CONTENT="NoIndex,Follow">', None),
        ('<meta name="robots" content="none">', None),
        ('<meta name="cloudcixbot" content="noindex">', None),
        ("", "noindex"),
        ("", "max-snippet: 20, noindex, nofollow"),
        ("", "otherbot: nofollow, cloudcixbot: noindex"),
        ("", "googlebot: nofollow\nnoindex"),
        ("", "googlebot: nofollow\nmax-snippet: 20\ncloudcixbot: noindex"),
        ("", "unavailable_after: Friday, 25-Jun-10 15:00:00 GMT, noindex"),
    ],
)
async def test_a_page_that_asks_not_to_be_indexed_is_refused(
    settings: Any, redis: Redis, site: Site, meta: str, header: str | None
) -> None:
    url = served(site, meta, header)
    with pytest.raises(NoIndexError) as caught:
        await scrape(settings, redis, url)
    assert (caught.value.code, caught.value.retryable) == ("noindex", False)
    assert "Words" in (await scrape(settings, redis, url, OBEY_NOINDEX=False)).content


@pytest.mark.parametrize(
    ("meta", "header", "nofollow"),
    [
        ("", None, False),
        ('<meta name="robots" content="index, follow">', None, False),
        ('<meta name="robots" content="nofollow">', None, True),
        ("", "nofollow", True),
        ("", "googlebot: noindex, nofollow", False),
        ('<meta name="googlebot" content="noindex">', None, False),
        ('<meta name="description" content="noindex">', None, False),
        ("", "unavailable_after: 25 Jun 2030 15:00:00 PST", False),
        ("", "cloudcixbot: nofollow\ngooglebot: noindex", True),
        ("", "googlebot: noindex\nnofollow", True),
        ("", "cloudcixbot: unavailable_after: 2030-06-25T15:00:00+01:00, max-image-preview: none", False),
        ('<meta name="robots" content="index, max-image-preview: none">', None, False),
    ],
)
async def test_a_page_says_whether_its_links_are_to_be_followed(
    settings: Any, redis: Redis, site: Site, meta: str, header: str | None, nofollow: bool
) -> None:
    found = await scrape(settings, redis, served(site, meta, header))
    assert (found.nofollow, found.links) == (nofollow, [site.url("/next")])


async def test_a_document_is_refused_by_its_header(settings: Any, redis: Redis, site: Site) -> None:
    media_type, make, _ = PRODUCERS["docx"]
    url = site.page("/a.docx", make(DOCUMENTS[0]), content_type=media_type, headers={"X-Robots-Tag": "noindex"})
    with pytest.raises(NoIndexError):
        await scrape(settings, redis, url)


async def test_a_refusal_is_told_with_its_code(client: httpx.AsyncClient, site: Site) -> None:
    answer = await client.post("/scrape", json={"url": served(site, header="noindex")})
    assert (answer.status_code, answer.json()["code"]) == (403, "noindex")


def test_a_robots_name_holds_for_what_follows_it_in_its_own_header() -> None:
    assert rules_of("noindex, other: nofollow, noarchive, cloudcixbot: nosnippet, none", "CloudCIXBot") == [
        "noindex",
        "nosnippet",
        "none",
    ]
    assert rules_of("", "CloudCIXBot") == []
    assert rules_of("other: nofollow\nnoindex\ncloudcixbot: none", "CloudCIXBot") == ["noindex", "none"]


async def test_a_document_comes_through_the_api_with_its_pages(client: httpx.AsyncClient, site: Site) -> None:
    media_type, make, _ = PRODUCERS["pdf"]
    manual = next(document for document in DOCUMENTS if document.name == "manual")
    url = site.page("/a.pdf", make(manual), content_type=f"{media_type}, {media_type}")
    result = (await client.post("/scrape", json={"url": url})).json()
    assert (result["title"], result["content_type"]) == (manual.title, media_type)
    starts = {page["number"]: page["start"] for page in result["pages"]}
    assert list(starts) == list(range(1, len(starts) + 1))
    assert len(starts) > 3
    assert starts[1] == 0
    chapter = result["content"].index("## Chapter on the captain")
    assert 0 < chapter < len(result["content"])


@pytest.mark.parametrize(
    "content_type", ["text/html, text/html", "text/html; charset=utf-8, application/pdf", "TEXT/HTML ,text/html"]
)
async def test_of_several_content_types_the_first_holds(
    settings: Any, redis: Redis, site: Site, content_type: str
) -> None:
    found = await scrape(
        settings, redis, site.page("/page", f"<html><body>{WORDS}</body></html>", content_type=content_type)
    )
    assert (found.content_type, "Words" in found.content) == ("text/html", True)
