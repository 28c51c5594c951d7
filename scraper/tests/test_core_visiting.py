"""From a URL to the page at the end of its redirects."""

import ipaddress
from typing import Any

import pytest
from conftest import scraper_with
from redis.asyncio import Redis
from sites import Site

from app.core.errors import ChallengePageError, HttpStatusError, TooManyRedirectsError
from app.core.fetching.visiting import Page, Visit
from ml_shared.errors import ServiceError
from ml_shared.web.errors import BlockedAddressError, BlockedPortError


async def read(settings: Any, redis: Redis, url: str, **changes: Any) -> Page:
    async with scraper_with(settings, redis, **changes) as scraper:
        return await scraper.visitor.read(Visit(url))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_followed(settings: Any, redis: Redis, site: Site, other: Site, status: int) -> None:
    other.redirect("/b?q=1", "../c", status)
    other.html("/c")
    page = await read(settings, redis, site.redirect("/a", other.url("/b?q=1#part"), status))
    assert page.answer.url == other.url("/c")


async def test_no_more_than_so_many(settings: Any, redis: Redis, site: Site) -> None:
    for number in range(6):
        site.redirect(f"/{number}", f"/{number + 1}")
    site.html("/6")
    assert (await read(settings, redis, site.url("/1"), MAX_REDIRECTS=5)).answer.url == site.url("/6")
    with pytest.raises(TooManyRedirectsError) as caught:
        await read(settings, redis, site.url("/0"), MAX_REDIRECTS=5)
    assert (caught.value.code, caught.value.retryable) == ("too_many_redirects", False)


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("http://127.0.0.3/", "blocked_address"),
        ("http://169.254.169.254/latest/meta-data/", "blocked_address"),
        ("http://[::1]/", "blocked_address"),
        ("http://[::ffff:127.0.0.1]/", "blocked_address"),
        ("//10.0.0.1/", "blocked_address"),
        ("http://127.0.0.1:6379/", "blocked_port"),
        ("file:///etc/passwd", "blocked_scheme"),
        ("gopher://127.0.0.1/", "blocked_scheme"),
        ("javascript:alert(1)", "blocked_scheme"),
        ("http://user:password@127.0.0.1/", "invalid_url"),
        ("http://[nonsense/", "upstream_error"),
        ("", "upstream_error"),
    ],
)
async def test_a_redirect_leads_nowhere_that_a_url_would_not(
    settings: Any, redis: Redis, site: Site, target: str, code: str
) -> None:
    with pytest.raises(ServiceError) as caught:
        await read(settings, redis, site.redirect("/a", target))
    assert (caught.value.code, caught.value.retryable) == (code, False)
    assert site.paths == ["/robots.txt", "/a"]


async def test_each_hop_is_judged_anew(settings: Any, redis: Redis, site: Site, other: Site) -> None:
    only = (ipaddress.ip_network("127.0.0.1/32"),)
    url = site.redirect("/a", other.html("/b"))
    with pytest.raises(BlockedAddressError):
        await read(settings, redis, url, ALLOWED_PRIVATE_NETWORKS=only)
    with pytest.raises(BlockedPortError):
        await read(settings, redis, url, ALLOWED_PORTS=(site.port,))
    assert other.hits == []


async def test_robots_txt_is_asked_on_each_hop(settings: Any, redis: Redis, site: Site, other: Site) -> None:
    other.robots("User-agent: *\nDisallow: /b")
    with pytest.raises(ServiceError) as caught:
        await read(settings, redis, site.redirect("/a", other.html("/b")))
    assert (caught.value.code, other.paths) == ("robots_disallowed", ["/robots.txt"])


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (400, False),
        (401, False),
        (403, False),
        (404, False),
        (410, False),
        (304, False),
        (408, True),
        (425, True),
        (429, True),
        (500, True),
        (502, True),
        (503, True),
        (504, True),
    ],
)
async def test_a_status_that_is_no_page_is_told(
    settings: Any, redis: Redis, site: Site, status: int, retryable: bool
) -> None:
    site.page("/page", "<p>an error page with some text</p>" if status != 304 else "", status=status)
    with pytest.raises(HttpStatusError) as caught:
        await read(settings, redis, site.url("/page"))
    error = caught.value
    assert (error.code, error.retryable, error.upstream_status) == ("http_status", retryable, status)
    assert error.extra == {"upstream_status": status}


@pytest.mark.parametrize("status", [200, 202, 403, 405, 503])
@pytest.mark.parametrize(
    "headers", [{"cf-mitigated": "challenge"}, {"x-amzn-waf-action": "challenge"}, {"x-amzn-waf-action": "Captcha"}]
)
async def test_a_challenge_that_its_headers_tell_is_one_whatever_its_status(
    settings: Any, redis: Redis, site: Site, status: int, headers: dict[str, str]
) -> None:
    with pytest.raises(ChallengePageError) as caught:
        await read(settings, redis, site.page("/page", "<p>words</p>", status=status, headers=headers))
    assert (caught.value.retryable, caught.value.extra) == (False, {"upstream_status": status})


async def test_headers_of_who_guards_a_site_are_no_challenge(settings: Any, redis: Redis, site: Site) -> None:
    headers = {"server": "cloudflare", "cf-ray": "1", "cf-mitigated": "", "x-datadome": "protected"}
    assert (await read(settings, redis, site.page("/page", "<p>words</p>", headers=headers))).answer.status == 200


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://127.0.0.1/file", "blocked_scheme"),
        ("http://user:password@127.0.0.1/", "invalid_url"),
        ("http://", "invalid_url"),
        ("http://169.254.169.254/", "blocked_address"),
        ("http://metadata.invalid/", "dns_failed"),
    ],
)
async def test_a_url_that_cannot_be_fetched_is_refused(settings: Any, redis: Redis, url: str, code: str) -> None:
    with pytest.raises(ServiceError) as caught:
        await read(settings, redis, url)
    assert caught.value.code == code
