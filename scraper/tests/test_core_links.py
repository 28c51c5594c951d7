"""Where Markdown links to; what pages of HTML do is in `test_core_extraction`, and files of Office in `test_core_office`."""

import pytest

from app.core.extraction import kinds
from app.core.extraction.extract import extract
from app.core.extraction.result import Extract
from ml_shared.testing.pace import processor_time

PAGE = "https://harbour.example/docs/page.md"


def read(text: str) -> Extract:
    return extract(text.encode(), url=PAGE, media_type=kinds.MARKDOWN, charset=None)


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("See [the tides](tides.md), [ropes](/ropes 'All') and [it](https://h.example/a_(b)?c=1#d).",
         ["https://harbour.example/docs/tides.md", "https://harbour.example/ropes", "https://h.example/a_(b)?c=1"]),
        ("Words [a](<a b.md>) [b](b.md \"t\") [c]( c.md ).",
         ["https://harbour.example/docs/a b.md", "https://harbour.example/docs/b.md", "https://harbour.example/docs/c.md"]),
        ("A ![picture](p.png) and [![badge](b.svg)](https://h.example/build) and ![p][q].\n\n[q]: q.png",
         ["https://h.example/build"]),
        ("See [Tides][t], [Ropes][], [sails] and [none].\n\n[T]: tides.md 'x'\n[ropes]: <ropes.md>\n[sails]:\n  sails.md",
         [f"https://harbour.example/docs/{name}.md" for name in ("tides", "ropes", "sails")]),
        ("Words <https://h.example/auto> and <a class=x href='/tag'>tag</a>.", ["https://h.example/auto", "https://harbour.example/tag"]),
        ("Code `[a](a.md)` and ``[b](`b.md)`` ` [c](c.md)", ["https://harbour.example/docs/c.md"]),
        ("Words.\n\n```sh\n[a](a.md)\n~~~\n```\n[b](b.md)\n\n~~~~\n[c](c.md)\n~~~\n", ["https://harbour.example/docs/b.md"]),
        ("An \\[a](a.md) escaped, [b\\]](b\\_.md) not.", ["https://harbour.example/docs/b_.md"]),
        ("The [page](page.md#top), [top](#top), [letters](mailto:a@h.example), [x](javascript:x), [b](b.md), [again](b.md#c).",
         ["https://harbour.example/docs/b.md"]),
        ("A [link over\nlines](a.md) is one, over\n[paragraphs\n\nit](b.md) is none.", ["https://harbour.example/docs/a.md"]),
        ("A [x](a.md?b=1&amp;c=2) one.", ["https://harbour.example/docs/a.md?b=1&c=2"]),
        ("See https://h.example/a_(b), (https://h.example/c), **https://h.example/d** and \"https://h.example/no\".\n\n"
         "https://h.example/e\\_f?g=1&amp;h=2.", [f"https://h.example/{end}" for end in ("a_(b)", "c", "d", "e_f?g=1&h=2")]),
        ("| At |\n| --- |\n|https://h.example/a|\n\nAn [https://h.example/b](/b) [open https://h.example/c",
         ["https://h.example/a", "https://harbour.example/b", "https://h.example/c"]),
        ("Code `https://h.example/a` <img src='https://h.example/b' alt=x> ![https://h.example/c](c.png) [a](https://h.example/d)[b](e)",
         ["https://h.example/d", "https://harbour.example/docs/e"]),
    ],
)  # fmt: skip
def test_where_markdown_links_to_is_told(text: str, links: list[str]) -> None:
    found = read(text)
    assert (found.content, found.links) == (text.strip("\n"), links)


def test_links_of_markdown_are_bounded_and_say_what_is_not_to_be_followed() -> None:
    found = read("\n".join(f"- [p](/{number})" for number in range(5_010)))
    assert (len(found.links), found.links_left_out) == (5_000, 10)
    assert read(f"A [long](/{'x' * 3_000}) one").links_too_long == 1
    found = read('<a rel="nofollow sponsored" href="/ad">ad</a> and [b](/b)')
    assert (found.links, found.nofollow_links) == (
        ["https://harbour.example/ad", "https://harbour.example/b"],
        ["https://harbour.example/ad"],
    )


@pytest.mark.parametrize(
    "part", ["[", "](", "](a", "[a](b \"", "![", "`", "`` ` ", "<a ", "<a href=", "[a]: ", "\n[", "<https://", "[x][", "\\", " https://", " https://a)", "(https://a", "[https://a ",
             "]( ", "[[]"],
)  # fmt: skip
def test_no_markdown_makes_its_links_slow_to_find(part: str) -> None:
    with processor_time() as spent:
        read(f"Words {part * (400_000 // len(part))}")
    assert spent.seconds < 5
