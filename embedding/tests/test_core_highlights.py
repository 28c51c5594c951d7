"""Where a query's words stand: by the stems that found the passage."""

import pytest

from app.core.answers.highlights import MAX_HIGHLIGHTS, Highlighter
from app.core.queries import parse_query
from app.core.words import names, places_of, runs


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
        ("C++", "in C++, C++17 and C/C++, not C", "in [C++], [C++]17 and C/[C++], not C"),
        ("C", "in C, C++ and C/C++", "in [C], C++ and [C]/C++"),
        ("C#", "C# and F#", "[C#] and F#"),
        ("3.11", "Python 3.11.4, python3.11, 3.1", "Python [3.11.4], python[3.11], 3.1"),
        ("1.26", "v1.26.3 of nginx-1.26.tar.gz", "[v1.26.3] of nginx-[1.26].tar.gz"),
        ("nginx-1.26.3", "nginx-1.26.3 or nginx 1.26.3", "[nginx-1.26.3] or [nginx] [1.26.3]"),
        ("python3", "python3.11 and python3", "[python3].11 and [python3]"),
        ("Zürich", "in Zu\u0308rich, Zürich", "in [Zu\u0308rich], [Zürich]"),
        ("café", "cafe\u0301s", "[cafe\u0301s]"),
        ("हिन्दी", "यह हिन्दी है।", "यह [हिन्दी] है।"),
        ("है", "यह हिन्दी है।", "यह हिन्दी [है]।"),
        ("E0040", "error[E0040]: 0040", "error[[E0040]]: [0040]"),
        ("k8s", "with k8s", "with [k8s]"),
        ("p95 utf8", "P95 of UTF-8", "[P95] of [UTF-8]"),
        ("IPv6", "ipv6 and IPv6, not IPv4", "[ipv6] and [IPv6], not I[Pv]4"),
        ("oauth", "OAuth2 and OAuth", "[OAuth]2 and [OAuth]"),
        ("init", "the __init__ of it", "the __[init]__ of it"),
        ("full", "Ｆｕｌｌ", "[Ｆｕｌｌ]"),
        ("猫", "黒猫がいる。猫", "黒[猫]がいる。[猫]"),
        ("Python入门", "学习Python入门教程", "学习[Python入门]教程"),
        ("l'été", "à l'été", "à l'[été]"),
    ],
)
def test_words_are_found_as_the_search_finds_them(query: str, text: str, expected: str) -> None:
    assert marked(query, text) == expected


@pytest.mark.parametrize(
    "run",
    [
        *(
            "nginx-1.26.3.tar.gz",
            "python3.11",
            "v2.0-rc1.x",
            "1.2.3.tar.gz",
            "libssl.so.1.1",
            "x86_64-v3",
            "MySQL8.0/inno_db",
        ),
        *("OAuth2Client", "E0040", "C++17", "C++1Foo", "F#", "/etc/nginx/nginx.conf", "std::vec::Vec", "a_b-cD.e"),
        "/".join(["path"] * 60),
    ],
)
def test_whatever_a_name_is_found_by_has_a_place_in_it(run: str) -> None:
    found = {form for name in names(run) for form in (*name.wholes, *name.parts, *name.beside)}
    [written] = runs(run)
    placed = {form for begin, end, form in places_of(written) if 0 <= begin < end <= len(written)}
    assert found <= placed


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
