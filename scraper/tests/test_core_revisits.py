"""A page that was read before: it is asked for only if it is another one."""

import hashlib
from typing import Any

import httpx
import pytest
from conftest import scraper_with
from redis.asyncio import Redis
from sites import Send, Site

from app.core.errors import HttpStatusError
from app.core.fetching.visiting import Visit, validators_of
from app.core.logic import execute_scrape
from app.core.telemetry import PAGES
from ml_shared.contracts.scraping import ScrapeResult

ETAG, MODIFIED = 'W/"abc-1"', "Mon, 06 May 2024 07:08:09 GMT"


def changing(site: Site, path: str, etag: str = ETAG) -> str:
    """Serve a page that says 304 to whoever has it."""

    async def handler(send: Send) -> None:
        asked = site.hits[-1].headers
        same = asked.get("if-none-match") == etag or (
            "if-none-match" not in asked and asked.get("if-modified-since") == MODIFIED
        )
        headers = [(b"etag", etag.encode("latin-1")), (b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": 304 if same else 200, "headers": headers})
        await send(
            {"type": "http.response.body", "body": b"" if same else b"<p>Words of a page that says something.</p>"}
        )

    site.pages[path] = handler
    return site.url(path)


async def scrape(
    settings: Any, redis: Redis, url: str, etag: str | None = None, modified: str | None = None
) -> ScrapeResult:
    async with scraper_with(settings, redis) as scraper:
        return await execute_scrape(scraper, Visit(url, validators=validators_of(etag, modified)))


def counted(outcome: str) -> float:
    return PAGES.labels(outcome, "sync", "write")._value.get()


@pytest.mark.parametrize(("etag", "modified"), [(ETAG, None), (None, MODIFIED), (ETAG, "whenever")])
async def test_a_page_that_is_what_it_was_is_not_sent_again(
    settings: Any, redis: Redis, site: Site, etag: str | None, modified: str | None
) -> None:
    before = counted("not_modified")
    found = await scrape(settings, redis, changing(site, "/page"), etag, modified)
    assert (found.not_modified, found.status_code, found.content, found.bytes_fetched) == (True, 304, "", 0)
    assert found.etag == ETAG
    assert found.content_hash == hashlib.sha256(b"").hexdigest()
    assert counted("not_modified") == before + 1


async def test_a_page_that_changed_is_read(settings: Any, redis: Redis, site: Site) -> None:
    found = await scrape(settings, redis, changing(site, "/page"), '"older"', MODIFIED)
    assert (found.not_modified, found.status_code, "Words" in found.content) == (False, 200, True)


async def test_validators_go_along_redirects_and_never_to_a_robots_txt(settings: Any, redis: Redis, site: Site) -> None:
    site.robots("User-agent: *\nAllow: /\n")
    changing(site, "/page")
    assert (await scrape(settings, redis, site.redirect("/old", "/page"), ETAG)).not_modified
    assert {hit.path: hit.headers.get("if-none-match") for hit in site.hits} == {
        "/robots.txt": None,
        "/old": ETAG,
        "/page": ETAG,
    }


async def test_a_validator_goes_back_letter_by_letter(settings: Any, redis: Redis, site: Site) -> None:
    assert (await scrape(settings, redis, changing(site, "/page", '"é-1"'), '"é-1"')).not_modified


async def test_a_304_that_nobody_asked_for_is_no_page(settings: Any, redis: Redis, site: Site) -> None:
    with pytest.raises(HttpStatusError):
        await scrape(settings, redis, site.page("/page", status=304))


async def test_a_caller_says_what_it_has_and_hears_that_it_is_still_so(client: httpx.AsyncClient, site: Site) -> None:
    url = changing(site, "/page")
    first = (await client.post("/scrape", json={"url": url})).json()
    again = (await client.post("/scrape", json={"url": url, "if_none_match": first["etag"]})).json()
    broken = await client.post("/scrape", json={"url": url, "if_none_match": "a\r\nX-Evil: 1"})
    assert (first["not_modified"], again["not_modified"], broken.status_code) == (False, True, 422)


def test_a_task_asks_only_for_what_changed(scrape_task: Any, site: Site, orchestrator: Any) -> None:
    scrape_task.apply(
        kwargs={"url": changing(site, "/page"), "job_id": "job-1", "attempt_id": "attempt-1", "if_none_match": ETAG}
    )
    [callback] = orchestrator.callbacks_for("job-1")
    assert (callback.stats["not_modified"], callback.stats["status_code"]) == (True, 304)
