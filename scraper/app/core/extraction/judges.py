"""Who says which runs of a page are its text.

Each judge is a library that makes a text of its own from a page. So that its text leads back to the page, every run gets
a mark before it is asked: one character of a script that hardly any page uses. A run whose mark comes back is one that
the judge wants. That is exact whatever a judge does to blanks and markup, and takes one pass.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import trafilatura
from lxml.html import HtmlElement, tostring
from resiliparse.extract.html2text import extract_plain_text

from app.core.extraction.blocks import Run

_FIRST_MARK: Final = 0x20000
_LAST_MARK: Final = 0x2A6DF
# CJK Unified Ideographs Extension B: letters, which no judge takes for rubbish
_MARKS: Final = re.compile(f"[{chr(_FIRST_MARK)}-{chr(_LAST_MARK)}]")
RUNS_MAX: Final = _LAST_MARK - _FIRST_MARK + 1
# 42,720; what follows in a page that has more is wanted by nobody


@dataclass(frozen=True)
class Votes:
    """For every run, whether each judge wants it.

    Attributes
    ----------
    article
        Trafilatura's: seldom wrong about what it wants, and misses headings, tables and lists.
    broad
        Resiliparse's: misses little, and takes some furniture along.
    """

    article: list[bool]
    broad: list[bool]


def ask(tree: HtmlElement, runs: Sequence[Run]) -> Votes:
    """Ask both judges about a page's runs."""
    with _marked(runs):
        return Votes(_votes(_article(tree), runs), _votes(_broad(tree), runs))


@contextmanager
def _marked(runs: Sequence[Run]) -> Iterator[None]:
    for number, run in enumerate(runs[:RUNS_MAX]):
        _set(run, chr(_FIRST_MARK + number) + _get(run))
    try:
        yield
    finally:
        for run in runs[:RUNS_MAX]:
            _set(run, _get(run)[1:])


def _get(run: Run) -> str:
    return (run.holder.tail if run.in_tail else run.holder.text) or ""


def _set(run: Run, text: str) -> None:
    if run.in_tail:
        run.holder.tail = text
    else:
        run.holder.text = text


def _votes(text: str, runs: Sequence[Run]) -> list[bool]:
    numbers = {ord(sign) - _FIRST_MARK for sign in _MARKS.findall(text)}
    return [number in numbers for number in range(len(runs))]


def _article(tree: HtmlElement) -> str:
    try:
        return trafilatura.extract(tree, output_format="txt", fast=True, include_comments=False) or ""
    except RecursionError:  # lists within lists, hundreds deep
        return ""


def _broad(tree: HtmlElement) -> str:
    html = tostring(tree, encoding="unicode")
    return str(extract_plain_text(html, main_content=True, alt_texts=False))
