"""Lists of pages, and maps of sites: by the API, and by a task whose result the orchestrator keeps."""

import gzip
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from conftest import ORCHESTRATOR_KEY
from sites import Site

from ml_shared.contracts.jobs import CallbackStatus
from ml_shared.contracts.links import LinkList, ListKind
from ml_shared.testing.orchestrator import FakeOrchestrator

JOB = {"job_id": "job-1", "attempt_id": "attempt-1", "owner": "key:abc", "purpose": "links"}


def sitemap(site: Site, path: str, urls: list[str], *, packed: bool = False, **more: Any) -> str:
    """Serve a sitemap; returns its URL."""
    body = f"<urlset>{''.join(f'<url><loc>{url}</loc></url>' for url in urls)}</urlset>".encode()
    kind = "application/gzip" if packed else "application/xml"
    return site.page(path, gzip.compress(body) if packed else body, content_type=kind, **more)


def index(site: Site, path: str, urls: list[str]) -> str:
    body = f"<sitemapindex>{''.join(f'<sitemap><loc>{url}</loc></sitemap>' for url in urls)}</sitemapindex>"
    return site.page(path, body, content_type="text/xml")


async def links_of(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    response = await client.post("/links", json={"url": url})
    assert response.status_code == 200, response.text
    return response.json()


def test_a_jobs_list_is_kept_for_the_orchestrator(scrape_task: Any, orchestrator: FakeOrchestrator, site: Site) -> None:
    url = sitemap(site, "/sitemap.xml.gz", [site.url("/a"), site.url("/b")], packed=True)
    scrape_task.apply(kwargs={"url": url, **JOB})
    [callback] = orchestrator.callbacks_for("job-1")
    assert (callback.status, callback.stats["links"], callback.stats["truncated"]) == (CallbackStatus.SUCCESS, 2, False)
    assert callback.host_next_at is not None
    result = LinkList.model_validate_json(orchestrator.contents[str(callback.content_ref)].body)
    assert [link.url for link in result.links] == [site.url("/a"), site.url("/b")]
    assert result.robots is not None
    assert result.robots.allowed
    assert site.paths == ["/robots.txt", "/sitemap.xml.gz"]


def test_a_list_that_is_longer_than_is_kept_is_cut(
    scrape_task: Any, orchestrator: FakeOrchestrator, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.worker.callbacks.REPORTED_CONTENT_MAX_BYTES", 100)
    monkeypatch.setattr(orchestrator, "max_content_bytes", 20_000)
    url = sitemap(site, "/sitemap.xml", [site.url(f"/{number}") for number in range(1_000)])
    scrape_task.apply(kwargs={"url": url, **JOB})
    [callback] = orchestrator.callbacks_for("job-1")
    result = LinkList.model_validate_json(orchestrator.contents[str(callback.content_ref)].body)
    assert (len(result.links), result.truncated, callback.stats["truncated"]) == (250, True, True)


@pytest.mark.parametrize(
    ("path", "code"), [("/missing", "http_status"), ("/page", "not_a_list"), ("/secret.xml", "robots_disallowed")]
)
def test_a_list_that_cannot_be_had_is_reported_with_its_code(
    scrape_task: Any, orchestrator: FakeOrchestrator, site: Site, path: str, code: str
) -> None:
    site.robots("User-agent: *\nDisallow: /secret")
    site.html("/page")
    scrape_task.apply(kwargs={"url": site.url(path), **JOB})
    [callback] = orchestrator.callbacks_for("job-1")
    assert (callback.status, callback.error_code) == (CallbackStatus.FAILED, code)


def test_a_list_waits_for_its_host_like_a_page(scrape_task: Any, orchestrator: FakeOrchestrator, site: Site) -> None:
    site.robots("User-agent: *\nCrawl-delay: 20")
    scrape_task.apply(kwargs={"url": site.html("/first")})
    scrape_task.apply(kwargs={"url": sitemap(site, "/sitemap.xml", [site.url("/a")]), **JOB})
    [callback] = orchestrator.callbacks_for("job-1")
    assert (callback.status, callback.error_code) == (CallbackStatus.DEFERRED, "host_busy")


async def test_a_robots_txt_gives_its_sitemaps_and_is_read_once(client: httpx.AsyncClient, site: Site) -> None:
    site.robots(
        "User-agent: *\nDisallow: /\nSitemap: /maps/one.xml\nSitemap: https://cdn.example/two.xml\nSitemap: ftp:x"
    )
    found = await links_of(client, site.url("/robots.txt"))
    assert (found["kind"], found["links"]) == ("robots", [])
    assert found["sitemaps"] == [site.url("/maps/one.xml"), "https://cdn.example/two.xml"]
    assert len(found["warnings"]) == 1
    assert (await links_of(client, site.url("/robots.txt")))["sitemaps"] == found["sitemaps"]
    assert site.paths == ["/robots.txt"]


async def test_a_site_without_a_robots_txt_names_no_sitemaps(client: httpx.AsyncClient, site: Site) -> None:
    found = await links_of(client, site.url("/robots.txt"))
    assert (found["kind"], found["sitemaps"], found["warnings"]) == ("robots", [], [])


async def test_a_list_that_is_as_it_was_is_not_sent_again(client: httpx.AsyncClient, site: Site) -> None:
    url = site.page("/sitemap.xml", status=304)
    found = (await client.post("/links", json={"url": url, "if_none_match": '"v1"'})).json()
    assert (found["not_modified"], found["links"], found["kind"]) == (True, [], None)
    assert site.hits[-1].headers["if-none-match"] == '"v1"'


async def test_only_the_two_purposes_are_known(client: httpx.AsyncClient, site: Site) -> None:
    response = await client.post("/enqueue", json={"url": site.url("/"), "purpose": "pictures"})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "body.purpose")


def whole_site(site: Site) -> None:
    site.robots(f"Sitemap: {site.url('/index.xml')}")
    index(site, "/index.xml", [site.url("/one.xml.gz"), site.url("/broken.xml"), site.url("/index.xml")])
    sitemap(site, "/one.xml.gz", [site.url(f"/docs/{number}") for number in range(5)], packed=True)
    site.page("/broken.xml", f"<urlset><url><loc>{site.url('/left')}</loc></url><url", content_type="text/xml")
    sitemap(site, "/sitemap.xml", [site.url("/docs/1"), site.url("/by/guess"), "https://other.example/"])
    site.page(
        "/",
        "<html><body><p>some text</p><a href='/docs/0'>0</a><a href='/linked/disk-space'>1</a><a href='/no' rel=nofollow>"
        "2</a><a href='https://other.example/'>3</a></body></html>",
    )


async def test_a_map_has_the_pages_of_sitemaps_and_those_that_the_page_links_to(
    client: httpx.AsyncClient, site: Site
) -> None:
    whole_site(site)
    found = (await client.post("/map", json={"url": site.url("/"), "job_id": "mine"})).json()
    by_source: dict[str, set[str]] = {}
    for link in found["links"]:
        by_source.setdefault(link["source"], set()).add(link["url"].removeprefix(site.origin))
    docs = {f"/docs/{number}" for number in range(1, 5)}
    assert by_source == {
        ListKind.PAGE: {"/", "/docs/0", "/linked/disk-space"},
        ListKind.SITEMAP: docs | {"/left", "/by/guess"},
    }
    assert (found["found"], found["truncated"], found["job_id"]) == (9, False, "mine")
    assert [one.removeprefix(site.origin) for one in found["lists"]] == [
        "/index.xml", "/sitemap.xml", "/one.xml.gz", "/broken.xml",
    ]  # fmt: skip
    assert len(site.paths) == len(set(site.paths))


async def test_a_map_puts_first_what_was_searched_for(client: httpx.AsyncClient, site: Site) -> None:
    whole_site(site)
    found = (await client.post("/map", json={"url": site.url("/"), "search": "space on DISK", "limit": 2})).json()
    assert found["links"][0]["url"] == site.url("/linked/disk-space")
    assert (len(found["links"]), found["found"], found["truncated"]) == (2, 9, True)


async def test_a_map_says_why_there_is_none(client: httpx.AsyncClient, site: Site) -> None:
    response = await client.post("/map", json={"url": site.url("/")})
    assert (response.status_code, response.json()["code"]) == (502, "http_status")
    sitemap(site, "/sitemap.xml", [site.url("/a")])
    found = (await client.post("/map", json={"url": site.url("/")})).json()
    assert ([link["url"] for link in found["links"]], len(found["warnings"])) == ([site.url("/a")], 1)


async def test_a_map_of_an_address_that_leads_to_another_site_says_so(client: httpx.AsyncClient, site: Site) -> None:
    there = f"http://localhost:{urlsplit(site.origin).port}/elsewhere"
    site.html("/elsewhere")
    site.redirect("/", there)
    found = (await client.post("/map", json={"url": site.url("/")})).json()
    assert found["links"] == []
    assert any(f"leads to {there}, which is another site" in said for said in found["warnings"])


async def test_a_map_that_takes_too_long_names_the_crawl_that_may(
    client: httpx.AsyncClient, site: Site, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "SYNC_TIMEOUT_SECONDS", 0.5)
    site.robots("User-agent: *\nCrawl-delay: 20")
    site.html("/")
    response = await client.post("/map", json={"url": site.url("/")})
    assert (response.status_code, response.json()["code"]) == (504, "sync_timeout")
    assert "POST /crawls" in response.json()["detail"]
    assert "dry_run" in response.json()["detail"]


@pytest.mark.parametrize("body", [{"limit": 0}, {"limit": 5_001}, {"search": ""}, {"url": "nowhere"}, {"depth": 3}])
async def test_a_map_is_bounded(client: httpx.AsyncClient, site: Site, body: dict[str, Any]) -> None:
    response = await client.post("/map", json={"url": site.url("/"), **body})
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert site.hits == []


async def test_a_map_is_for_users_and_is_in_the_audit_trail(
    client: httpx.AsyncClient, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.html("/")
    assert (
        await client.post("/map", json={"url": site.url("/")}, headers={"X-API-Key": ORCHESTRATOR_KEY})
    ).status_code == 403
    with caplog.at_level("INFO", logger="audit"):
        response = await client.post("/map", json={"url": site.url("/")})
    assert "ratelimit" in response.headers
    [line] = [record for record in caplog.records if record.name == "audit"]
    assert (line.msg, line.fields["results"]) == ("map_sync_complete", 1)  # type: ignore[attr-defined]
