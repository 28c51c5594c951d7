"""What stands on every page alike: running heads and feet, numbers of pages; and the head of a document's only page.

They stand at a page's edge: what is alike under a line of the page's own text, such as its heading, is text as well, and
so is what stands close under a table.
"""

import re
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from statistics import median
from typing import Final

from app.core.extraction.pdf.lines import Item, Line, Table

_EDGE: Final = 0.2
# of a page's height, above and below
_LINES: Final = 3
# at each end
_PLACE: Final = 3.0
# points up or down that such a line may stand elsewhere on another page
_SIZE_MAX: Final = 1.35
# of the usual size: larger lines are headings, which a deck of slides may have on several pages
_HEAD: Final = 0.1
# of a page's height, above: where a head stands over the text
_HEAD_SIZE_MAX: Final = 0.92
# of the usual size
_HEAD_GAP: Final = 1.5
# of the usual size, between a head and the text
_NOTE_GAP: Final = 1.0
# of its own size, between a table and a note on it; a foot is further away
_ONE_SIZE: Final = 0.04
# by which letters of one size differ
_NUMBERS_MAX: Final = 3
_NEARLY_ALL: Final = 0.8
_Places = list[tuple[int, float, Line]]
# of lines that read the same but for their numbers: page, height and line
_DIGITS: Final = re.compile(r"\d+")
_NUMBER: Final = re.compile(
    r"\W*(?:(?:page|p\.|seite|página|pagina|strona|side|leathanach|стр\.?)\s*)?(?:\d{1,5}|[ivxlcdm]{1,8})\W*(?:(?:of|/|von|de|di|sur|z)\s*\d{1,5})?\W*",
    re.IGNORECASE,
)


def running_lines(pages: Sequence[tuple[float, Sequence[Item]]]) -> set[int]:
    """Return which lines are no text of their page, by their `id`.

    Parameters
    ----------
    pages
        Each page's height and what stands on it.
    """
    places: dict[tuple[str, str], _Places] = defaultdict(list)
    numbers: list[tuple[int, Line]] = []
    edges = [_edges(items, height) for height, items in pages]
    notes = {id(line) for _, items in pages for line in _notes_on_tables(items)}
    for index, ends in enumerate(edges):
        for end, line in ends:
            if id(line) in notes:
                continue
            places[end, _without_numbers(line.text)].append((index, line.y, line))
            if _NUMBER.fullmatch(line.text):
                numbers.append((index, line))
    usual = median([line.size for _, items in pages for line in items if isinstance(line, Line)] or [0.0])
    own = [line for index, line in numbers if _is_number_of(index, line, len(pages), len(numbers))]
    heads = _heads_beside(own, *pages[0], usual) if len(pages) == 1 else []
    numbered = {id(line) for line in (*own, *heads)}
    alike = _alike(places, len(pages), _SIZE_MAX * usual)
    return numbered | {
        identifier
        for (height, _), ends in zip(pages, edges, strict=True)
        for end in ("top", "bottom")
        for identifier in _peeled([line for other, line in ends if other == end], end, height, usual, alike, numbered)
    }


@dataclass(slots=True)
class _Alike:
    """Lines that read the same on several pages, by their `id`: as heads do, and too large for such; where heads stand."""

    heads: set[int] = field(default_factory=set)
    large: set[int] = field(default_factory=set)
    places: dict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))
    pages: int = 0

    def are_usual_at(self, end: str, y: float) -> bool:
        """Return whether half of the pages have a head there."""
        return len({index for index, place in self.places[end] if abs(place - y) <= _PLACE}) * 2 >= self.pages


def _alike(places: Mapping[tuple[str, str], _Places], pages: int, size_max: float) -> _Alike:
    found = _Alike(pages=pages)
    enough = 2 if pages <= 3 else 3
    for (end, _), there in places.items():
        for index, y, line in there:
            others = {other: each.text for other, place, each in there if abs(place - y) <= _PLACE and other != index}
            if line.size > size_max:
                if [*others.values()].count(line.text) + 1 >= enough:
                    found.large.add(id(line))
            elif len(others) + 1 >= enough or (others and _is_taken(places, end, y, pages)):
                found.heads.add(id(line))
                found.places[end].append((index, y))
    return found


def _peeled(
    lines: Sequence[Line], end: str, height: float, usual: float, alike: _Alike, numbered: Container[int]
) -> Iterator[int]:
    """Go through the heads at a page's end, from its edge inwards as far as there may be any.

    A row of other text ends them, unless other pages have a head where it stands, or it is a small one at the edge itself.
    """
    edge = _HEAD * height
    for row in _rows(lines, end):
        yield from (id(line) for line in row if id(line) in alike.heads)
        known = any(id(line) in alike.heads or id(line) in alike.large or id(line) in numbered for line in row)
        small = all(line.size <= _HEAD_SIZE_MAX * usual and (line.y <= edge or line.y >= height - edge) for line in row)
        if not (known or small or alike.are_usual_at(end, row[0].y)):
            return


def _rows(lines: Sequence[Line], end: str) -> list[list[Line]]:
    """Return lines by their heights, from a page's edge inwards."""
    rows: list[list[Line]] = []
    for line in lines if end == "top" else reversed(lines):
        if rows and abs(line.y - rows[-1][0].y) <= _PLACE:
            rows[-1].append(line)
        else:
            rows.append([line])
    return rows


def _heads_beside(numbers: Sequence[Line], height: float, items: Sequence[Item], usual: float) -> list[Line]:
    """Return the heads of a document of one page, which no other page shows to be such.

    Where the page has its number, what stands above all text in that number's small letters belongs to it. Below the text
    there may be notes in small letters, and without a number a line above it may be an address: those are kept.
    """
    sizes = [number.size for number in numbers if number.size <= _HEAD_SIZE_MAX * usual]
    placed = sorted(items, key=lambda item: item.top)

    def is_like_a_number(item: Item) -> bool:
        return isinstance(item, Line) and any(abs(item.size - size) <= _ONE_SIZE * size for size in sizes)

    heads = [item for item in takewhile(is_like_a_number, placed) if isinstance(item, Line)]
    rest = placed[len(heads) :]
    if not heads or not rest or heads[-1].y > _HEAD * height:
        return []
    return heads if rest[0].top - heads[-1].bottom >= _HEAD_GAP * usual else []


def _notes_on_tables(items: Sequence[Item]) -> Iterator[Line]:
    """Go through the lines that stand close under a table, and no further to either side than it does."""
    tables = [item for item in items if isinstance(item, Table)]
    for line in items if tables else ():
        if isinstance(line, Line) and any(
            -_PLACE <= line.top - table.bottom <= _NOTE_GAP * line.size
            and table.x0 - line.size <= line.x0 <= line.x1 <= table.x1 + line.size
            for table in tables
        ):
            yield line


def _without_numbers(text: str) -> str:
    """Return a text without the numbers that a head may have; a line of more is one of figures."""
    return _DIGITS.sub("#", text) if len(_DIGITS.findall(text)) <= _NUMBERS_MAX else text


def _is_taken(places: Mapping[tuple[str, str], _Places], end: str, y: float, pages: int) -> bool:
    """Whether nearly every page has a line there, of few different ones: heads that change from page to page."""
    there = [
        {index for index, place, _ in lines if abs(place - y) <= _PLACE}
        for (other, _), lines in places.items()
        if other == end
    ]
    kinds = [indexes for indexes in there if indexes]
    return len(set().union(*kinds)) >= _NEARLY_ALL * pages and len(kinds) * 2 <= pages


def _edges(items: Sequence[Item], height: float) -> list[tuple[str, Line]]:
    lines = sorted((item for item in items if isinstance(item, Line)), key=lambda line: line.y)
    top = [("top", line) for line in lines[:_LINES] if line.y <= _EDGE * height]
    return top + [("bottom", line) for line in lines[-_LINES:] if line.y >= (1 - _EDGE) * height]


def _is_number_of(index: int, line: Line, pages: int, numbered: int) -> bool:
    """Whether a number at a page's edge is the page's: most pages have one, or it is this one's own."""
    if numbered * 2 > pages and pages > 2:
        return True
    said = _DIGITS.findall(line.text)
    return bool(said) and int(said[0]) == index + 1
