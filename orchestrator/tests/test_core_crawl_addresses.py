"""URLs of a crawl: one form of each, what belongs to it, and what never ends."""

import fnmatch
import re
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.crawls.addresses import TRACKING_PARAMETERS, hash_of, page_url
from app.core.crawls.definition import Definition
from app.core.crawls.frontier import Link, RunScope, all_met
from app.core.crawls.scope import Scope, matches, site_of
from app.core.crawls.traps import CALENDAR_MOST, FACETS_MOST, is_nested, shape_of
from ml_shared.contracts.crawls import CrawlRequest, CrawlSource, SkipReason
from ml_shared.web.urls import normalise_url

settings.load_profile("ci")  # no time limits: a slow machine is no fault

SEGMENT = st.text(st.sampled_from("abcdefgh0123456789-_.~%"), min_size=1, max_size=8).filter(
    lambda text: "%" not in text and text not in (".", "..")
)
PATHS = st.lists(SEGMENT, max_size=6).map(lambda segments: "/" + "/".join(segments))
NAMES = st.text(st.sampled_from("abcdxyz"), min_size=1, max_size=4).filter(lambda name: name not in TRACKING_PARAMETERS)
QUERIES = st.lists(st.tuples(NAMES, SEGMENT), max_size=4)
TRACKING = st.lists(
    st.tuples(st.sampled_from(sorted(TRACKING_PARAMETERS)) | NAMES.map("utm_".__add__), SEGMENT), max_size=3
)


def written(path: str, *queries: list[tuple[str, str]]) -> str:
    query = "&".join(f"{name}={value}" for each in queries for name, value in each)
    return f"http://site.test{path}" + (f"?{query}" if query else "")


@given(PATHS, QUERIES, TRACKING, st.text(st.sampled_from("abc/?#&="), max_size=5))
def test_what_tracks_who_comes_and_a_fragment_are_no_part_of_a_pages_url(
    path: str, query: list[tuple[str, str]], tracking: list[tuple[str, str]], fragment: str
) -> None:
    plain = page_url(written(path, query))
    for url in (written(path, tracking, query), written(path, query, tracking)):
        assert page_url(f"{url}#{fragment}") == plain
    assert page_url(plain) == plain, "the form of a form is itself"
    assert page_url(written(path, query, tracking), keep_query=True) == normalise_url(written(path, query, tracking))


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("HTTP://Site.Test:80/a?UTM_Source=x&b=1&&fbclid=2#c", "http://site.test/a?b=1"),
        ("http://site.test/a;jsessionid=0123ABCD?x=1", "http://site.test/a?x=1"),
        ("http://site.test/a?PHPSESSID=1", "http://site.test/a"),
        ("http://site.test/a?", "http://site.test/a"),
        ("http://site.test/a?q=utm_source", "http://site.test/a?q=utm_source"),
        ("http://site.test/a?utm%5Fsource=x", "http://site.test/a"),
    ],
)
def test_a_pages_url_has_one_form(url: str, form: str) -> None:
    assert page_url(url) == form


def test_a_url_is_found_by_sixteen_bytes() -> None:
    assert len(hash_of("http://site.test/")) == 16
    assert hash_of("http://site.test/") != hash_of("http://site.test/a")


@given(st.text(st.sampled_from("ab/*?"), max_size=8), st.text(st.sampled_from("ab/"), max_size=10))
def test_a_glob_means_what_it_means_everywhere(glob: str, path: str) -> None:
    assert matches(glob, path) == bool(re.match(fnmatch.translate(glob), path))


def test_a_glob_of_many_stars_takes_no_longer_for_it() -> None:
    assert not matches("*a" * 200 + "b", "/" + "a" * 2_000)


@given(PATHS, st.sampled_from(["http", "https"]), st.booleans(), st.booleans())
def test_scheme_and_www_do_not_matter_to_whose_a_page_is(path: str, scheme: str, begins: bool, www: bool) -> None:
    scope = Scope(frozenset({site_of("http://www.site.test/" if begins else "https://site.test/")}))
    assert scope.refusal(f"{scheme}://{'www.' if www else ''}site.test{path}") is None
    assert scope.refusal(f"{scheme}://other.test{path}") is SkipReason.OUT_OF_SCOPE


def test_subdomains_belong_to_a_site_when_asked_for_and_names_that_merely_end_alike_never() -> None:
    sites = frozenset({"site.test"})
    for host, below in [("blog.site.test", True), ("a.b.site.test", True), ("mysite.test", False), ("test", False)]:
        assert Scope(sites).refusal(f"http://{host}/") is SkipReason.OUT_OF_SCOPE
        assert (Scope(sites, subdomains=True).refusal(f"http://{host}/") is None) == below
    assert Scope(sites).refusal("http://site.test:8080/") is SkipReason.OUT_OF_SCOPE, "another server"


@given(
    PATHS, st.lists(st.sampled_from(["/a*", "*b*", "/*/c", "*"]), max_size=3), st.sampled_from(["/a*", "*b*", "*0*"])
)
def test_what_is_excluded_is_so_whatever_is_included(path: str, include: list[str], exclude: str) -> None:
    url = normalise_url(f"http://site.test{path}")
    scope = Scope(frozenset({"site.test"}), include=include, exclude=[exclude])
    if matches(exclude, urlsplit(url).path) or (
        include and not any(matches(glob, urlsplit(url).path) for glob in include)
    ):
        assert scope.refusal(url) is SkipReason.EXCLUDED
    else:
        assert scope.refusal(url) is None


@given(st.lists(SEGMENT, min_size=1, max_size=3), st.lists(SEGMENT, max_size=3))
def test_a_path_that_goes_on_repeating_itself_is_a_trap(again: list[str], before: list[str]) -> None:
    assert is_nested("http://site.test/" + "/".join([*before, *again * 4]))


@pytest.mark.parametrize(
    ("path", "nested"),
    [
        ("/a/a/a/a", True),
        ("/docs/docs/page", False),
        ("/de/docs/de", False),
        ("/a/b/a/b/a/b/c", True),
        ("/" + "/".join(map(str, range(21))), True),
        ("/" + "/".join(map(str, range(20))), False),
        ("/", False),
    ],
)
def test_links_that_nest_are_told_from_deep_sites(path: str, nested: bool) -> None:
    assert is_nested(f"http://site.test{path}") == nested


@given(PATHS, st.integers(0, 9_999), st.integers(0, 9_999))
def test_pages_that_differ_by_a_number_are_of_one_pattern(path: str, one: int, other: int) -> None:
    pages = [shape_of(normalise_url(f"http://site.test{path}/p-{number}?page={number}")) for number in (one, other)]
    assert pages[0].pattern == pages[1].pattern
    assert -(2**63) <= pages[0].pattern < 2**63


@pytest.mark.parametrize(
    ("url", "most"),
    [
        ("/calendar/2026/11", CALENDAR_MOST),
        ("/events/2026-11-28", CALENDAR_MOST),
        ("/events/2026/nov/3", CALENDAR_MOST),
        ("/events?month=2026-11", CALENDAR_MOST),
        ("/shop?colour=red&size=m&sort=price", FACETS_MOST),
        ("/2024/05/a-post", None),
        ("/report/2024", None),
        ("/list?page=7", None),
        ("/item/12345", None),
    ],
)
def test_calendars_and_filters_have_a_bound_and_pages_have_none(url: str, most: int | None) -> None:
    assert shape_of(f"http://site.test{url}").most == most


def test_what_a_query_asks_for_is_given_up_sooner_than_what_is_a_path() -> None:
    by_query, by_path = shape_of("http://site.test/shop?colour=red"), shape_of("http://site.test/shop/red/1")
    assert by_query.patience < by_path.patience
    two = [shape_of(f"http://site.test/shop?{query}") for query in ("a=1&b=2", "c=3&d=4")]
    assert (two[0].pattern, two[0].most) == (two[1].pattern, None)


def test_filters_of_one_path_are_one_pattern_and_session_ids_are_no_difference() -> None:
    facets = [shape_of(f"http://site.test/shop?{query}") for query in ("a=1&b=2&c=3", "b=1&c=1&d=9&e=8")]
    assert facets[0] == facets[1]
    ids = [shape_of(f"http://site.test/s/{one}/a") for one in ("0123456789abcdef01", "deadbeef0123456789")]
    assert ids[0] == ids[1] != shape_of("http://site.test/s/short/a")


def scope_of(**more: object) -> RunScope:
    definition = Definition.of(CrawlRequest.model_validate({"url": "http://site.test/", **more}))
    return RunScope(definition, definition.scope([]))


async def test_each_url_is_met_once_and_one_that_may_be_followed_wins() -> None:
    links = [
        Link("http://site.test/a", nofollow=True),
        Link("http://site.test/a#part"),
        Link("http://other.test/"),
        Link("mailto:somebody@site.test"),
        Link("http://site.test/b?utm_source=x", lastmod=datetime(2026, 1, 1, tzinfo=UTC)),
        Link("http://site.test/x/x/x/x"),
    ]
    met = await all_met(scope_of(), links, depth=1)
    assert [(one.url.removeprefix("http://"), one.reason) for one in met] == [
        ("site.test/a", None),
        ("other.test/", SkipReason.OUT_OF_SCOPE),
        ("site.test/b", None),
        ("site.test/x/x/x/x", SkipReason.TRAP),
    ]
    assert met[2].lastmod is not None


async def test_what_is_deeper_than_asked_for_is_too_deep_and_what_is_excluded_is_said_to_be_that() -> None:
    scope = scope_of(max_depth=1, exclude=["/b*"])
    links = [Link("http://site.test/a"), Link("http://site.test/b")]
    assert [one.reason for one in await all_met(scope, links, depth=2)] == [SkipReason.TOO_DEEP, SkipReason.EXCLUDED]
    assert [one.reason for one in await all_met(scope, links, depth=1)] == [None, SkipReason.EXCLUDED]


@pytest.mark.parametrize(
    ("asked", "begins"),
    [
        ({"source": "page", "url": "http://a.test/x"}, [("http://a.test/x", "page", False)]),
        ({"source": "feed", "url": "http://a.test/rss"}, [("http://a.test/rss", "links", False)]),
        (
            {"source": "site", "url": "http://a.test/x"},
            [
                ("http://a.test/x", "page", False),
                ("http://a.test/robots.txt", "links", True),
                ("http://a.test/sitemap.xml", "links", True),
            ],
        ),
        (
            {"source": "sitemap", "url": "http://a.test"},
            [("http://a.test/robots.txt", "links", True), ("http://a.test/sitemap.xml", "links", True)],
        ),
        (
            {"source": "sitemap", "url": "http://a.test/s.xml"},
            [("http://a.test/s.xml", "links", False)],
        ),
        ({"source": "list", "urls": ["http://a.test/1"]}, [("http://a.test/1", "page", False)]),
    ],
)
def test_a_run_begins_where_its_source_says(asked: dict[str, object], begins: list[tuple[str, str, bool]]) -> None:
    request = CrawlRequest.model_validate(asked)
    assert Definition.of(request).beginnings(request.urls) == begins
    assert Definition.of(request).follow_links == (request.source in (CrawlSource.PAGE, CrawlSource.SITE))
