"""Made-up sites: what they serve is what they say, and a crawl by the book finds just that."""

import gzip
import json
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urldefrag, urljoin, urlsplit

import httpx
import pytest
from lxml import html
from standins.sites.expected import ENDLESS_MOST, CrawlPlan, Expectation, Outcome, expect
from standins.sites.graph import OUTSIDE, Graph
from standins.sites.plan import Mode, Options, Shape
from standins.sites.server import MadeUpSite, serving

LOCAL_DEV = Path(__file__).parents[1]
FEW_OF_AN_AREA = 5


class Crawler:
    """A right crawl in as few lines as it takes, over HTTP: it knows nothing of the site but what it is sent."""

    def __init__(self, site: MadeUpSite, plan: CrawlPlan) -> None:
        self._site = site
        self._plan = plan
        self._found: dict[str, tuple[str, str | None]] = {}
        self._depths: dict[str, int] = {}
        self._texts: set[str] = set()
        self._areas: dict[str, int] = {}
        self._waiting: deque[str] = deque()

    def found(self) -> dict[str, tuple[str, str | None]]:
        with httpx.Client(timeout=30) as client:
            self._robots = client.get(self._site.url("/robots.txt")).text.split()
            beginnings = [self._site.url()] if self._plan.source != "sitemap" else []
            if self._plan.source != "page":
                beginnings += self._listed(client)
            for url in beginnings:
                self._meet(url, 0)
            while self._waiting:
                self._visit(client, self._waiting.popleft())
        return self._found

    def _listed(self, client: httpx.Client) -> list[str]:
        at = [one for one in self._robots if "/sitemap" in one]
        pages = []
        while at:
            body = client.get(at.pop()).content
            tree = html.fromstring(gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body)
            urls = tree.xpath("//loc/text()")
            at += [url for url in urls if "/sitemap" in url]
            pages += [url for url in urls if "/sitemap" not in url]
        return pages

    def _meet(self, url: str, depth: int, *, nofollow: bool = False) -> None:
        url = urldefrag(url).url
        if "utm_source" in url:
            url = url.partition("?")[0]
        path = urlsplit(url).path
        area = next((area for area in self._site.graph.areas if path.startswith(area)), None)
        if url in self._depths:
            return
        if not url.startswith(self._site.origin + "/"):
            self._found[url] = ("skipped", "out_of_scope")
        elif nofollow or depth > self._plan.max_depth:
            self._found.setdefault(url, ("skipped", "nofollow" if nofollow else "too_deep"))
        elif area is not None and self._areas.setdefault(area, 0) >= FEW_OF_AN_AREA:
            self._found[url] = ("skipped", "trap")
        else:
            if area is not None:
                self._areas[area] += 1
            self._depths[url] = depth
            self._waiting.append(url)

    def _visit(self, client: httpx.Client, url: str) -> None:
        if urlsplit(url).path in self._robots:
            self._found[url] = ("skipped", "robots_disallowed")
            return
        answer, final = client.get(url), url
        for _ in range(5):
            if answer.status_code == 429:
                answer = client.get(url)
            if answer.is_redirect:
                final = urljoin(final, answer.headers["location"])
                answer = client.get(final)
        self._found[url] = self._outcome(url, final, answer)

    def _outcome(self, url: str, final: str, answer: httpx.Response) -> tuple[str, str | None]:
        depth = self._depths[url]
        if answer.is_redirect:
            return "failed", "too_many_redirects"
        if answer.status_code != 200:
            return "failed", "gone" if answer.status_code in (404, 410) else "http_status"
        if not answer.headers["content-type"].startswith("text/html"):
            return "skipped", "unsupported"
        tree = html.fromstring(answer.content.decode(answer.headers["content-type"].partition("charset=")[2]))
        robots = " ".join(tree.xpath("//meta[@name='robots']/@content"))
        if "noindex" in robots:
            return "skipped", "noindex"
        base = urljoin(final, next(iter(tree.xpath("//base/@href")), ""))
        for link in tree.xpath("//a") if self._plan.follows else ():
            nofollow = "nofollow" in robots or link.get("rel") == "nofollow"
            self._meet(urljoin(base, link.get("href")), depth + 1, nofollow=nofollow)
        canonical = urljoin(url, next(iter(tree.xpath("//link[@rel='canonical']/@href")), ""))
        if (canonical if canonical != url else final) != url:
            self._meet(canonical if canonical != url else final, depth)
            return "skipped", "canonical_elsewhere"
        text = tree.find(".//main").text_content()
        if text in self._texts:
            return "skipped", "duplicate_content"
        self._texts.add(text)
        return "new", None


@pytest.mark.parametrize(
    ("options", "plan"),
    [
        (Options(), CrawlPlan()),
        (Options(shape=Shape.MESH, packed=True, indexed=True, seed=7), CrawlPlan()),
        (Options(shape=Shape.CHAIN, pages=14), CrawlPlan("page")),
        (Options(shape=Shape.STAR, sitemap=False), CrawlPlan(max_depth=1)),
        (Options(packed=True), CrawlPlan("sitemap")),
        (Options.plain(pages=9), CrawlPlan("page")),
    ],
    ids=["all of it", "mesh", "chain", "star", "sitemap", "plain"],
)
def test_a_crawl_by_the_book_finds_what_the_site_says(options: Options, plan: CrawlPlan) -> None:
    with serving(options) as site:
        found = Crawler(site, plan).found()
        expected = expect(site.graph, plan)
        assert expected.differences(found, site.origin, site.counts.requests) == []
        assert sum(outcome == "new" for outcome, _ in found.values()) >= expected.documents


def _told(expected: Expectation, origin: str) -> dict[str, tuple[str, str | None]]:
    """What a perfect crawl tells."""
    told = {
        origin + path: (one.outcome.value, one.reason) for path, one in expected.verdicts.items() if path != OUTSIDE
    }
    told[OUTSIDE] = ("skipped", "out_of_scope")
    for group in expected.alike:
        first, *others = sorted(group)
        told |= {origin + first: ("new", None)} | {origin + one: ("skipped", "duplicate_content") for one in others}
    return told | {f"{origin}{area}1": ("new", None) for area in expected.endless}


def _lost(told: dict[str, tuple[str, str | None]]) -> None:
    del told["http://site.example/pages/3"]


def _invented(told: dict[str, tuple[str, str | None]]) -> None:
    told["http://site.example/based/page"] = ("failed", "gone")


def _forgiven(told: dict[str, tuple[str, str | None]]) -> None:
    told["http://site.example/private/0"] = ("new", None)


def _doubled(told: dict[str, tuple[str, str | None]]) -> None:
    told["http://site.example/copies/1"] = told["http://site.example/pages/1"] = ("new", None)


def _trapped(told: dict[str, tuple[str, str | None]]) -> None:
    told |= {f"http://site.example/calendar/{number}": ("new", None) for number in range(ENDLESS_MOST + 1)}


def test_a_perfect_crawl_differs_in_nothing() -> None:
    expected = expect(Graph(Options()))
    assert expected.differences(_told(expected, "http://site.example"), "http://site.example") == []


@pytest.mark.parametrize("spoil", [_lost, _invented, _forgiven, _doubled, _trapped])
def test_what_is_wrong_with_a_crawl_is_said_in_one_line(
    spoil: Callable[[dict[str, tuple[str, str | None]]], None],
) -> None:
    expected = expect(Graph(Options()))
    told = _told(expected, "http://site.example")
    spoil(told)
    assert len(expected.differences(told, "http://site.example")) == 1


def test_who_asks_for_what_is_forbidden_is_caught_by_the_counts() -> None:
    with serving(Options()) as site:
        httpx.get(site.url("/private/0"), timeout=30)
        found = expect(site.graph).differences(
            _told(expect(site.graph), site.origin), site.origin, site.counts.requests
        )
    assert found == ["/private/0: asked for 1 times, and it may never be"]


def test_every_outcome_and_reason_stands_in_the_statement() -> None:
    reasons = {
        (one.outcome, one.reason)
        for one in expect(Graph(Options(shape=Shape.CHAIN, pages=20)), CrawlPlan("page")).verdicts.values()
    }
    assert {reason for outcome, reason in reasons if outcome is Outcome.FAILED} == {"gone", "too_many_redirects"}
    assert {reason for outcome, reason in reasons if outcome is Outcome.SKIPPED} == {
        "out_of_scope", "robots_disallowed", "nofollow", "noindex", "too_deep", "canonical_elsewhere", "unsupported",
    }  # fmt: skip


def test_globs_decide_what_belongs_to_a_crawl() -> None:
    graph = Graph(Options.plain(pages=30))
    verdicts = expect(graph, CrawlPlan("page", include=("/", "/pages/*"), exclude=("/pages/2*",))).verdicts
    assert verdicts["/pages/2"].reason == "excluded"
    assert verdicts["/pages/1"].outcome is Outcome.NEW
    assert "/pages/9" not in verdicts  # a child of the second page, which nobody saw


def test_the_same_options_make_the_same_site_and_others_another() -> None:
    def bodies(options: Options) -> list[bytes]:
        site = MadeUpSite(options, "http://site.example")
        return [site.reply(path, {}).body for path in site.graph.paths]

    assert bodies(Options()) == bodies(Options())
    assert bodies(Options())[0] != bodies(Options(seed=2))[0] != bodies(Options(host=1))[0]


@pytest.mark.parametrize(("etags", "last_modified"), [(True, True), (True, False), (False, True), (False, False)])
def test_a_page_that_is_as_it_was_is_not_sent_again(etags: bool, last_modified: bool) -> None:
    with serving(Options.plain(pages=10, etags=etags, last_modified=last_modified)) as site:
        first = httpx.get(site.url("/pages/1"), timeout=30)
        names = {"etag": "If-None-Match", "last-modified": "If-Modified-Since"}
        validators = {sent: first.headers[name] for name, sent in names.items() if name in first.headers}
        again = httpx.get(site.url("/pages/1"), headers=validators, timeout=30)
        assert again.status_code == (304 if validators else 200)
        assert site.counts.requests["/pages/1"] == 2
        assert site.counts.conditional["/pages/1"] == site.counts.not_modified["/pages/1"] == bool(validators)
        [*changed] = site.change(100)
        assert len(changed) == 9
        assert httpx.get(site.url("/pages/1"), headers=validators, timeout=30).status_code == 200


def test_a_change_hits_as_many_pages_as_it_says_and_the_sitemap_tells_which() -> None:
    site = MadeUpSite(Options.plain(pages=1_000), "http://site.example")
    before = {path: site.reply(path, {}).body for path in site.graph.listed}
    changed = site.change(2)
    assert len(changed) == 20
    assert sorted(path for path in site.graph.listed if site.reply(path, {}).body != before[path]) == changed
    assert site.reply("/sitemap.xml", {}).body.count(b"2024-01-02") == 20


def test_another_version_changes_bytes_and_validators_and_no_text() -> None:
    site = MadeUpSite(Options())
    before = site.reply("/pages/1", {})
    site.version = "2"
    after = site.reply("/pages/1", {"if-none-match": before.headers["etag"]})
    assert (after.status, after.headers["etag"] != before.headers["etag"]) == (200, True)
    assert html.fromstring(after.body).text_content() == html.fromstring(before.body).text_content()


def test_a_site_can_lose_everything_at_once() -> None:
    site = MadeUpSite(Options(), "http://site.example")
    site.mode = Mode.ALL_404
    assert {site.reply(path, {}).status for path in ("/", "/pages/1", "/sitemap.xml")} == {404}
    site.mode = Mode.EMPTY_SITEMAP
    assert b"<loc>" not in site.reply("/sitemap.xml", {}).body
    site.mode = Mode.LOGIN
    assert b"password" in site.reply("/pages/1", {}).body


def test_options_that_make_no_site_are_refused() -> None:
    for wrong in ({"pages": 0}, {"branching": 0}, {"pages": 2, "duplicates": 2}):
        with pytest.raises(ValueError, match="page"):
            Options(**wrong)  # type: ignore[arg-type]


def test_many_sites_are_served_by_one_command_and_tell_of_themselves() -> None:
    command = [sys.executable, "-m", "standins.sites", "--hosts", "20", "--pages", "5", "--plain", "--until-input-ends"]
    with subprocess.Popen(command, cwd=LOCAL_DEV, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        origins = json.loads(process.stdout.readline())["origins"]
        with httpx.Client(timeout=30) as client:
            assert len({client.get(f"{origin}/pages/1").text for origin in origins}) == 20
            assert client.get(f"{origins[3]}/-/counts").json()["requests"] == {"/pages/1": 1}
            assert len(client.get(f"{origins[3]}/-/expected").json()["verdicts"]) == 5
            assert client.get(f"{origins[3]}/-/change?percent=50").json()["changed"]
            assert client.get(f"{origins[3]}/-/change").status_code == 422
        process.stdin.close()
        assert process.wait(60) == 0
