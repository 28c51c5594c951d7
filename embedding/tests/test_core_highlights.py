"""Where a query's words stand: by the stems that found the passage."""

import pytest

from app.core.answers.highlights import MAX_HIGHLIGHTS, Highlighter
from app.core.queries import parse_query


def marked(query: str, text: str, *languages: str) -> str:
    """Return a text with what is highlighted in brackets."""
    shown, at = "", 0
    for start, end in Highlighter([parse_query(query)], languages or ("en",)).places(text):
        assert at <= start < end <= len(text)
        shown += f"{text[at:start]}[{text[start:end]}]"
        at = end
    return shown + text[at:]


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("running foxes", "A fox runs. Foxes ran.", "A [fox] [runs]. [Foxes] ran."),
        ("gather", "Use asyncio.gather(x) here", "Use asyncio.[gather](x) here"),
        ("asyncio.gather", "Use asyncio.gather(x), or gather", "Use [asyncio.gather](x), or [gather]"),
        ("data source", "dataSource and data_source", "[data][Source] and [data]_[source]"),
        ("cafe", "Un café, des cafés", "Un [café], des [cafés]"),
        ("CAFÉ", "cafe", "[cafe]"),
        ("how do the valves work", "The valve works so", "The [valve] [works] so"),
        ("1.26.3", "nginx 1.26.3 is out, 1.25 not", "nginx [1.26.3] is out, 1.25 not"),
        ("数据库", "使用数据库的人", "使用[数据库]的人"),
        ("fox -dog", "a fox and a dog", "a [fox] and a dog"),
        ("nothing", "of the kind", "of the kind"),
    ],
)
def test_words_are_found_as_the_search_finds_them(query: str, text: str, expected: str) -> None:
    assert marked(query, text) == expected


def test_stemming_is_the_corpus_language() -> None:
    assert marked("Häuser", "ein Haus, viele Häuser", "de") in {
        "ein [Haus], viele [Häuser]",
        "ein Haus, viele [Häuser]",
    }
    assert marked("chevaux", "des chevaux", "fr") == "des [chevaux]"


def test_highlights_are_bounded_and_those_of_several_queries_are_together() -> None:
    places = Highlighter([parse_query("a fox"), parse_query("dogs")], ("en",)).places("fox dog cat " * 300)
    assert len(places) == MAX_HIGHLIGHTS
    assert places[:2] == [[0, 3], [4, 7]]
