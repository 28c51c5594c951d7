"""The demo site: what it serves, what it refuses, and that nothing in it leads outside."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urljoin, urlsplit
from urllib.robotparser import RobotFileParser

import httpx
import pytest
from standins.demo_site import BROCHURE, build_site
from standins.documents import find_documents

from ml_shared.testing.http_server import ThreadedServer


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("href", "src", "action", "srcset", "content")]


def links_of(text: str) -> list[str]:
    parser = Links()
    parser.feed(text)
    return [link for link in parser.found if not link.startswith("width=")]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with ThreadedServer(build_site()) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose documentation tries to lead astray."""
    docs = tmp_path / "local-dev" / "docs"
    docs.mkdir(parents=True)
    (tmp_path / ".env").write_text("SECRET=1")
    (tmp_path / "local-dev" / ".state").mkdir()
    (tmp_path / "local-dev" / ".state" / "keys.md").write_text("# secret")
    (tmp_path / "README.md").write_text(
        "# The *project* & `more`\n\n[page](local-dev/docs/one.md#part-two) [env](.env) [out](https://example.org/x)\n"
        "<https://example.net> ![picture](https://example.com/p.png) <script src='//evil'></script>\n"
        "[up](../../etc/passwd) [folder](scraper) [mail](mailto:a@b.c) [js](javascript:alert(1)) [here](#top)\n"
    )
    (docs / "one.md").write_text("# One\n\n## Part two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    (docs / "linked.md").symlink_to(tmp_path / ".env")
    (tmp_path / "scraper").mkdir()
    (tmp_path / "scraper" / "README.md").write_text("# Scraper\n\n[project](../README.md)\n")
    return tmp_path


def test_every_page_is_as_its_list_says(client: httpx.Client) -> None:
    pages = client.get("/pages.json").json()["pages"]
    assert len(pages) >= 11 + 3
    assert len({page["path"] for page in pages}) == len(pages)
    for page in pages:
        answer = client.get(page["path"], follow_redirects=True)
        if page["outcome"] == "indexed" or page["reason"] == "canonical_elsewhere":
            assert answer.status_code == 200
            if page["path"] == BROCHURE:
                assert (answer.headers["content-type"], answer.content[:8]) == ("application/pdf", b"%PDF-1.4")
                continue
            assert answer.headers["content-type"].startswith("text/html")
            assert "<main>" in answer.text
        elif page["reason"] == "gone":
            assert answer.status_code == 404
        elif page["reason"] == "unsupported":
            assert answer.headers["content-type"] == "image/png"
        else:
            assert page["reason"] == "robots_disallowed"


def test_the_sitemap_has_all_but_what_a_redirect_leads_to_and_says_when_pages_of_documentation_changed(
    client: httpx.Client,
) -> None:
    robots = client.get("/robots.txt").text
    sitemap = robots.partition("Sitemap: ")[2].strip()
    assert sitemap == f"{str(client.base_url).rstrip('/')}/sitemap.xml"
    listed = re.findall(r"<url><loc>([^<]+)</loc>(?:<lastmod>([^<]+)</lastmod>)?</url>", client.get(sitemap).text)
    paths = {urlsplit(url).path: changed for url, changed in listed}
    assert set(paths) == {page["path"] for page in client.get("/pages.json").json()["pages"]} - {"/docs/introduction"}
    assert datetime.fromisoformat(paths["/docs/search"]) < datetime.now(UTC)
    assert (paths["/readme/project"], paths[BROCHURE], paths["/docs/start"]) == ("", "", "")
    answer = client.get("/docs/start")
    assert (answer.status_code, answer.headers["location"]) == (301, "/docs/introduction")


def test_a_page_that_is_as_it_was_is_not_sent_again(client: httpx.Client) -> None:
    for path in ("/readme/project", BROCHURE):
        tag = client.get(path).headers["etag"]
        again = client.get(path, headers={"If-None-Match": tag})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_robots_txt_asks_for_a_delay_and_forbids_one_folder(client: httpx.Client) -> None:
    lines = client.get("/robots.txt").text.splitlines()
    assert "Crawl-delay: 0.2" in lines
    rules = RobotFileParser()
    rules.parse(lines)
    assert not rules.can_fetch("anyone", "/private/plans")
    assert rules.can_fetch("anyone", "/docs/search")


def test_no_link_of_any_page_leads_outside(client: httpx.Client) -> None:
    checked = 0
    for page in client.get("/pages.json").json()["pages"]:
        address = str(client.base_url.join(page["path"]))
        if not address.endswith((".pdf", ".png")):
            for link in links_of(client.get(address, follow_redirects=True).text):
                assert urljoin(address, link).startswith(str(client.base_url)), (page["path"], link)
                checked += 1
    assert checked > 100


def test_documents_that_lead_astray_keep_their_words_and_lose_their_links(repository: Path) -> None:
    with ThreadedServer(build_site(repository)) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        text = client.get("/readme/project").text
        body = text[text.index("<main>") : text.index("</main>")]
        assert links_of(body) == ["/docs/one#part-two", "/readme/scraper", "#top"]
        for word in ("page", "env", "out", "https://example.net", "picture", "up", "mail"):
            assert word in body
        assert "<script" not in body
        assert "<title>The *project* &amp; more · CloudCIX ML Services</title>" in text
        one = client.get("/docs/one").text
        assert 'id="part-two"' in one
        assert "<table>" in one


def test_only_documentation_is_served(repository: Path) -> None:
    paths = (
        "/docs/../../.env",
        "/docs/%2e%2e%2f%2e%2e%2f.env",
        "/docs/..%2f.state%2fkeys",
        "/docs/linked",
        "/readme/..",
        "/readme/.state",
        "/.env",
        "/local-dev/.state/keys.md",
        "/docs/one.md",
        "//etc/passwd",
        "/docs/one/../../../.env",
    )
    with ThreadedServer(build_site(repository)) as server:
        for path in paths:
            # httpx would tidy the path up
            connection = HTTPConnection(server.host, server.port, timeout=30)
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            assert answer.status == 404, path
            assert "secret" not in text.lower(), path


def test_a_page_follows_its_file_and_pages_of_folders_without_readme_are_not_listed(repository: Path) -> None:
    assert [one.path for one in find_documents(repository)] == ["/docs/one", "/readme/project", "/readme/scraper"]
    with ThreadedServer(build_site(repository)) as server:
        (repository / "local-dev" / "docs" / "one.md").write_text("# Renamed\n\nOther words.\n")
        assert "Other words." in httpx.get(f"{server.url}/docs/one", timeout=30).text
