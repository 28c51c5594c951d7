"""What is measured of a page's Markdown, against the truth about the page.

words
    `P` is the share of the Markdown's words that are the truth's, `R` the share of the truth's that the Markdown has,
    `F1` their harmonic mean; words as a bag, in lower case, a character each in scripts without blanks. A first line
    that is a heading of level 1 and no text of the truth (the page's title) counts for and against nobody.
headings
    Share of the truth's headings that are headings of the Markdown, by their words.
levels
    Share of neighbouring headings of the truth, both found, of which the later one is deeper, as deep or less deep in
    the Markdown as it is on the page. Not of articles: their truth has levels of its own.
lists
    Share of the truth's list items that are list items of the Markdown, by the first words of each.
code
    Share of the truth's code blocks that stand in a code block of the Markdown, to the blank; ends of lines aside.
rows
    Share of the truth's table rows (of two filled cells or more; no layout) whose cells are those of a row, in order.
kept, furniture
    Of pages with marks: share of the blocks to keep that are there whole, and of the others that were let in.

Each is a page's; a corpus' figure is the mean over its pages that have any of it.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from lxml.html import HtmlElement

from bench.extraction.pages import Page
from bench.extraction.texts import markdown_words, structure_of, structure_of_markdown, text_of, words

COLUMNS = ("F1", "P", "R", "headings", "levels", "lists", "code", "rows", "kept", "furniture")
_TITLE = re.compile(r"\A\s*# +(.+)\n?")


@dataclass
class Measured:
    """A page's figures, and for looking what was missed and let in."""

    figures: dict[str, float] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)


def measure(page: Page, markdown: str) -> Measured:
    """Compare a page's Markdown with its truth."""
    result = Measured()
    truth = page.truth()
    expected = [word for part in truth for word in words(text_of(part))]
    found = markdown_words(_untitled(markdown, expected))
    _words(result, expected, found)
    wanted, there = structure_of(truth), structure_of_markdown(markdown)
    matched = _paired(wanted.headings, there.headings)
    if wanted.headings:
        _share(result, "headings", [text for _, text in wanted.headings], [place is not None for place in matched])
        if page.levels:
            _levels(result, wanted.headings, there.headings, matched)
    _share(result, "lists", wanted.items, _there(wanted.items, there.items))
    _share(result, "code", wanted.code, [any(one in block for block in there.code) for one in wanted.code])
    rows = [" | ".join(row) for row in wanted.rows]
    _share(result, "rows", rows, _there(rows, [" | ".join(row) for row in there.rows]))
    _blocks(result, page, truth, " ".join(markdown_words(markdown)))
    return result


def _untitled(markdown: str, expected: Sequence[str]) -> str:
    title = _TITLE.match(markdown)
    if title is None or _within(" ".join(markdown_words(title[1])), " ".join(expected)):
        return markdown
    return markdown[title.end() :]


def _within(part: str, whole: str) -> bool:
    return f" {part} " in f" {whole} "


def _words(result: Measured, expected: Sequence[str], found: Sequence[str]) -> None:
    wanted, got = Counter(expected), Counter(found)
    common = (wanted & got).total()
    result.figures["P"] = common / len(found) if found else 0.0
    result.figures["R"] = common / len(expected) if expected else 1.0
    result.figures["F1"] = 2 * common / (len(found) + len(expected)) if found or expected else 1.0
    for verb, surplus in (("lost", wanted - got), ("foreign", got - wanted)):
        if surplus:
            often = " ".join(f"{word}×{count}" for word, count in surplus.most_common(40))
            result.missed.append(f"words {verb}: {surplus.total()}: {often}")


def _share(result: Measured, what: str, wanted: Sequence[str], there: Sequence[bool]) -> None:
    if wanted:
        result.figures[what] = sum(there) / len(wanted)
        result.missed += [f"{what}: {one}" for one, is_there in zip(wanted, there, strict=True) if not is_there]


def _there(wanted: Sequence[str], found: Sequence[str]) -> list[bool]:
    left = Counter(found)
    answers = []
    for one in wanted:
        answers.append(left[one] > 0)
        left[one] -= 1
    return answers


def _paired(wanted: Sequence[tuple[int, str]], found: Sequence[tuple[int, str]]) -> list[int | None]:
    """Return where in the Markdown each of the truth's headings is; of equal ones the first goes with the first."""
    places: dict[str, list[int]] = {}
    for place, (_, text) in enumerate(found):
        places.setdefault(text, []).append(place)
    return [places[text].pop(0) if places.get(text) else None for _, text in wanted]


def _levels(
    result: Measured,
    wanted: Sequence[tuple[int, str]],
    found: Sequence[tuple[int, str]],
    matched: Sequence[int | None],
) -> None:
    both = [(level, found[place][0]) for (level, _), place in zip(wanted, matched, strict=True) if place is not None]
    steps = [_sign(later[0] - earlier[0]) == _sign(later[1] - earlier[1]) for earlier, later in pairwise(both)]
    if steps:
        result.figures["levels"] = sum(steps) / len(steps)


def _sign(number: int) -> int:
    return (number > 0) - (number < 0)


def _blocks(result: Measured, page: Page, truth: Sequence[HtmlElement], markdown: str) -> None:
    """Look for the blocks of a page with marks."""
    furniture = page.furniture()
    if not furniture:
        return
    for what, parts, verb, wrong in (("kept", truth, "lost", False), ("furniture", furniture, "let in", True)):
        blocks = list(filter(None, (" ".join(words(text_of(part))) for part in parts)))
        there = [_within(block, markdown) for block in blocks]
        result.figures[what] = sum(there) / len(blocks)
        result.missed += [
            f"block {verb}: {block[:160]}" for block, found in zip(blocks, there, strict=True) if found is wrong
        ]
