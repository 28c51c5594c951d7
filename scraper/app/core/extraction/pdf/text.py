"""Lines to headings, paragraphs, lists and code, over the ends of columns and pages."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from app.core.extraction.pdf.grids import joined
from app.core.extraction.pdf.lines import Item, Line, Table
from app.core.extraction.writing import Writer

_LARGER: Final = 1.12
# than the body's size: a heading
_HEADING_WORDS_MAX: Final = 30
_BOLD_WORDS_MAX: Final = 14
_LEVELS_MAX: Final = 6
_OFTEN: Final = 5
_FAR: Final = 1.9
# a distance of lines that is seen so often, or is so many times their size, is what is usual
_APART: Final = 1.45
# of the usual distance of lines: between paragraphs
_INDENT: Final = 0.8
# of the size
_BULLET: Final = re.compile(r"(?:[•▪◦‣●○■□–—∙·*\uf0b7\uf0a7\uf076\u2022\u2043-]|o(?= [A-Z]))\s+(?=\S)")
_NUMBERED: Final = re.compile(r"\(?(\d{1,3})[.)]\s+(?=\S)")
_ENDS: Final = re.compile(r"[.!?:;…。！？]['\"”’)\]]*$")
_HYPHENATED: Final = re.compile(r"(\w[\w’']*)[-\xad‐]$")
_WORD_MAX: Final = 100
# so much of a text's end is looked at for a word that is parted: the whole, for each line, would be without bound
_WORDS: Final = re.compile(r"\w+")
_WIDE: Final = re.compile(r"[\u2e80-\u9fff\uac00-\ud7a3\uff00-\uffef]")
_FULL_MIN: Final = 2
_TABLES_MOST: Final = 10
# times the letters of all lines: a document of tables
_CODE_LINES_MIN: Final = 2


@dataclass
class _Open:
    """A block that may go on."""

    kind: str
    lines: list[Line] = field(default_factory=list)
    number: int | None = None
    depth: int = 0
    page: int = 0
    turns: list[tuple[int, int]] = field(default_factory=list)
    # after so many of its lines comes another page


class Composer:
    """Writes what stands on a document's pages.

    Parameters
    ----------
    pages
        Each page's number and what is text on it, as it is read.
    outline
        What the document's own list of contents calls its headings, with their levels from 0, by page.
    """

    def __init__(
        self, pages: Sequence[tuple[int, Sequence[Item]]], outline: Mapping[int, Mapping[str, int]], writer: Writer
    ) -> None:
        self._pages = pages
        self._outline = outline
        self._writer = writer
        lines = [item for _, items in pages for item in items if isinstance(item, Line)]
        tables = [item for _, items in pages for item in items if isinstance(item, Table)]
        self._body = _body_size(lines, tables)
        self._distance = self._usual_distance()
        self._sizes = self._levels(lines)
        headed = [line for line in lines if self._sizes.get(_rounded(line.size), 1) > 1]
        self._headings_are_bold = sum(line.bold for line in headed) * 5 >= len(headed) * 3 > 0
        bold = sum(len(line.text) for line in lines if line.bold)
        letters = sum(len(line.text) for line in lines) + sum(table.letters for table in tables)
        self._bold_tells = bold * 3 < letters
        self._mono_tells = sum(len(line.text) for line in lines if line.mono) * 2 < sum(
            len(line.text) for line in lines
        )
        self._compounds = {
            word.lower() for line in lines for each in line.words[:-1] if "-" in (word := each.text.strip(".,;:()"))
        }
        self._open: _Open | None = None
        self._table: Table | None = None
        self._table_turns: list[tuple[int, int]] = []
        self._told = 0
        self._margins: list[float] = []

    def write(self) -> None:
        """Write all of it."""
        for number, items in self._pages:
            last: Line | None = None
            for item in items:
                if isinstance(item, Table):
                    self._take_table(item, number)
                    last = None
                else:
                    self._take_line(item, last, number)
                    last = item
        self._close()
        self._close_table()

    # Tables

    def _take_table(self, table: Table, number: int) -> None:
        self._close()
        before = self._table
        if before is not None and _goes_on(before, table):
            rows = table.rows[1:] if table.rows[0] == before.rows[0] else table.rows
            self._table_turns.append((len(before.rows), number))
            before.rows = [*before.rows, *rows]
            return
        self._close_table()
        self._on_page(number)
        self._table = table

    def _close_table(self) -> None:
        if self._table is not None:
            table, self._table = self._table, None
            for rows, page in self._table_turns:  # as long as they are when they are written, more or less
                lengths = (sum(len(cell) + 3 for cell in row) + 2 for row in table.rows[:rows])
                self._writer.page_within(page, sum(lengths) + 6 * len(table.rows[0]) + 2)
                self._told = page
            self._table_turns = []
            self._writer.table(table.rows)

    # Lines

    def _take_line(self, line: Line, last: Line | None, number: int) -> None:
        self._close_table()
        kind = self._kind(line, last)
        if last is None or line.y < last.y:  # margins are other ones in the next column
            self._margins = []
        text = line.text
        if self._open is not None and self._joins(self._open, kind, line, last, text):
            if number != (self._open.turns[-1][1] if self._open.turns else self._open.page):
                self._open.turns.append((len(self._open.lines), number))
            self._open.lines.append(line)
            return
        self._close()
        self._open = _Open(kind, [line], page=number)
        if kind == "item":
            mark = _NUMBERED.match(text)
            self._open.number = int(mark[1]) if mark else None

    def _kind(self, line: Line, last: Line | None) -> str:
        text = line.text
        level = self._level(line, last)
        if level is not None:
            return f"h{level}"
        if line.mono and self._mono_tells:
            return "code"
        if _BULLET.match(text) or (_NUMBERED.match(text) and len(line.words) > 1):
            return "item"
        return "p"

    def _joins(self, block: _Open, kind: str, line: Line, last: Line | None, text: str) -> bool:
        before = block.lines[-1]
        near = last is not None and 0 <= line.y - last.y <= _APART * max(self._distance, 1.1 * line.size)
        if block.kind.startswith("h") or kind.startswith("h"):
            return kind == block.kind and last is not None and near and abs(line.size - before.size) < 0.6
        if block.kind == "code" or kind == "code":
            return kind == block.kind and last is not None and 0 <= line.y - last.y <= 4 * line.size
        if kind == "item":
            return False
        if abs(line.size - before.size) > 0.12 * before.size:
            return False
        if last is None or line.y < last.y:  # the next page or column
            if _ENDS.search(before.text):
                return block.kind == "p" and kind == "p" and _is_full(block.lines)
            return text[:1].islower() or bool(_HYPHENATED.search(before.text[-_WORD_MAX:]))
        if not near:
            return False
        if block.kind == "item":
            first = block.lines[0]
            hanging = first.words[1].x0 if len(first.words) > 1 else first.x0
            slack = 0.5 * line.size
            return abs(line.x0 - hanging) <= slack or (
                abs(line.x0 - first.x0) <= slack and not _ENDS.search(before.text)
            )
        indented = line.x0 - min(each.x0 for each in block.lines[-3:]) > _INDENT * line.size
        return not (indented and len(block.lines) >= 1 and _ENDS.search(before.text))

    def _close(self) -> None:
        if self._open is None:
            return
        block, self._open = self._open, None
        self._on_page(block.page)
        for lines, page in block.turns:
            self._writer.page_within(page, len(self._text(block.lines[:lines])) + 1)
            self._told = page
        if block.kind == "code" and (len(block.lines) >= _CODE_LINES_MIN or len(block.lines[0].words) > 2):
            self._writer.code("\n".join(_indented(block.lines)))
            return
        text = self._text(block.lines)
        if block.kind.startswith("h"):
            self._writer.heading(int(block.kind[1:]), text)
        elif block.kind == "item":
            mark = _NUMBERED.match(text) if block.number is not None else _BULLET.match(text)
            self._writer.item(text[mark.end() :] if mark else text, self._depth(block.lines[0]), block.number)
            return
        else:
            self._writer.paragraph(text)
        self._margins = []

    def _depth(self, line: Line) -> int:
        """Return how deep an item is, by where the items before it began."""
        while self._margins and line.x0 < self._margins[-1] - _INDENT * line.size:
            self._margins.pop()
        if not self._margins or line.x0 > self._margins[-1] + _INDENT * line.size:
            self._margins.append(line.x0)
        return len(self._margins) - 1

    def _on_page(self, number: int) -> None:
        if number != self._told:
            self._told = number
            self._writer.page(number)

    def _text(self, lines: Sequence[Line]) -> str:
        text = ""
        for line in lines:
            following = line.text
            parted = _HYPHENATED.search(text[-_WORD_MAX:])
            if not text:
                text = following
            elif parted and following[:1].isalpha():
                first = _WORDS.match(following)
                compound = f"{parted[1]}-{first[0] if first else ''}".lower()
                keeps = not following[:1].islower() or compound in self._compounds
                text = f"{text[:-1]}{'-' if keeps else ''}{following}"
            elif _WIDE.match(text[-1:]) and _WIDE.match(following):
                text += following
            else:
                text = f"{text} {following}"
        return text.replace("\xad", "-")

    # What is usual

    def _usual_distance(self) -> float:
        distances: Counter[float] = Counter()
        for _, items in self._pages:
            body = [item for item in items if isinstance(item, Line) and abs(item.size - self._body) < 1]
            for before, after in pairwise(body):
                if 0 < after.y - before.y < 4 * self._body:
                    distances[_rounded(after.y - before.y)] += 1
        distance, often = distances.most_common(1)[0] if distances else (0.0, 0)
        # on a page or two most lines may be paragraphs of their own
        return distance if often >= _OFTEN or 0 < distance <= _FAR * self._body else 1.25 * self._body

    def _levels(self, lines: Sequence[Line]) -> dict[float, int]:
        """Return the level of each size that is larger than the body's."""
        sizes = sorted(
            {
                _rounded(line.size)
                for line in lines
                if line.size >= _LARGER * self._body
                and len(line.words) <= _HEADING_WORDS_MAX
                and _WORDS.search(line.text)
            },
            reverse=True,
        )
        levels: dict[float, int] = {}
        level, last = 0, 0.0
        for size in sizes:
            if not levels or last - size > 0.04 * last:
                level += 1
                last = size
            levels[size] = min(level, _LEVELS_MAX)
        return levels

    def _level(self, line: Line, last: Line | None) -> int | None:
        folded = fold(line.text)
        if not any(map(str.isalpha, folded)):
            return None
        level = self._sizes.get(_rounded(line.size)) if len(line.words) <= _HEADING_WORDS_MAX else None
        if level is not None and (level == 1 or line.bold or not self._headings_are_bold):
            return level
        deepest = max(self._sizes.values(), default=0)
        if folded in self._titles:
            return min(deepest + 1, _LEVELS_MAX)
        if not (
            self._bold_tells and line.bold and len(line.words) <= _BOLD_WORDS_MAX and line.size >= 0.95 * self._body
        ):
            return None
        apart = last is None or line.y < last.y or line.y - last.y > 1.25 * self._distance
        return min(deepest + 1, _LEVELS_MAX) if apart and not line.text.endswith((".", ",", ";")) else None

    @property
    def _titles(self) -> Mapping[str, int]:
        return self._outline.get(0, {})


def fold(text: str) -> str:
    """Return a text's words alone."""
    return " ".join(_WORDS.findall(text.replace("\xad", "").casefold()))


def _rounded(size: float) -> float:
    return round(size * 2) / 2


def _body_size(lines: Sequence[Line], tables: Sequence[Table]) -> float:
    """Return the size that text has: the lines' usual one, or the tables' where all lines are but titles of them."""
    usual = _usual(Counter(), ((_rounded(line.size), len(line.text)) for line in lines), 10.0)
    size = _usual(Counter(), ((_rounded(table.size), table.letters) for table in tables), usual)
    prose = [line for line in lines if line.size >= _LARGER * size]
    only_titles = _TABLES_MOST * sum(len(line.text) for line in lines) < sum(table.letters for table in tables)
    if size < usual and only_titles and not any(_ENDS.search(line.text) for line in prose):
        return size
    return usual


def _usual(counted: Counter[float], values: Iterator[tuple[float, int]], otherwise: float) -> float:
    for value, weight in values:
        counted[value] += weight
    return counted.most_common(1)[0][0] if counted else otherwise


def _is_full(lines: Sequence[Line]) -> bool:
    """Whether a paragraph of lines that end in one place ends there too: then it is seldom its end."""
    edge = max(line.x1 for line in lines)
    return len(lines) > _FULL_MIN and all(edge - line.x1 <= 1.5 for line in lines)


def _goes_on(before: Table, after: Table) -> bool:
    """Whether a table is the rest of one: it has as many columns, at the same places as far as lines tell."""
    if not before.rows or not after.rows or len(before.rows[0]) != len(after.rows[0]):
        return False
    return abs(before.x0 - after.x0) <= 12 and abs(before.x1 - after.x1) <= 12


def _indented(lines: Sequence[Line]) -> list[str]:
    """Return lines of code, with the blanks before them and between their words."""
    left = min(line.x0 for line in lines)
    steps = [
        (after.x0 - before.x0) / (len(before.text) + 1) for line in lines for before, after in pairwise(line.words)
    ]
    steps += [] if steps else [(word.x1 - word.x0) / len(word.text) for line in lines for word in line.words]
    width = sorted(steps)[len(steps) // 2] or 0.6 * lines[0].size
    texts: list[str] = []
    last: Line | None = None
    for line in lines:
        if last is not None and line.y - last.y > 1.7 * line.size:
            texts.append("")
        text, end = " " * round((line.x0 - left) / width), line.x0
        for word in line.words:
            blanks = max(round((word.x0 - end) / width), 1) if word is not line.words[0] else 0
            text += " " * blanks + word.text.replace("\xad", "-")
            end = word.x0 + len(word.text) * width  # its last letter may be a narrow one
        texts.append(text)
        last = line
    return texts


__all__ = ["Composer", "fold", "joined"]
