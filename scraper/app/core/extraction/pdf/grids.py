"""Tables, found by the lines that are drawn for them: around every cell, or above, below and under the header alone."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from app.core.extraction.pdf.lines import Line, Table, fragments, size_of
from app.core.extraction.pdf.words import Rule, Sheet, Word

_MARK: Final = re.compile(r"[^\w(]{1,2}|[(]?(?:\d{1,3}|[a-zA-Z]|[ivx]{1,4})[.)]|o")
_SNAP: Final = 3.0
_MEETS: Final = 4.0
_COVERED: Final = 0.6
# of a cell's side: less is no side
_RULES_MAX: Final = 400
_COLUMN_GAP: Final = 0.6
# of the size: between columns of a table without upright lines
_WORDS_MAX: Final = 14
# of a cell of such a table, at the mean: text in two columns between two lines has more
_ALIGNED_MIN: Final = 3
_ALIGNED_WORDS_MAX: Final = 4
# of a cell of a table without any line, at the mean


@dataclass
class _Grid:
    xs: list[float]
    ys: list[float]
    across: list[Rule]
    down: list[Rule]


def tables_of(sheet: Sheet) -> tuple[list[Table], list[Word]]:
    """Return a page's tables, and the words that stand in none."""
    words = sheet.words
    tables: list[Table] = []
    across, down = _snapped(sheet.across), _snapped(sheet.down)
    used: list[Rule] = []
    for grid in _grids(across, down):
        inside, outside = _within(words, grid.xs[0], grid.xs[-1], grid.ys[0], grid.ys[-1])
        rows = _cells(grid, inside)
        used += grid.across
        if sum(any(row) for row in rows) and max(sum(map(bool, row)) for row in rows) >= 2:
            words = outside
            size = size_of(inside)
            tables.append(Table(grid.xs[0], grid.xs[-1], grid.ys[0], grid.ys[-1], rows, tuple(grid.xs), size))
    for rules in _stacks([rule for rule in across if rule not in used]):
        inside, outside = _within(words, rules[0].start, rules[0].end, rules[0].at, rules[-1].at)
        found = _between(inside, [rule.at for rule in rules])
        if found is not None:
            words = outside
            columns, rows = found
            size = size_of(inside)
            tables.append(Table(rules[0].start, rules[0].end, rules[0].at, rules[-1].at, rows, columns, size))
    return tables, words


def _snapped(rules: Sequence[Rule]) -> list[Rule]:
    """Join lines that are pieces of one, or sides of a line that is drawn as a narrow box."""
    joined: list[Rule] = []
    for rule in sorted(rules[: _RULES_MAX * 4], key=lambda rule: (rule.at, rule.start)):
        for index in range(len(joined) - 1, -1, -1):
            other = joined[index]
            if rule.at - other.at > _SNAP:
                index = -1
                break
            if rule.start <= other.end + _SNAP and rule.end >= other.start - _SNAP:
                joined[index] = Rule(other.at, min(rule.start, other.start), max(rule.end, other.end))
                break
        else:
            index = -1
        if index < 0:
            joined.append(rule)
    return joined[:_RULES_MAX]


def _grids(across: Sequence[Rule], down: Sequence[Rule]) -> Iterator[_Grid]:
    """Go through what lines that meet make up."""
    groups: list[tuple[set[int], set[int]]] = []
    for i, level in enumerate(across):
        met = {
            j
            for j, upright in enumerate(down)
            if level.start - _MEETS <= upright.at <= level.end + _MEETS
            and upright.start - _MEETS <= level.at <= upright.end + _MEETS
        }
        if not met:
            continue
        merged: tuple[set[int], set[int]] = ({i}, met)
        rest = []
        for group in groups:
            if group[1] & merged[1]:
                merged = (merged[0] | group[0], merged[1] | group[1])
            else:
                rest.append(group)
        groups = [*rest, merged]
    for levels, uprights in groups:
        a, d = [across[i] for i in sorted(levels)], [down[j] for j in sorted(uprights)]
        # a table may be open at its sides
        xs = _distinct([rule.at for rule in d] + [rule.start for rule in a] + [rule.end for rule in a])
        ys = _distinct([rule.at for rule in a] + [rule.start for rule in d] + [rule.end for rule in d])
        if len(xs) >= 3 and len(ys) >= 2 and (len(xs) - 1) * (len(ys) - 1) <= 5_000:
            yield _Grid(xs, ys, a, d)


def _distinct(places: Sequence[float]) -> list[float]:
    found: list[float] = []
    for place in sorted(places):
        if not found or place - found[-1] > _SNAP + 1:
            found.append(place)
    return found


def _cells(grid: _Grid, words: Sequence[Word]) -> list[list[str]]:
    """Return the text of a grid's cells; of one that spans several it stands in the first."""
    columns, rows = len(grid.xs) - 1, len(grid.ys) - 1
    owner = list(range(columns * rows))

    def root(cell: int) -> int:
        while owner[cell] != cell:
            cell = owner[cell]
        return cell

    for row in range(rows):
        for column in range(columns):
            cell = row * columns + column
            if column + 1 < columns and not _is_drawn(grid.down, grid.xs[column + 1], grid.ys[row], grid.ys[row + 1]):
                owner[max(root(cell), root(cell + 1))] = min(root(cell), root(cell + 1))
            if row + 1 < rows and not _is_drawn(grid.across, grid.ys[row + 1], grid.xs[column], grid.xs[column + 1]):
                below = cell + columns
                owner[max(root(cell), root(below))] = min(root(cell), root(below))
    inside: dict[int, list[Word]] = {}
    for word in words:
        column = _place(grid.xs, (word.x0 + word.x1) / 2)
        row = _place(grid.ys, word.y - 0.3 * word.size)
        inside.setdefault(root(row * columns + column), []).append(word)
    texts = {cell: _text(found) for cell, found in inside.items()}
    return [[texts.get(row * columns + column, "") for column in range(columns)] for row in range(rows)]


def _is_drawn(rules: Sequence[Rule], at: float, start: float, end: float) -> bool:
    covered = sum(
        max(0.0, min(rule.end, end) - max(rule.start, start)) for rule in rules if abs(rule.at - at) <= _SNAP + 1
    )
    return covered >= _COVERED * (end - start)


def _place(edges: Sequence[float], value: float) -> int:
    return max(0, min(sum(1 for edge in edges[1:-1] if value >= edge), len(edges) - 2))


def _text(words: Sequence[Word]) -> str:
    return joined([line.text for line in fragments(words)])


def joined(lines: Sequence[str]) -> str:
    """Join a cell's lines, and the word that a hyphen parts."""
    text = ""
    for line in lines:
        text = text[:-1] + line if text.endswith("\xad") else f"{text} {line}" if text else line
    return text.replace("\xad", "-")


def _within(words: Sequence[Word], x0: float, x1: float, y0: float, y1: float) -> tuple[list[Word], list[Word]]:
    inside: list[Word] = []
    outside: list[Word] = []
    for word in words:
        centre, middle = (word.x0 + word.x1) / 2, word.y - 0.3 * word.size
        is_in = x0 - _SNAP <= centre <= x1 + _SNAP and y0 - 1 <= middle <= y1 + 1
        (inside if is_in else outside).append(word)
    return inside, outside


def _stacks(across: Sequence[Rule]) -> Iterator[list[Rule]]:
    """Go through lines of the same length above each other: at least a table's top, its header's end and its bottom."""
    left = sorted(across, key=lambda rule: rule.at)
    while left:
        first, rest = left[0], left[1:]
        same = [rule for rule in rest if abs(rule.start - first.start) <= _SNAP and abs(rule.end - first.end) <= _SNAP]
        if len(same) >= 2:
            yield [first, *same]
        left = [rule for rule in rest if rule not in same]


def _between(words: Sequence[Word], rules: Sequence[float]) -> tuple[tuple[float, ...], list[list[str]]] | None:
    """Return columns and rows of what stands between level lines, if it is a table."""
    lines = _lines(words)
    if len(lines) < 2:
        return None
    found = columns_of([word for line in lines for word in line.words])
    if found is None:
        return None
    rows: list[list[str]] = []
    last: Line | None = None
    for line in lines:
        row = _row(line, found)
        apart = last is None or any(last.y < rule < line.y for rule in rules)
        if rows and not apart and sum(map(bool, row)) * 2 <= len(row) and not row[0]:
            rows[-1] = [joined(list(filter(None, pair))) for pair in zip(rows[-1], row, strict=True)]
        else:
            rows.append(row)
        last = line
    filled = [cell for row in rows for cell in row if cell]
    if len(rows) < 2 or sum(len(cell.split()) for cell in filled) > _WORDS_MAX * len(filled):
        return None
    return found, rows


def _lines(words: Sequence[Word]) -> list[Line]:
    """Return lines over the whole width."""
    found: list[Line] = []
    for part in fragments(words):
        if found and abs(found[-1].y - part.y) <= 0.45 * max(part.size, found[-1].size):
            found[-1] = Line(sorted([*found[-1].words, *part.words], key=lambda word: word.x0))
        else:
            found.append(part)
    return found


def columns_of(words: Sequence[Word]) -> tuple[float, ...] | None:
    """Return where columns begin that all words keep to; `None` if there are no two."""
    edges: list[list[float]] = []
    for word in sorted(words, key=lambda word: word.x0):
        if edges and word.x0 - edges[-1][1] <= _COLUMN_GAP * word.size:
            edges[-1][1] = max(edges[-1][1], word.x1)
        else:
            edges.append([word.x0, word.x1])
    return tuple(start for start, _ in edges) if len(edges) >= 2 else None


def _row(line: Line, columns: Sequence[float]) -> list[str]:
    cells: list[list[str]] = [[] for _ in columns]
    for word in line.words:
        cells[max(0, sum(1 for start in columns if word.x0 >= start - 1) - 1)].append(word.text)
    return [" ".join(cell) for cell in cells]


def undrawn(items: Sequence[Line | Table]) -> list[Line | Table]:
    """Make tables of lines that follow each other and whose parts stand exactly below each other."""
    result: list[Line | Table] = []
    run: list[Line] = []
    for item in [*items, None]:
        if isinstance(item, Line) and _is_row(item) and (not run or item.y - run[-1].y <= 2.5 * item.size):
            run.append(item)
            continue
        result += _of_run(run)
        run = []
        if item is not None:
            result.append(item)
    return result


def _is_row(line: Line) -> bool:
    words = line.words[1:] if _MARK.fullmatch(line.words[0].text) else line.words  # what stands before an item
    return any(after.x0 - before.x1 > 1.2 * line.size for before, after in pairwise(words))


def _of_run(run: list[Line]) -> Sequence[Line | Table]:
    if len(run) < _ALIGNED_MIN:
        return run
    columns = columns_of([word for line in run for word in line.words])
    if columns is None:
        return run
    rows = [_row(line, columns) for line in run]
    filled = [cell for row in rows for cell in row if cell]
    if sum(1 for row in rows if sum(map(bool, row)) >= 2) < _ALIGNED_MIN:
        return run
    if sum(len(cell.split()) for cell in filled) > _ALIGNED_WORDS_MAX * len(filled):
        return run
    size = size_of([word for line in run for word in line.words])
    left, right = min(line.x0 for line in run), max(line.x1 for line in run)
    return [Table(left, right, run[0].top, run[-1].bottom, rows, columns, size)]
