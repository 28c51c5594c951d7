"""What stands on every page alike: running heads and feet, numbers of pages."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from app.core.extraction.pdf.lines import Item, Line

_EDGE: Final = 0.2
# of a page's height, above and below
_LINES: Final = 3
# at each end
_PLACE: Final = 3.0
# points up or down that such a line may stand elsewhere on another page
_SIZE_MAX: Final = 1.35
# of the usual size: larger lines are headings, which a deck of slides may have on several pages
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
    for index, (height, items) in enumerate(pages):
        for end, line in _edges(items, height):
            places[end, _without_numbers(line.text)].append((index, line.y, line))
            if _NUMBER.fullmatch(line.text):
                numbers.append((index, line))
    usual = median([line.size for _, items in pages for line in items if isinstance(line, Line)] or [0.0])
    enough = 2 if len(pages) <= 3 else 3
    found = {id(line) for index, line in numbers if _is_number_of(index, line, len(pages), len(numbers))}
    for (end, _), there in places.items():
        for index, y, line in there:
            if line.size > _SIZE_MAX * usual:
                continue
            alike = {other for other, place, _ in there if abs(place - y) <= _PLACE and other != index}
            if len(alike) + 1 >= enough or (alike and _is_taken(places, end, y, len(pages))):
                found.add(id(line))
    return found


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
