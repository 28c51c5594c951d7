"""Feeds: what reads like a tag and is none, in titles and texts."""

import pytest

from app.core.extraction import kinds
from app.core.extraction.extract import extract
from app.core.extraction.result import Extract


def read(body: str, media_type: str) -> Extract:
    return extract(body.encode(), url="https://harbour.example/feed", media_type=media_type, charset=None)


def atom(entry: str, head: str = "<title>News</title>") -> list[str]:
    """Return the blocks of a feed with one entry."""
    body = f'<feed xmlns="http://www.w3.org/2005/Atom">{head}<entry>{entry}</entry></feed>'
    return read(body, kinds.ATOM).content.split("\n\n")


def rss(entry: str, head: str = "<title>News</title>") -> list[str]:
    """Return the blocks of a feed with one entry."""
    body = f'<rss version="2.0"><channel>{head}<item>{entry}</item></channel></rss>'
    return read(body, kinds.RSS).content.split("\n\n")


def test_what_atom_does_not_call_markup_is_text() -> None:
    using = "Using &lt;details&gt; and &lt;b&gt;summary&lt;/b&gt; well"
    text = "Using \\<details> and \\<b>summary\\</b> well"
    for kind in ("", ' type="text"'):
        entry = f"<title{kind}>{using}</title><content{kind}>{using}: R&amp;amp;D</content>"
        head = f"<title{kind}>{using}</title><subtitle{kind}>{using}.</subtitle>"
        assert atom(entry, head) == [f"# {text}", f"{text}.", f"## {text}", f"{text}: R&amp;D"]
    old = f'<feed xmlns="http://purl.org/atom/ns#"><entry><title>{using}</title></entry></feed>'
    assert read(old, kinds.ATOM).content == f"## {text}"


def test_what_atom_calls_markup_is_read_as_that() -> None:
    entry = (
        '<title type="html">On &lt;b&gt;boats&lt;/b&gt; &amp;amp; &amp;lt;T&amp;gt;</title>'
        '<content type="html">&lt;p&gt;Of &lt;b&gt;two&lt;/b&gt; boats.&lt;/p&gt;</content>'
    )
    assert atom(entry)[1:] == ["## On boats & \\<T>", "Of **two** boats."]
    inner = '<div xmlns="http://www.w3.org/1999/xhtml">Of <b>two</b> boats &lt;T></div>'
    entry = f'<title type="xhtml">{inner}</title><content type="xhtml">{inner}</content>'
    assert atom(entry)[1:] == ["## Of two boats \\<T>", "Of **two** boats \\<T>"]


@pytest.mark.parametrize(
    ("title", "heading"),
    [
        ("Understanding List&lt;T&gt; in C#", "Understanding List\\<T> in C#"),
        ("<![CDATA[How to use the &lt;template&gt; element]]>", "How to use the \\<template> element"),
        ("<![CDATA[How to use the <template> element]]>", "How to use the \\<template> element"),
        (
            "<![CDATA[<p>The <em class='x'>old</em> <code>mole</code><br/>of <a href='/'>monks</a></p>]]>",
            "The old mole of monks",
        ),
        ("Using &lt;b&gt; well", "Using \\<b> well"),
        ("Ropes &amp;amp; knots, 5 &lt; 6", "Ropes & knots, 5 < 6"),
        ("AT&amp;T &amp;copy 1", "AT&T &copy 1"),
    ],
)
def test_a_title_of_rss_loses_its_letters_forms_and_no_words(title: str, heading: str) -> None:
    found = rss(f"<title>{title}</title>", f"<title>{title}</title>")
    assert found == [f"# {heading}", f"## {heading}"]


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (
            "A List<T> of Map<string, List<int>> for <your-name>.",
            "A List\\<T> of Map\\<string, List\\<int>> for \\<your-name>.",
        ),
        ("<p>A List<T> is<br>a <b>list</b>.", "A List\\<T> is\na **list**."),
        ("<x-note>Tides</x-note> and <o:p> <blink>boats</blink>", "Tides and boats"),
        ("<svg><path d='M0'><g>x</g></svg>Boats", "Boats"),
    ],
)
def test_what_only_looks_like_a_tag_is_text_in_a_text_of_markup(text: str, content: str) -> None:
    [_, _, found] = rss(f"<title>Words</title><description><![CDATA[{text}]]></description>")
    assert found.replace("  \n", "\n").replace("\\\n", "\n") == content
