"""Words to lines, and lines to the order that they are read in: column by column, between what spans several."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from app.core.extraction.pdf.words import Word

_SAME_LINE: Final = 0.45
# of the size: centres of words of a line, one of which may be raised, are closer
_LEADERS_MIN: Final = 4
# dots in a line that lead from a title to its page
_GAP: Final = 0.85
# of the size: blanks in a line are seldom wider, columns seldom closer
_STEP: Final = 2.0
# points between the places where a page may be parted
_LINES_MIN: Final = 3
# of a column
_CROSSING_MAX: Final = 0.25
_TEXT: Final = ((0.55, 2.5), (0.3, 3.5))
# how far a column's lines go and how many words they have, at the median; those of an undrawn table are shorter
_WIDE: Final = 0.6
# of the width: a line is of no column
_NEW_PART: Final = 0.8
# of the size: what stands so far under a column is no part of it
_DEPTH_MAX: Final = 6


class Line:
    """Words that stand in a line of one column.

    Attributes
    ----------
    size
        Of most of its letters.
    y
        Of the base line.
    top, bottom
        Of its letters.
    bold, mono
        Whether all of it is; whether all of its letters are equally wide.
    """

    __slots__ = ("bold", "bottom", "mono", "size", "text", "top", "words", "x0", "x1", "y")

    def __init__(self, words: Sequence[Word]) -> None:
        self.words = list(words)
        self.x0 = min(word.x0 for word in words)
        self.x1 = max(word.x1 for word in words)
        self.size = max(words, key=lambda word: len(word.text)).size
        self.y = median([word.y for word in words])
        self.top, self.bottom = self.y - 0.8 * self.size, self.y + 0.2 * self.size
        self.text = " ".join([word.text for word in words])
        self.bold = all(word.bold or not any(map(str.isalnum, word.text)) for word in words)
        self.mono = all(word.mono for word in words)


@dataclass(slots=True)
class Table:
    """A table, where it stands.

    Attributes
    ----------
    size
        Of most of its letters.
    """

    x0: float
    x1: float
    top: float
    bottom: float
    rows: list[list[str]] = field(default_factory=list)
    columns: tuple[float, ...] = ()
    size: float = 0.0

    @property
    def letters(self) -> int:
        """How many it has, blanks included."""
        return sum(len(cell) for row in self.rows for cell in row)


Item = Line | Table


def size_of(words: Sequence[Word]) -> float:
    """Return the size that most letters of some words have."""
    counted: Counter[float] = Counter()
    for word in words:
        counted[word.size] += len(word.text)
    return counted.most_common(1)[0][0] if counted else 0.0


def fragments(words: Sequence[Word]) -> list[Line]:
    """Return words that follow each other closely, as lines; of two columns' lines side by side each is one."""
    found: list[Line] = []
    row: list[Word] = []
    at = size = 0.0
    for word in sorted(words, key=lambda word: (word.y - 0.25 * word.size, word.x0)):
        centre = word.y - 0.25 * word.size
        if row and abs(centre - at) > _SAME_LINE * max(size, word.size):
            found += _parted(row)
            row = []
        if not row:
            at, size = centre, word.size
        row.append(word)
    return found + (_parted(row) if row else [])


def _parted(row: list[Word]) -> list[Line]:
    row.sort(key=lambda word: word.x0)
    leaders = [word for word in row if not word.text.strip(".·…")]
    if len(leaders) >= _LEADERS_MIN and len(leaders) < len(row):  # a list of contents
        return [Line([word for word in row if word not in leaders])]
    parts = [[row[0]]]
    for word in row[1:]:
        before = parts[-1][-1]
        if word.x0 - before.x1 > _GAP * max(min(before.size, word.size), 1.0):
            parts.append([word])
        else:
            parts[-1].append(word)
    return [Line(part) for part in parts]


def in_order(items: Sequence[Item], depth: int = 0) -> list[Item]:
    """Return what stands on a page as it is read."""
    if depth >= _DEPTH_MAX or len(items) < 2 * _LINES_MIN:
        return _rows(items)
    gutter = _gutter(items)
    if gutter is None:
        bands = _bands(items)
        if not any(len(band) >= 2 * _LINES_MIN and _gutter(band) is not None for band in bands):
            return _rows(items)
        return [one for band in bands for one in in_order(band, depth + 1)]
    ordered: list[Item] = []
    band: list[Item] = []
    for item in sorted(items, key=lambda item: item.top):
        if item.x0 < gutter < item.x1:
            ordered += _columns(band, gutter, depth)
            band = []
            ordered.append(item)
        else:
            band.append(item)
    return ordered + _columns(band, gutter, depth)


def _bands(items: Sequence[Item]) -> list[list[Item]]:
    """Part what stands above each other where lines over the whole width begin or end."""
    left, right = min(item.x0 for item in items), max(item.x1 for item in items)
    bands: list[list[Item]] = []
    was_wide: bool | None = None
    for row in _side_by_side(items):
        is_wide = any(item.x1 - item.x0 > _WIDE * (right - left) for item in row)
        if is_wide is not was_wide:
            bands.append([])
        bands[-1] += row
        was_wide = is_wide
    return bands if len(bands) > 1 else []


def _side_by_side(items: Sequence[Item]) -> list[list[Item]]:
    """Return what stands at the same height, from above."""
    rows: list[list[Item]] = []
    for item in sorted(items, key=lambda item: (item.top + item.bottom) / 2):
        last = rows[-1][0] if rows else None
        if (
            isinstance(item, Line)
            and isinstance(last, Line)
            and abs((item.top + item.bottom) - (last.top + last.bottom)) / 2 <= _SAME_LINE * max(item.size, last.size)
        ):
            rows[-1].append(item)
        else:
            rows.append([item])
    return rows


def _columns(band: Sequence[Item], gutter: float, depth: int) -> list[Item]:
    left = sorted((item for item in band if item.x1 <= gutter), key=lambda item: item.top)
    right = [item for item in band if item.x1 > gutter]
    end = max((item.bottom for item in right), default=float("inf"))
    below: list[Item] = []
    for index, item in enumerate(left[1:], start=1):
        apart = item.top - max(before.bottom for before in left[:index])
        if item.top > end and (isinstance(item, Table) or apart > _NEW_PART * item.size):
            left, below = left[:index], left[index:]  # under both columns
            break
    return [*in_order(left, depth + 1), *in_order(right, depth + 1), *in_order(below, depth + 1)]


def _rows(items: Sequence[Item]) -> list[Item]:
    """Join what stands in one line."""
    return [_joined(row) for row in _side_by_side(items)]


def _joined(row: Sequence[Item]) -> Item:
    words = [word for item in row if isinstance(item, Line) for word in item.words]
    return Line(sorted(words, key=lambda word: word.x0)) if words else row[0]


def _gutter(items: Sequence[Item]) -> float | None:
    """Return where two columns part, if there are two."""
    left, right = min(item.x0 for item in items), max(item.x1 for item in items)
    steps = int((right - left) / _STEP)
    if steps < 20:
        return None
    crossing = [0] * (steps + 2)
    for item in items:
        first, last = int((item.x0 - left) / _STEP), int((item.x1 - left) / _STEP)
        crossing[first] += 1
        crossing[min(last, steps) + 1] -= 1
    total, counts = 0, []
    for change in crossing[: steps + 1]:
        total += change
        counts.append(total)
    inner = range(int(steps * 0.12), int(steps * 0.88))
    fewest = min(counts[step] for step in inner)
    if fewest > _CROSSING_MAX * len(items):
        return None
    runs: list[list[int]] = []
    for step in inner:
        if counts[step] == fewest:
            if runs and runs[-1][-1] == step - 1:
                runs[-1].append(step)
            else:
                runs.append([step])
    for run in sorted(runs, key=len, reverse=True)[:4]:
        place = left + _STEP * (run[len(run) // 2] + 0.5)
        if _parts(items, place):
            return place
    return None


def _parts(items: Sequence[Item], place: float) -> bool:
    """Whether two columns of text stand on both sides of a place."""
    sides = ([item for item in items if item.x1 <= place], [item for item in items if item.x0 >= place])
    if any(len(side) < _LINES_MIN for side in sides):
        return False
    tops, bottoms = [min(i.top for i in side) for side in sides], [max(i.bottom for i in side) for side in sides]
    together = min(bottoms) - max(tops)
    if together < 0.4 * min(bottom - top for bottom, top in zip(bottoms, tops, strict=True)):
        return False
    return all(_is_text(side) for side in sides)


def _is_text(side: Sequence[Item]) -> bool:
    lines = [item for item in _rows(side) if isinstance(item, Line)]
    if not lines:
        return True
    width = max(item.x1 for item in side) - min(item.x0 for item in side)
    filled = median(line.x1 - line.x0 for line in lines)
    words = median(len(line.words) for line in lines)
    return any(filled >= share * width and words >= least for share, least in _TEXT)
