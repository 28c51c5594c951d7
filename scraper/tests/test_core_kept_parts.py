"""What pages are made of is kept between them: as HTTP allows, bounded, and for one owner's pages of one site only."""

import json
from typing import Any

import pytest
from conftest import WAIT_SECONDS, scraper_with
from redis.asyncio import Redis
from sites import Site

from app.core.fetching.freshness import LONGEST_SECONDS, fresh_seconds
from app.core.fetching.kept_parts import KeptParts, Place
from app.core.fetching.requests import Answer
from app.core.fetching.visiting import Part, Visit
from app.core.logic import Scraper

DATE = "Sun, 06 Nov 2033 08:49:37 GMT"
FRESH = {"cache-control": "max-age=600"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"cache-control": "public, max-age=600"}, 600),
        ({"cache-control": 'MAX-AGE="60"', "age": "20"}, 40),
        ({"cache-control": "max-age=600", "age": "601"}, 0),
        ({"cache-control": "max-age=31536000, immutable"}, LONGEST_SECONDS),
        ({"cache-control": "private, max-age=60"}, 60),  # it is kept for one owner
        ({"cache-control": "max-age=60, no-store"}, 0),
        ({"cache-control": "no-cache, max-age=60"}, 0),
        ({"cache-control": "max-age=sixty"}, 0),
        ({"pragma": "no-cache", "expires": "Sun, 06 Nov 2033 09:49:37 GMT"}, 0),
        ({"date": DATE, "expires": "Sun, 06 Nov 2033 08:59:37 GMT"}, 600),
        ({"date": DATE, "expires": "0"}, 0),
        ({"date": DATE, "expires": "Sun, 06 Nov 2033 08:59:37 GMT", "cache-control": "max-age=5"}, 5),
        ({"date": DATE, "last-modified": "Sun, 06 Nov 2033 07:49:37 GMT"}, 360),
        ({"date": DATE, "last-modified": "Sun, 06 Nov 2033 07:49:37 GMT", "expires": "-1"}, 0),
        ({"date": DATE, "last-modified": "yesterday"}, 0),
        ({"cache-control": "max-age=60", "vary": "*"}, 0),
        ({"cache-control": "max-age=60", "vary": "Accept-Encoding"}, 60),
        ({"cache-control": "max-age=60", "set-cookie": "a=b"}, 0),
        ({}, 0),
    ],
)
def test_an_answer_is_fresh_for_as_long_as_its_headers_say(headers: dict[str, str], seconds: int) -> None:
    assert fresh_seconds(headers, guess=True) == seconds


def test_the_age_of_data_tells_nothing() -> None:
    headers = {"date": DATE, "last-modified": "Sun, 06 Nov 2033 07:49:37 GMT"}
    assert fresh_seconds(headers, guess=False) == 0


async def part_of(scraper: Scraper, page_url: str, url: str, owner: str = "ours", **headers: str) -> Part:
    page = await scraper.visitor.read(Visit(page_url, owner=owner))
    return await scraper.visitor.read_part(page, url, headers, seconds=WAIT_SECONDS, max_bytes=2**20, lasting=True)


async def test_pages_of_one_site_and_owner_load_their_script_once(
    settings: Any, redis: Redis, site: Site, other: Site
) -> None:
    script = site.page("/app.js", "let a = 1", content_type="text/javascript", headers=FRESH)
    first, second, elsewhere = site.html("/first"), site.html("/second"), other.html("/page")
    async with scraper_with(settings, redis) as scraper:
        found = [await part_of(scraper, page, script) for page in (first, second)]
        assert [part.was_kept for part in found] == [False, True]
        assert found[0].answer == found[1].answer
        assert site.paths.count("/app.js") == 1
        # each of these asks for itself
        for page, owner, headers in (
            (first, "theirs", {}),
            (first, "", {}),
            (first, "", {}),
            (elsewhere, "ours", {}),
            (first, "ours", {"Origin": other.origin}),
        ):
            assert not (await part_of(scraper, page, script, owner, **headers)).was_kept
    assert site.paths.count("/app.js") == 6


async def test_what_robots_txt_forbids_is_not_given_from_what_was_kept(settings: Any, redis: Redis, site: Site) -> None:
    script = site.page("/app.js", "let a = 1", content_type="text/javascript", headers=FRESH)
    page = site.html("/page")
    async with scraper_with(settings, redis) as scraper:
        await part_of(scraper, page, script)
        site.robots("User-agent: *\nDisallow: /app.js\n")
        await redis.delete(*[key async for key in redis.scan_iter("scraper:robots:*")])
        with pytest.raises(Exception, match=r"robots\.txt"):
            await part_of(scraper, page, script)


@pytest.mark.parametrize(
    ("status", "headers"),
    [(404, FRESH), (302, {**FRESH, "location": "/x"}), (200, {}), (200, {"cache-control": "no-store"})],
)
async def test_what_may_not_be_kept_is_fetched_again(
    settings: Any, redis: Redis, site: Site, status: int, headers: dict[str, str]
) -> None:
    script, page = site.page("/app.js", "let a = 1", status=status, headers=headers), site.html("/page")
    async with scraper_with(settings, redis) as scraper:
        for _ in range(2):
            assert not (await part_of(scraper, page, script)).was_kept
    assert site.paths.count("/app.js") == 2


def place(number: int) -> Place:
    return Place("ours", "https://a.example/page", f"https://a.example/{number}.js", {})


async def test_all_that_is_kept_is_bounded_and_the_oldest_goes_first(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.fetching.kept_parts.ALL_MAX_BYTES", 10_000)
    parts = KeptParts(redis)
    for number in range(40):
        await parts.keep(place(number), Answer(place(number).url, 200, FRESH, b"%d" % number), guess=False)
        await parts.keep(place(number), Answer(place(number).url, 200, FRESH, b"%d again" % number), guess=False)
    there = [number for number in range(40) if await parts.find(place(number)) is not None]
    assert there == list(range(40 - len(there), 40))
    assert 10 <= len(there) < 20
    last = await parts.find(place(39))
    assert last is not None
    assert last.body == b"39 again"
    entries = [key async for key in redis.scan_iter("scraper:part:*")]
    assert len(entries) == await redis.zcard("scraper:parts") == await redis.hlen("scraper:parts-lengths")
    assert sum(map(int, await redis.hvals("scraper:parts-lengths"))) == int(await redis.get("scraper:parts-bytes"))
    assert 0 < await redis.ttl(entries[0]) <= 600
    # no key tells whose it is, or of what
    assert not [key for key in entries if b"example" in key or b"ours" in key]


async def test_a_part_that_is_too_long_is_not_kept(redis: Redis) -> None:
    parts = KeptParts(redis)
    long = json.dumps([number * 7919 % 1_000_003 for number in range(600_000)]).encode()
    await parts.keep(place(1), Answer(place(1).url, 200, FRESH, long), guess=False)
    assert await parts.find(place(1)) is None


async def test_without_redis_parts_are_fetched_and_pages_go_on() -> None:
    nowhere: Redis = Redis(port=1, retry=None)
    parts = KeptParts(nowhere)
    await parts.keep(place(1), Answer(place(1).url, 200, FRESH, b"x"), guess=False)
    assert await parts.find(place(1)) is None
    await nowhere.aclose()
