"""Sitemaps, feeds and what else lists the pages of a site."""

import gzip
from datetime import UTC, datetime

import pytest

from app.core.discovery.dates import latest_moment
from app.core.discovery.documents import read_list
from app.core.errors import NotAListError
from ml_shared.contracts.links import LIST_MAX_BYTES, LISTED_MAX
from ml_shared.web.urls import URL_MAX_CHARACTERS

URL = "https://docs.example/maps/sitemap.xml"
NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"


def sitemap(*entries: str) -> bytes:
    inside = "".join(f"<url>{entry}</url>" for entry in entries)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="{NAMESPACE}">{inside}</urlset>'.encode()


TWO = sitemap(
    "<loc> https://docs.example/a#part </loc><lastmod>2024-05-06T07:08:09+02:00</lastmod>",
    "<loc>https://docs.example/b?x=1&amp;y=2</loc>",
)
BOTH = ["https://docs.example/a", "https://docs.example/b?x=1&y=2"]


def test_a_sitemap_gives_its_pages_and_when_they_changed() -> None:
    found = read_list(TWO, url=URL)
    assert found.kind == "sitemap"
    assert found.links == [(BOTH[0], "2024-05-06T05:08:09+00:00"), (BOTH[1], None)]
    assert (found.sitemaps, found.truncated, found.warnings) == ([], False, [])


def test_an_index_gives_the_sitemaps_it_names() -> None:
    index = f'<sitemapindex xmlns="{NAMESPACE}"><sitemap><loc>https://docs.example/1.xml.gz</loc></sitemap><sitemap><loc>2.xml</loc></sitemap></sitemapindex>'
    found = read_list(index.encode(), url=URL)
    assert (found.kind, found.links) == ("sitemap_index", [])
    assert found.sitemaps == ["https://docs.example/1.xml.gz", "https://docs.example/maps/2.xml"]


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(TWO, mtime=0),
        gzip.compress(TWO[:100], mtime=0) + gzip.compress(TWO[100:], mtime=0),
        b"\xef\xbb\xbf" + TWO,
        b"\n<!-- <html> -->" + TWO.partition(b"\n")[2],
        TWO.decode().replace("UTF-8", "UTF-16").encode("utf-16"),
        TWO.replace(b"<urlset", b"<s:urlset").replace(b"</urlset", b"</s:urlset").replace(b"xmlns=", b"xmlns:s="),
        TWO.replace(b'"http://www', b'"https://www'),
        b"\r\n".join(url.encode() for url in (*BOTH, BOTH[0] + "#twice", "")),
    ],
    ids=["gzip", "two archives", "mark", "comment", "utf-16", "prefix", "wrong namespace", "text"],
)
def test_a_sitemap_is_read_in_whatever_shape_it_comes(body: bytes) -> None:
    found = read_list(body, url=URL)
    assert ([url for url, _ in found.links], found.truncated, found.warnings) == (BOTH, False, [])


@pytest.mark.parametrize(
    ("body", "warned"),
    [
        (gzip.compress(TWO, mtime=0)[:-4], "archive is damaged"),
        (gzip.compress(TWO, mtime=0)[:-8] + b"\0\0\0\0" + gzip.compress(TWO, mtime=0)[-4:], "archive is damaged"),
        (TWO[:-15], "XML is damaged"),
        (
            sitemap(f"<loc>{BOTH[0]}</loc>", "<loc>ftp://docs.example/</loc>", f"<loc><![CDATA[{BOTH[1]}]]></loc>"),
            "ftp:",
        ),
        (TWO.replace(b"</loc><lastmod>", b"</loc><note>caf\xe9</note><lastmod>"), "XML is damaged"),
        (f"Pages:\n{BOTH[0]}\n{BOTH[1]}".encode(), "1 lines are no URLs"),
    ],
)
def test_a_broken_sitemap_gives_what_can_be_read_and_says_so(body: bytes, warned: str) -> None:
    found = read_list(body, url=URL)
    assert [url for url, _ in found.links] == BOTH
    assert any(warned in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("body", "noted"),
    [
        (TWO.replace(b"&amp;", b"&"), "it has bare ampersands, which were read as themselves"),
        (
            sitemap(f"<loc>{BOTH[0]}</loc><lastmod>soon</lastmod>", "<loc>b?x=1&amp;y=2</loc>").replace(b"b?", b"/b?"),
            "1 times could not be read",
        ),
        (
            sitemap(
                f"<loc>{BOTH[0]}</loc>", f"<loc>/{'x' * URL_MAX_CHARACTERS}</loc>", f"<loc><![CDATA[{BOTH[1]}]]></loc>"
            ),
            f"1 entries have URLs of more than {URL_MAX_CHARACTERS} characters, which name no page here",
        ),
    ],
    ids=["ampersand", "time", "too long"],
)
def test_a_fault_that_costs_no_page_is_a_note_and_no_warning(body: bytes, noted: str) -> None:
    found = read_list(body, url=URL)
    assert [url for url, _ in found.links] == BOTH
    assert (found.notes, found.warnings) == ([noted], [])


def test_no_entity_is_resolved_and_nothing_is_loaded() -> None:
    doctype = '<!DOCTYPE urlset [<!ENTITY secret SYSTEM "file:///etc/hostname"><!ENTITY word "resolved">]>'
    body = f"{doctype}<urlset><url><loc>https://docs.example/&secret;&word;</loc></url></urlset>".encode()
    assert [url for url, _ in read_list(body, url=URL).links] == ["https://docs.example/&secret;&word;"]


def test_a_sitemap_is_read_up_to_the_protocols_bounds() -> None:
    many = sitemap(*(f"<loc>/{number}</loc>" for number in range(LISTED_MAX + 1)))
    found = read_list(many, url=URL)
    assert (len(found.links), found.truncated) == (LISTED_MAX, True)
    bomb = gzip.compress(
        TWO[: TWO.index(b"</urlset>")] + b" " * LIST_MAX_BYTES + b"<url><loc>/late</loc></url></urlset>",
        compresslevel=1,
    )
    found = read_list(bomb, url=URL)
    assert ([url for url, _ in found.links], found.truncated) == (BOTH, True)
    assert read_list(TWO, url=URL, cut=True).truncated


FEEDS = {
    "rss": "<rss version='2.0'><channel><title>News</title><link>https://docs.example/</link>"
    "<item><title>A</title><link>/a</link><pubDate>Mon, 06 May 2024 07:08:09 GMT</pubDate></item>"
    "<item><guid>https://docs.example/b</guid><description><![CDATA[<html><p>words & more]]></description></item></channel></rss>",
    "atom": "<feed xmlns='http://www.w3.org/2005/Atom'><link rel='self' href='/feed'/>"
    "<entry><link rel='edit' href='/edit'/><link href='/a'/><published>2020-01-01T00:00:00Z</published>"
    "<updated>2024-05-06T07:08:09Z</updated></entry><entry><link rel='alternate' href='/b'/></entry></feed>",
}


@pytest.mark.parametrize("kind", FEEDS)
def test_a_feed_gives_its_entries_pages(kind: str) -> None:
    found = read_list(FEEDS[kind].encode(), url=URL)
    assert (found.kind, found.warnings) == (kind, [])
    assert found.links == [("https://docs.example/a", "2024-05-06T07:08:09+00:00"), ("https://docs.example/b", None)]


def test_a_page_gives_the_feeds_it_names_and_its_links_only_where_they_are_wanted() -> None:
    page = (
        b"<!doctype html><base href='https://docs.example/blog/'><link rel='alternate' type='application/rss+xml' href='feed'>"
        b"<link rel='alternate' hreflang=de href='/de'><p><a href=one>1</a><a href=two rel=nofollow>2</a>"
    )
    found = read_list(page, url=URL)
    assert (found.kind, found.sitemaps, found.links) == ("page", ["https://docs.example/blog/feed"], [])
    assert read_list(page, url=URL, anchors=True).links == [("https://docs.example/blog/one", None)]


@pytest.mark.parametrize("body", [b"", b"no such page", b"<note/>", b"<", b"%PDF-1.7", gzip.compress(b"x", mtime=0)])
def test_what_lists_nothing_is_told_as_that(body: bytes) -> None:
    with pytest.raises(NotAListError):
        read_list(body, url=URL)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024", datetime(2025, 1, 1, tzinfo=UTC)),
        ("2024-02", datetime(2024, 3, 1, tzinfo=UTC)),
        ("2024-02-28", datetime(2024, 2, 29, tzinfo=UTC)),
        ("2024-05-06T07:08Z", datetime(2024, 5, 6, 7, 8, tzinfo=UTC)),
        ("2024-05-06T07:08:09", datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)),
        ("Mon, 06 May 2024 07:08:09 +0200", datetime(2024, 5, 6, 5, 8, 9, tzinfo=UTC)),
        *((text, None) for text in ("", "yesterday", "2024-13", "0000", "9999-12-31", "9" * 100, "06.05.2024")),
    ],
)
def test_a_time_is_the_latest_moment_that_its_text_may_mean(text: str, moment: datetime | None) -> None:
    assert latest_moment(text) == moment
