"""What extraction keeps of a page, and what it leaves out: a kind of thing at a time, and whole pages of each kind."""

from pathlib import Path

import pytest
from extraction_cases import CASES, SETTINGS, Case, page
from lxml.html import HtmlElement, document_fromstring, tostring

from app.core.extraction.extract import extract

PAGES = sorted(Path(__file__).with_name("extraction_pages").glob("*.html"))
FURNITURE_MAX = 0.6
# of a page's furniture, counted in blocks
BEYOND = {"forum-phpbb", "forum-cards", "landing", "questions", "shop-product"}
"""Pages without a landmark or a telling name, whose furniture is written like text: more of it comes in than that."""
SHORT = 8


def markdown(html: str) -> str:
    return extract(html.encode(), url="https://guide.example/page", media_type="text/html", charset="utf-8").content


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_kind_of_text_is_kept_as_it_was_meant(case: Case, setting: str) -> None:
    content = markdown(page(case.body, setting))
    assert [part for part in case.keep if part not in content] == [], content
    assert [part for part in (*case.drop, "About us", "Copyright Acme") if part in content] == [], content
    assert content.startswith("# The guide\n\nParagraph 0")
    assert all(f"Paragraph {number} of" in content for number in range(8))


def test_the_banner_of_a_site_is_not_the_pages_title() -> None:
    text = "<p>This paragraph of the guide tells how the pump is opened and why the order matters.</p>" * 5
    html = (
        "<html><head><title>Real page title - Acme</title></head><body><header><h1>Acme documentation</h1></header>"
        f"<div class='c'><h2>Real page title</h2>{text}</div></body></html>"
    )
    content = markdown(html)
    assert content.startswith("# Real page title\n")
    assert "Acme documentation" not in content
    assert content.count("Real page title") == 1


def chapters(before: str) -> str:
    text = "<p>This paragraph of the guide tells how the pump is opened and why the order matters.</p>" * 3
    parts = "".join(f"<h2 id='part{number}'>Part {number}</h2>{text}" for number in range(5))
    return f"<html><body><div class='page'>{before}<div class='text'>{text}{parts}</div></div></body></html>"


def entries(count: int = 5, target: str = "#part{}") -> str:
    return "".join(f"<li><a href='{target.format(number)}'>Part {number}</a></li>" for number in range(count))


def test_a_table_of_contents_right_before_the_text_is_part_of_it() -> None:
    content = markdown(chapters(f"<div class='toc'><ul>{entries()}</ul></div>"))
    assert content.startswith("- Part 0\n- Part 1\n- Part 2\n- Part 3\n- Part 4\n\n")


@pytest.mark.parametrize(
    "before",
    [
        f"<div class='col-3'><div class='sidebar'><ul>{entries()}</ul></div></div>",
        f"<aside><ul>{entries()}</ul></aside>",
        f"<div><ul>{entries(target='/other#part{}')}</ul></div>",
        f"<div><ul>{entries(target='#elsewhere{}')}</ul></div>",
        f"<div><ul>{entries(5)}{entries(90, '#part0')}</ul></div>",
    ],
    ids=["in a bar", "in an aside", "of other pages", "of places that are not there", "an index"],
)
def test_a_list_of_links_that_is_no_table_of_contents_stays_out(before: str) -> None:
    assert "- Part 0" not in markdown(chapters(before))


def test_lists_of_changes_are_kept_however_many_they_are() -> None:
    changes = "".join(
        f"<li><a href='/i/{number}'>#{number}</a> The pump no longer stops when valve {number} is opened late</li>"
        for number in range(30)
    )
    text = "<p>Please take a look at the list of what is known, which tells of what is still to be mended.</p>"
    versions = "".join(
        f"<h4><a href='#v{one}'>Version {one}</a></h4><p>Mended in it:</p><ul>{changes}</ul>{text}" for one in range(9)
    )
    content = markdown(f"<html><body><div class='section'><h2>History</h2>{versions}</div></body></html>")
    assert content.count("- #17 The pump no longer stops when valve 17 is opened late\n") == 9


def test_what_set_furniture_apart_goes_with_it() -> None:
    text = "<p>This paragraph of the guide tells how the pump is opened and why the order matters.</p>" * 3
    content = markdown(f"<html><head><title>Guide</title></head><body><hr><h2>Guide</h2>{text}<hr></body></html>")
    assert content.startswith("# Guide\n\nThis paragraph")
    assert content.endswith("the order matters.")


def test_boxes_within_boxes_are_looked_through_however_many_they_are() -> None:
    deep = f"{'<div>' * 900}<ul>{entries()}</ul>{'</div>' * 900}"
    assert "why the order matters" in markdown(chapters(deep))


def test_a_script_in_a_heading_is_none_of_it() -> None:
    text = "<p>This paragraph of the guide tells how the pump is opened and why the order matters.</p>" * 5
    content = markdown(f"<html><body><h1>Hello <script>var x=1</script>World</h1>{text}</body></html>")
    assert content.startswith("# Hello World\n")


def test_marks_of_where_a_word_may_be_parted_are_none_of_its_letters() -> None:
    text = (
        "<p>The har&shy;bour&shy;master<b> o\u00adpens</b> the old\u00ad gate, and <code>a&shy;b</code> stays.</p>" * 4
    )
    page = f"<html><head><title>Har&shy;bour</title></head><body><h1>Har&shy;bour</h1>{text}<pre>c&shy;d</pre></body></html>"
    found = extract(page.encode(), url="https://guide.example/page", media_type="text/html", charset="utf-8")
    sentence = "The harbourmaster **opens** the old gate, and `a\u00adb` stays."
    assert (found.title, found.content.startswith(f"# Harbour\n\n{sentence}")) == ("Harbour", True)
    assert found.content.endswith("```\nc\u00add\n```")


def test_a_dozen_words_beside_a_menu_are_a_page() -> None:
    content = markdown(
        "<html><head><title>Closure notice - Port</title></head><body><nav><a href='/'>Home</a><a href='/news'>News</a></nav>"
        "<h1>Closure notice</h1><p>The bridge is closed on Monday from nine to five.</p><h2>Detour</h2><p>Use the ferry.</p>"
        "</body></html>"
    )
    assert content == (
        "# Closure notice\n\nThe bridge is closed on Monday from nine to five.\n\n## Detour\n\nUse the ferry."
    )


@pytest.mark.parametrize("setting", ["main", "article", "div", "section"])
@pytest.mark.parametrize(
    ("last", "kept"),
    [
        (
            "<h2>Support</h2><p>Email: help@harbour.example</p><p>Phone: +49 30 1234567</p>",
            "## Support\n\nEmail: help@harbour.example\n\nPhone: +49 30 1234567",
        ),
        ("<p>Finally, run <code>make install</code></p>", "Finally, run `make install`"),
        ("<p>Yours sincerely</p><p>Ada Pump</p>", "Yours sincerely\n\nAda Pump"),
        ("<p>The pump is old,<br>the water cold</p>", "The pump is old,  \nthe water cold"),
        ("<blockquote><p>The water cold</p></blockquote>", "> The water cold"),
    ],
    ids=["an address", "code", "a signature", "a verse", "a quotation"],
)
def test_paragraphs_that_end_in_no_full_stop_are_kept_at_the_end_of_a_page(setting: str, last: str, kept: str) -> None:
    text = "<p>This paragraph of the guide tells how the pump is opened and why the order matters.</p>" * 4
    content = markdown(
        f"<html><head><title>Guide</title></head><body><{setting}><h1>Guide</h1>{text}{last}</{setting}></body></html>"
    )
    assert content.endswith(kept)


def test_the_lines_of_the_last_stanza_are_kept_and_the_foot_of_the_page_is_not() -> None:
    stanzas = "".join(
        f"<div class='stanza'><div>The pump of quay {number} is old and stands</div><div>up to its wheel in the cold and brown water of the harbour{end}</div></div>"
        for number, end in enumerate(".....,")
    )
    content = markdown(
        f"<html><head><title>Water</title></head><body><h1>Water</h1><div>{stanzas}<div class='foot'>Harbour Press</div></div></body></html>"
    )
    assert content.endswith(
        "The pump of quay 5 is old and stands\n\nup to its wheel in the cold and brown water of the harbour,"
    )


def _folded(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _marked(tree: HtmlElement, attribute: str) -> list[str]:
    return [_folded(element.text_content()) for element in tree.xpath(f"//*[@{attribute}]")]


def _without_furniture(html: str) -> HtmlElement:
    tree = document_fromstring(html)
    for element in tree.xpath("//*[@data-drop]"):
        element.drop_tree()
    return tree


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_whole_page_gives_its_text_and_little_else(path: Path) -> None:
    tree = document_fromstring(path.read_text())
    wanted = _marked(_without_furniture(path.read_text()), "data-keep")
    furniture = [text for text in _marked(tree, "data-drop") if len(text) > SHORT]
    assert wanted
    for element in tree.iter():
        for name in ("data-keep", "data-drop"):
            element.attrib.pop(name, None)
    content = _folded(markdown(tostring(tree, encoding="unicode")))
    assert [text for text in wanted if text[:60] not in content] == []
    if path.stem not in BEYOND:
        assert sum(text in content for text in furniture) <= FURNITURE_MAX * len(furniture)
