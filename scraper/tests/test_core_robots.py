"""How a robots.txt is come by, kept and heeded; what its rules mean is in `test_core_robots_rules.py`."""

import asyncio
import time
from typing import Any

import pytest
from conftest import WAIT_SECONDS, Surroundings, scraper_with
from redis.asyncio import Redis
from sites import Site

from app.core.errors import PacingUnavailableError, RobotsDisallowedError, RobotsUnreachableError
from app.core.fetching.visiting import Visit
from app.core.robots.rules import RobotsFile, RobotsRules
from ml_shared.web.errors import BlockedAddressError, DnsError

AGENT = "CloudCIXBot"


class _NoSuchHost:
    """Knows numbers, and no name."""

    def __init__(self, *, retryable: bool = False) -> None:
        self._retryable = retryable

    async def resolve(self, host: str, port: int) -> list[str]:
        if host.replace(".", "").isdecimal():
            return [host]
        raise DnsError(f"there is no host named {host}", retryable=self._retryable)


def rules(text: str) -> RobotsRules:
    return RobotsRules(RobotsFile.read(text.encode(), AGENT), AGENT)


@pytest.mark.parametrize(
    ("text", "path", "allowed", "rule"),
    [
        ("User-agent: *\nDisallow: /private", "/private/page", False, "Disallow: /private"),
        ("User-agent: *\nDisallow: /private", "/public", True, None),
        ("User-agent: *\nDisallow: /\nAllow: /docs", "/docs/page", True, "Allow: /docs"),
        ("User-agent: *\nDisallow: /*.pdf$", "/a/b.pdf", False, "Disallow: /*.pdf$"),
        ("User-agent: *\nDisallow: /*.pdf$", "/a/b.pdf?x=1", True, None),
        ("User-agent: cloudcixbot\nDisallow: /a\n\nUser-agent: *\nDisallow: /b", "/a", False, "Disallow: /a"),
        ("User-agent: cloudcixbot\nDisallow: /a\n\nUser-agent: *\nDisallow: /b", "/b", True, None),
        ("User-agent: CloudCIXBot/1.0\nDisallow: /a", "/a", False, "Disallow: /a"),
        ("User-agent: other\nUser-agent: CloudCIXBot\nDisallow: /a", "/a", False, "Disallow: /a"),
        ("User-agent: other\nDisallow: /", "/a", True, None),
        ("User-agent: *\n\n# a comment\nSitemap: http://x/s\n\nDisallow: /a", "/a", False, "Disallow: /a"),
        ("User-agent: *\nDisallow:", "/a", True, None),
        ("User agent *\nDisallow /a", "/a", False, "Disallow: /a"),
        ("\ufeffUser-agent: *\nDisallow: /a", "/a", False, "Disallow: /a"),
        ("User-agent: *\r\nDisallow: /a\r\n", "/a", False, "Disallow: /a"),
        ("<html>not a robots.txt</html>", "/a", True, None),
        ("", "/a", True, None),
    ],
)
def test_the_rules_of_the_group_that_names_us_hold(text: str, path: str, allowed: bool, rule: str | None) -> None:
    url = f"https://site.example{path}"
    if allowed:
        verdict = rules(text).check(url)
        assert (verdict.allowed, verdict.rule) == (True, rule)
        return
    with pytest.raises(RobotsDisallowedError) as caught:
        rules(text).check(url)
    assert (caught.value.code, caught.value.retryable, caught.value.status) == ("robots_disallowed", False, 403)
    assert str(rule) in caught.value.detail


async def test_the_verdict_is_part_of_the_page(settings: Any, redis: Redis, site: Site) -> None:
    site.robots("User-agent: *\nAllow: /page\nDisallow: /\n")
    async with scraper_with(settings, redis) as scraper:
        page = await scraper.visitor.read(Visit(site.html("/page")))
        assert (page.robots.allowed, page.robots.rule) == (True, "Allow: /page")
        assert page.robots.robots_hash is not None
        with pytest.raises(RobotsDisallowedError):
            await scraper.visitor.read(Visit(site.html("/elsewhere")))
    assert site.paths == ["/robots.txt", "/page"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_a_site_without_a_robots_txt_allows_everything(
    settings: Any, redis: Redis, site: Site, status: int
) -> None:
    site.robots("User-agent: *\nDisallow: /", status=status)
    async with scraper_with(settings, redis) as scraper:
        page = await scraper.visitor.read(Visit(site.html("/page")))
    assert (page.robots.allowed, page.robots.robots_hash) == (True, None)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_robots_txt_that_is_not_given_out_stops_the_visit_for_now(
    settings: Any, redis: Redis, site: Site, status: int
) -> None:
    site.robots("", status=status, headers={"retry-after": "7"})
    async with scraper_with(settings, redis) as scraper:
        with pytest.raises(RobotsUnreachableError) as caught:
            await scraper.visitor.read(Visit(site.html("/page")))
    assert (caught.value.code, caught.value.retryable, caught.value.retry_after_seconds) == (
        "robots_unreachable",
        True,
        7,
    )
    assert site.paths == ["/robots.txt"]


async def test_a_robots_txt_that_never_ends_stops_the_visit_for_now(settings: Any, redis: Redis, site: Site) -> None:
    site.stream("/robots.txt", [b"#"] * 100, pause=0.05)
    async with scraper_with(settings, redis, FETCH_TIMEOUT_SECONDS=0.5) as scraper:
        with pytest.raises(RobotsUnreachableError):
            await scraper.visitor.read(Visit(site.html("/page")))


async def test_of_a_long_robots_txt_the_first_part_counts(settings: Any, redis: Redis, site: Site) -> None:
    site.robots("User-agent: *\nDisallow: /page\n" + "# filling\n" * 100_000 + "Disallow: /late\n")
    async with scraper_with(settings, redis) as scraper:
        with pytest.raises(RobotsDisallowedError):
            await scraper.visitor.read(Visit(site.html("/page")))
        await scraper.visitor.read(Visit(site.html("/late")))


async def test_a_robots_txt_elsewhere_is_followed(settings: Any, redis: Redis, site: Site, other: Site) -> None:
    site.redirect("/robots.txt", other.page("/rules", "User-agent: *\nDisallow: /page", content_type="text/plain"))
    async with scraper_with(settings, redis) as scraper:
        with pytest.raises(RobotsDisallowedError):
            await scraper.visitor.read(Visit(site.html("/page")))
    assert (site.paths, other.paths) == (["/robots.txt"], ["/rules"])


async def test_a_robots_txt_that_redirects_for_ever_counts_as_none(settings: Any, redis: Redis, site: Site) -> None:
    site.redirect("/robots.txt", "/robots.txt")
    async with scraper_with(settings, redis) as scraper:
        page = await scraper.visitor.read(Visit(site.html("/page")))
    assert (page.robots.allowed, page.robots.robots_hash) == (True, None)


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.3/robots.txt",
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1:22/robots.txt",
        "ftp://127.0.0.1/robots.txt",
        "file:///etc/passwd",
        "http://user:canary@127.0.0.1/robots.txt",
        "http://nowhere.invalid/robots.txt",
    ],
)
async def test_a_robots_txt_that_leads_to_where_nothing_can_be_read_is_unreachable_for_good(
    settings: Any, redis: Redis, site: Site, target: str
) -> None:
    site.redirect("/robots.txt", target)
    async with scraper_with(settings, redis, _NoSuchHost()) as scraper:
        with pytest.raises(RobotsUnreachableError) as caught:
            await scraper.visitor.read(Visit(site.html("/page")))
    assert (caught.value.code, caught.value.retryable) == ("robots_unreachable", False)
    assert f"{site.url('/robots.txt')} leads to where it could not be read: " in caught.value.detail
    assert "canary" not in caught.value.detail
    assert site.paths == ["/robots.txt"]


async def test_a_robots_txt_that_leads_to_a_host_that_may_be_found_later_is_unreachable_for_now(
    settings: Any, redis: Redis, site: Site
) -> None:
    site.redirect("/robots.txt", "http://nowhere.invalid/robots.txt")
    async with scraper_with(settings, redis, _NoSuchHost(retryable=True)) as scraper:
        with pytest.raises(RobotsUnreachableError) as caught:
            await scraper.visitor.read(Visit(site.html("/page")))
    assert caught.value.retryable


async def test_a_page_that_leads_to_a_closed_address_fails_by_itself_and_not_by_that_hosts_robots_txt(
    settings: Any, redis: Redis, site: Site
) -> None:
    async with scraper_with(settings, redis, _NoSuchHost()) as scraper:
        for target, error in (("http://127.0.0.3/a", BlockedAddressError), ("http://nowhere.invalid/a", DnsError)):
            with pytest.raises(error):
                await scraper.visitor.read(Visit(site.redirect("/page", target)))
    assert site.paths.count("/page") == 2


async def test_a_robots_txt_is_read_once_for_all_processes(
    settings: Any, redis: Redis, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.robots.store._PATIENCE_SECONDS", WAIT_SECONDS)  # of those that wait for the reader
    site.robots("User-agent: *\nDisallow: /private")
    urls = [site.html(f"/{number}") for number in range(6)]
    async with scraper_with(settings, redis) as first, scraper_with(settings, redis) as second:
        visits = [(first, second)[number % 2].visitor.read(Visit(url)) for number, url in enumerate(urls)]
        await asyncio.gather(*visits)
    assert site.paths.count("/robots.txt") == 1


async def test_a_robots_txt_is_read_again_when_its_time_is_up(settings: Any, redis: Redis, site: Site) -> None:
    url = site.html("/page")
    async with scraper_with(settings, redis, ROBOTS_TTL_SECONDS=1) as scraper:
        await scraper.visitor.read(Visit(url))
        async with asyncio.timeout(WAIT_SECONDS):
            while await redis.keys("scraper:robots:*"):
                await asyncio.sleep(0.05)
        site.robots("User-agent: *\nDisallow: /")
        with pytest.raises(RobotsDisallowedError):
            await scraper.visitor.read(Visit(url))


async def test_the_robots_txt_files_that_are_kept_are_bounded(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.core.fetching.requests import Answer
    from app.core.robots import store as robots_store

    monkeypatch.setattr(robots_store, "_KEPT_MAX_SITES", 3)
    store = robots_store.RobotsStore(redis, agent=AGENT, ttl_seconds=60)
    for number in range(10):
        origin = f"http://site{number}.example"

        async def read(origin: str = origin) -> Answer:
            return Answer(f"{origin}/robots.txt", 200, {}, b"User-agent: *\nDisallow: /a")

        await store.file(origin, read)
    assert len(await redis.keys("scraper:robots:*")) == 3


async def test_a_robots_txt_too_long_for_redis_is_kept_by_the_process(redis: Redis) -> None:
    import random

    from app.core.fetching.requests import Answer
    from app.core.robots.store import RobotsStore

    generator = random.Random(1)
    body = "User-agent: *\n" + "".join(f"Disallow: /{generator.random()}\n" for _ in range(5_000))
    calls = 0

    async def read() -> Answer:
        nonlocal calls
        calls += 1
        return Answer("http://site.example/robots.txt", 200, {}, body.encode())

    store = RobotsStore(redis, agent=AGENT, ttl_seconds=60)
    for _ in range(2):
        assert (await store.file("http://site.example", read)).text is not None
    assert calls == 1
    assert await redis.keys("scraper:robots:*") == []


async def test_nothing_is_fetched_while_redis_is_down(settings: Any, site: Site, surroundings: Surroundings) -> None:
    from ml_shared.storage.redis_client import open_redis

    url = site.html("/page")
    async with open_redis("redis://127.0.0.1:9/0") as nowhere, scraper_with(settings, nowhere) as scraper:
        with pytest.raises(PacingUnavailableError) as caught:
            await scraper.visitor.read(Visit(url))
    assert (caught.value.status, caught.value.retryable) == (503, True)
    assert site.hits == []


async def test_a_robots_txt_of_very_many_rules_holds_up_nobody(settings: Any, redis: Redis, site: Site) -> None:
    site.robots("User-agent: *\n" + "\n".join(f"Disallow: /*{number}*a*b$" for number in range(22_000)))
    async with scraper_with(settings, redis) as scraper:
        await scraper.visitor.read(Visit(site.html("/page")))
        # processor time: what else the machine does holds up everybody
        loops_own, everybodys = time.thread_time(), time.process_time()
        await asyncio.gather(*(scraper.visitor.read(Visit(site.url("/page"))) for _ in range(3)))
        loops_own, everybodys = time.thread_time() - loops_own, time.process_time() - everybodys
    assert loops_own < everybodys / 4
