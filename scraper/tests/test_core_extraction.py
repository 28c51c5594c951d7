"""What of a page is kept."""

import re
from typing import Any

import pytest
from pages import ARTICLE, DOCUMENTATION

from app.core.errors import EmptyContentError, ExtractionError, PageTooLargeError
from app.core.extraction import code, conversion
from app.core.extraction.extract import extract
from app.core.extraction.result import Extract
from ml_shared.testing.pace import processor_time

URL = "https://docs.example/manual/replication.html"


def html(page: str | bytes, url: str = URL, charset: str | None = None) -> Extract:
    body = page.encode() if isinstance(page, str) else page
    return extract(body, url=url, media_type="text/html", charset=charset)


def test_headings_code_and_tables_of_a_documentation_page_are_kept() -> None:
    content = html(DOCUMENTATION).content
    headings = [line for line in content.splitlines() if line.startswith("#")]
    assert headings == ["# Streaming replication", "## Set it up", "### What to `watch`"]
    code = "def standby(host):\n\n    connection = connect(host)  # waits\n\n\n    return connection\n"
    assert f"```python\n{code}```" in content
    assert '```bash\npsql -c "select 1"\n```' in content
    assert "| Setting | Default |" in content
    assert "| wal_level | replica |" in content
    assert "access file" in content
    for furniture in ("Another page", "Copyright", "¶", "diagram"):
        assert furniture not in content


def test_what_a_page_says_of_itself_is_told() -> None:
    found = html(DOCUMENTATION)
    assert found.title == "Streaming replication — The manual"
    assert (found.language, found.author) == ("en-GB", "The documentation team")
    assert found.published_at == "2024-05-06T07:08:09+00:00"
    assert found.canonical_url == "https://docs.example/current/replication.html"
    assert found.links[0] == "https://docs.example/page-0"
    assert found.links[-2:] == ["https://docs.example/manual/auth.html", "https://docs.example/slots"]


def test_an_article_without_landmarks_is_found() -> None:
    found = html(ARTICLE)
    assert (found.language, found.author, found.published_at) == ("de", "A. Autorin, B. Autor", "2023-01-02")
    assert found.content.startswith("# Der Fluss steigt")
    assert all(f"Absatz {number}:" in found.content for number in range(8))
    assert "Another page" not in found.content


def test_a_heading_that_the_text_lost_is_put_on_top() -> None:
    page = "<html><head><title>The title</title></head><body><p>" + "Words of the text. " * 40 + "</p></body></html>"
    assert html(page).content.startswith("# The title\n\nWords of the text.")


def test_an_index_of_links_is_not_taken_for_the_main_part() -> None:
    links = "".join(f'<li><a href="/{number}">An entry of the index {number}</a></li>' for number in range(100))
    found = html(f"<html><body><main><ul>{links}</ul></main><p>{'Text of the page. ' * 30}</p></body></html>")
    assert "Text of the page." in found.content


def test_links_are_absolute_once_each_and_bounded() -> None:
    many = "".join(f'<a href="/{number}">x</a>' for number in range(6_000))
    links = (
        '<a href="a#1">a</a><a href="a#2">a</a><a href="//cdn.example/b">b</a><a href="mailto:x@example">m</a>'
        '<a href="javascript:void(0)">j</a><a href="http://u:p@h.example/">u</a><a href="#top">t</a>'
        '<a href="http://[bad">b</a><a href="">self</a>'
    )
    page = f'<html><head><base href="https://base.example/x/"></head><body>{links}<p>some text</p>{many}</body></html>'
    found = html(page)
    assert found.links[:3] == ["https://base.example/x/a", "https://cdn.example/b", "https://base.example/0"]
    assert (len(found.links), len(set(found.links)), found.links_left_out) == (5_000, 5_000, 1_002)
    assert html(page.replace(many, "")).links_left_out == 0


def test_a_link_that_is_longer_than_a_url_may_be_is_counted_and_not_told() -> None:
    long = f'<a href="/{"x" * 2_048}">x</a><a href="mailto:{"x" * 3_000}">m</a><a href="/short">s</a>'
    found = html(f"<html><body><p>some text</p>{long}</body></html>")
    assert ([link.rpartition("/")[2] for link in found.links], found.links_left_out, found.links_too_long) == (
        ["short"],
        0,
        1,
    )


def test_a_link_is_nofollow_if_the_page_has_it_no_other_way() -> None:
    links = (
        '<a href="/ad" rel="sponsored NoFollow">a</a><a href="/both" rel=nofollow>b</a><a href="/both#part">c</a>'
        '<a href="/plain" rel="noopener">d</a><a href="/plain" rel=nofollow>d</a><a href="https://docs.example/ad" rel=nofollow>e</a>'
    )
    found = html(f"<html><body><p>some text</p>{links}</body></html>")
    assert [link.rpartition("/")[2] for link in found.links] == ["ad", "both", "plain"]
    assert [link.rpartition("/")[2] for link in found.nofollow_links] == ["ad"]


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ("2024-05-06", "2024-05-06"),
        ("2024-05-06T07:08:09+02:00", "2024-05-06T07:08:09+02:00"),
        ("2024-05-06T07:08:09", "2024-05-06"),
        ("yesterday", None),
        ("06/05/2024", None),
        ("", None),
    ],
)
def test_a_date_is_told_as_the_page_gives_it_or_not_at_all(stated: str, told: str | None) -> None:
    page = f'<html><head><meta name="date" content="{stated}"></head><body><p>Some text here.</p></body></html>'
    assert html(page).published_at == told


@pytest.mark.parametrize(
    ("encoding", "declared", "meta"),
    [
        ("utf-8", None, ""),
        ("utf-8", "utf-8", ""),
        ("utf-8", "iso-8859-1, wrong", ""),
        ("iso-8859-1", "iso-8859-1", ""),
        ("windows-1252", None, '<meta charset="windows-1252">'),
        ("windows-1252", "utf-8", ""),
        ("utf-16", None, ""),
        ("utf-8-sig", "iso-8859-1", ""),
    ],
)
def test_the_character_set_is_found(encoding: str, declared: str | None, meta: str) -> None:
    sentence = "Größere Flüsse führen öfter Hochwasser, und für die Dörfer wird es gefährlich."
    page = f"<html><head>{meta}<title>Flüsse</title></head><body><p>{sentence * 10}</p></body></html>"
    found = html(page.encode(encoding), charset=declared)
    assert (found.title, sentence in found.content) == ("Flüsse", True)


@pytest.mark.parametrize("media_type", ["text/plain", "text/markdown", "text/html"])
@pytest.mark.parametrize("sentence", ["At the café.", "Ein Maß Bier.", "It costs 5 €.", "Да.", "The – dash"])
def test_utf_8_that_nobody_declares_is_not_taken_for_anything_else(sentence: str, media_type: str) -> None:
    body = sentence.encode() if media_type != "text/html" else f"<p>{sentence}</p>".encode()
    assert extract(body, url=URL, media_type=media_type, charset=None).content == sentence
    assert extract(body, url=URL, media_type=media_type, charset="x-unknown").content == sentence


@pytest.mark.parametrize("meta", ["no-such-set", "utf-16"])
def test_a_character_set_that_a_page_cannot_mean_is_passed_over(meta: str) -> None:
    assert html(f"<meta charset={meta}><p>At the café.</p>".encode()).content == "At the café."


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("Au café, on boit du café".encode()[:-1], "Au café, on boit du caf"),
        ("Der Kaffee heißt überall café".encode("windows-1252"), "Der Kaffee heißt überall café"),
        ("日本語のテキスト".encode("iso-2022-jp"), "日本語のテキスト"),
    ],
    ids=["cut within a letter", "ends in a letter of one byte", "escapes"],
)
def test_a_text_that_nobody_declares_is_read(body: bytes, text: str) -> None:
    assert extract(body, url=URL, media_type="text/plain", charset=None).content.startswith(text)


def test_other_scripts_are_read() -> None:
    sentence = "東京は日本の首都であり、世界最大の都市の一つである。"
    page = f'<html><head><meta charset="shift_jis"></head><body><p>{sentence * 20}</p></body></html>'
    assert sentence in html(page.encode("shift_jis")).content


def test_plain_text_and_markdown_pass_as_they_are() -> None:
    text = "A title\n=======\n\n<b>not</b> markup  \n    code\n"
    found = extract(text.encode(), url=URL, media_type="text/plain", charset="utf-8")
    assert (found.content, found.title) == (text.strip("\n"), None)
    found = extract(b"intro\n\n# The Title #\n\ntext", url=URL, media_type="text/markdown", charset=None)
    assert (found.content, found.title) == ("intro\n\n# The Title #\n\ntext", "The Title")


def test_control_characters_are_left_out() -> None:
    found = extract(b"a\0b\x01c\x1bd\r\ne\tf", url=URL, media_type="text/plain", charset="utf-8")
    assert found.content == "abcd\ne\tf"
    assert "\0" not in html("<html><body><p>wo\0rds of a page &#0; and more</p></body></html>").content


def test_xhtml_with_its_declaration_is_read() -> None:
    page = '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml" xml:lang="fr"><body><p>Bonjour le monde</p></body></html>'
    found = extract(page.encode(), url=URL, media_type="application/xhtml+xml", charset=None)
    assert ("Bonjour le monde" in found.content, found.language) == (True, "fr")


@pytest.mark.parametrize(
    "page",
    ["", " \n ", "<html></html>", "<html><body><script>var x = 1</script></body></html>", "<p> … </p>", "<!-- x -->"],
)
def test_a_page_without_text_is_empty(page: str) -> None:
    with pytest.raises(EmptyContentError) as caught:
        html(page)
    assert (caught.value.code, caught.value.retryable) == ("empty_content", False)


def test_a_page_without_text_is_empty_as_plain_text_too() -> None:
    with pytest.raises(EmptyContentError):
        extract(b" \n -- \n", url=URL, media_type="text/plain", charset=None)


def test_a_page_nested_too_deeply_is_refused_at_once() -> None:
    with processor_time() as spent, pytest.raises(ExtractionError) as caught:
        html("<html><body>" + "<div>" * 100_000 + "text" + "</div>" * 100_000 + "</body></html>")
    assert (caught.value.code, caught.value.retryable) == ("extraction_failed", False)
    assert spent.seconds < 5


@pytest.mark.parametrize("pattern", [code._CODE_BLOCK, conversion._NOTE_TITLE])
def test_a_name_without_end_is_gone_through_once(pattern: re.Pattern[str]) -> None:
    with processor_time() as spent:
        for name in ("_" * 100_000, "a_" * 50_000, "a" * 100_000):
            assert not pattern.search(name)
    assert spent.seconds < 5


@pytest.mark.parametrize(("parts", "heads"), [(20, 20), (21, 1)])
def test_a_tables_head_is_repeated_so_often_and_no_more(parts: int, heads: int) -> None:
    rows = "<tr><td>open</td><td>shut</td></tr>" * 2 + "<tr><td>code</td><td><pre>a\nb</pre></td></tr>"
    content = html(f"<main><h1>T</h1><table><tr><th>Valve</th><th>State</th></tr>{rows * parts}</table></main>").content
    assert (content.count("Valve"), content.count("open")) == (heads, 2 * parts)


def test_a_page_nested_deeply_but_not_too_deeply_is_read() -> None:
    page = "<html><body>" + "<font>" * 600 + "Text that is deep. " * 20 + "</font>" * 600 + "<p>after</p></body></html>"
    assert "Text that is deep." in html(page).content


def test_lists_within_lists_are_read_whole_or_not_at_all() -> None:
    page = "<html><body><main>" + "<ul><li>some words " * 450 + "</main></body></html>"
    assert html(page).content.count("some words") == 450
    page = "<html><body><main>" + "<ul><li>some words " * 900 + "</main></body></html>"
    with pytest.raises(ExtractionError):  # rather than without its end
        html(page)


def test_a_text_longer_than_can_be_split_is_refused() -> None:
    with pytest.raises(PageTooLargeError):
        extract(b"word " * 2_000_001, url=URL, media_type="text/plain", charset="utf-8")


@pytest.mark.parametrize(
    "page",
    [
        "<<<>>>",
        "<html><body><p>unclosed <b>text",
        "<table><tr><td>cell<table><tr><td>inner",
        "<p>&#xD800;&#x110000;&bogus; text</p>",
    ],
)
def test_broken_markup_is_read_all_the_same(page: str) -> None:
    found: Any = None
    try:
        found = html(page).content
    except EmptyContentError:
        return
    found.encode()


def test_json_that_is_not_what_it_says_is_passed_over() -> None:
    for data in ("{", "[1, 2]", '"x"', '{"author": 7, "datePublished": {}}', "[" * 2_000):
        page = f'<html><head><script type="application/ld+json">{data}</script></head><body><p>Some text.</p></body></html>'
        found = html(page)
        assert (found.author, found.published_at) == (None, None)


@pytest.mark.parametrize("outer", ["main", "article", "section", "x-app", "div"])
@pytest.mark.parametrize("head", ["", "<meta charset=utf-8><link rel=icon href=a>", "<head><script>1</script>"])
def test_a_page_that_writes_no_body_has_one_from_its_first_element_that_is_no_part_of_a_head(
    outer: str, head: str
) -> None:
    words = "Roses want water in the morning, before the sun stands high, and none at night. "
    more = "Tulips are content with what rain there is, if their bed lets it go again. "
    page = f"<!doctype html>{head}<title>Gardens</title><{outer}><h1>Roses</h1><p>{words}</p></{outer}><p>{more}</p>"
    found = html(page)
    assert (found.title, found.content) == ("Gardens", f"# Roses\n\n{words.strip()}\n\n{more.strip()}")
