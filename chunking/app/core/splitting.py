"""Where to cut: one pass over a text whose tokens and structure are known.

Each chunk reaches as far as its tokens allow; within that reach the best place is looked for, in the order heading,
paragraph, line, sentence, word, token. Nothing here looks at the same stretch of text more than a few times, whatever
the text.
"""

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Final

from app.core import boundaries
from app.core.cancellation import Cancellation
from app.core.rows import Row, Rows
from app.core.structure import Block, Structure
from ml_shared.contracts.chunking import ChunkStrategy

Span = tuple[int, int]

_BLANK: Final = re.compile(r"\s*+")

CHARACTERS_PER_TOKEN_MAX: Final = 12
# English has four to five; a "word" of a megabyte, or white space, is few tokens or none, and must end all the same
SECTION_LEAST_FILL: Final = 0.5
# a chunk this full ends before a heading or paragraph rather than take in part of what follows
BLOCKS_BETWEEN_CHECKS: Final = 1_000
LINE_LEAST_FILL: Final = 0.6
# lines and sentences come more often: the chunk may be fuller before one of them ends it


@dataclass(frozen=True, slots=True)
class Limits:
    """Most tokens of a chunk, special ones left out, and how many of them repeat the chunk before."""

    tokens: int
    overlap: int

    @property
    def characters(self) -> int:
        """Most characters of a chunk."""
        return self.tokens * CHARACTERS_PER_TOKEN_MAX


class Splitter:
    """Cuts one text.

    Parameters
    ----------
    text
        With plain line ends (`structure.with_plain_line_ends`).
    starts
        Offset of each token's first character.
    structure
        Of this text.
    rows
        Of its tables and its code, which only the strategy `markdown` takes notice of.
    """

    def __init__(
        self,
        text: str,
        starts: "array[int]",
        structure: Structure,
        rows: Rows,
        strategy: ChunkStrategy,
        limits: Limits,
        cancellation: Cancellation,
    ) -> None:
        self._text = text
        self._end = len(text.rstrip())
        self._starts = starts
        self._limits = limits
        self._cancellation = cancellation
        self._paragraphs = structure.paragraphs
        self._headings = structure.headings
        self._sections = [heading for heading in structure.headings if heading.stack == heading.start]
        self._section_starts = array("q", (heading.start for heading in self._sections))
        self._heading_starts = array("q", (heading.start for heading in structure.headings))
        blocks = cancellation.through(structure.blocks, every=BLOCKS_BETWEEN_CHECKS)
        self._blocks = [block for block in blocks if self._fits(block.start, block.end)]
        self._block_starts = array("q", (block.start for block in self._blocks))
        self._best: Callable[[int, int, int], int] = {
            ChunkStrategy.MARKDOWN: self._best_by_structure,
            ChunkStrategy.SENTENCE: self._best_by_sentence,
            ChunkStrategy.FIXED: self._best_by_word,
        }[strategy]
        self._strategy = strategy
        self._rows = rows

    def spans(self) -> list[Span]:
        """Return start and end of each chunk, in order; together they cover every character that is not blank."""
        spans: list[Span] = []
        covered = start = 0
        while covered < self._end:
            self._cancellation.check()
            cut = self._cut(start, covered)
            if cut <= covered:  # the overlap left no room for anything new
                start = covered
                continue
            if not self._text[covered:cut].isspace():
                spans.append((start, cut))
                start = self._repeat_from(start, cut)
            else:
                start = cut
            covered = cut
        return spans

    def _tokens(self, start: int, end: int) -> int:
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)

    def _fits(self, start: int, end: int) -> bool:
        return end - start <= self._limits.characters and self._tokens(start, end) <= self._limits.tokens

    def _reach(self, start: int) -> int:
        """Return the last place at which a chunk that starts here can end."""
        index = bisect_left(self._starts, start) + self._limits.tokens
        reach = self._starts[index] if index < len(self._starts) else self._end
        reach = min(reach, start + self._limits.characters)
        if reach >= self._end:
            return self._end
        return max(boundaries.whole_characters(self._text, reach, start), start + 1)

    def _cut(self, start: int, covered: int) -> int:
        """Return where the chunk from `start` ends: behind `covered`, or not if the overlap has to go."""
        reach = self._reach(start)
        if reach >= self._end or reach <= covered:
            return reach
        return self._best(start, covered, reach)

    # ── strategies: each returns a place in (covered, reach], or `covered` to give up the overlap ──

    def _best_by_structure(self, start: int, covered: int, reach: int) -> int:
        block = self._block_at(reach)
        limit = reach
        if block is not None:
            limit = self._before(block, start, covered)
            if limit <= covered:
                if start < covered:
                    return covered
                limit, block = reach, None
        half = max(covered, start + int((limit - start) * SECTION_LEAST_FILL))
        section = self._best_section(half, limit)
        if section >= 0:
            return section
        if block is not None:
            return limit
        paragraph = _last(self._paragraphs, half, limit)
        if paragraph >= 0:
            return paragraph
        if (row := self._rows.parted(limit)) is not None and self._fits(row.start, row.end):
            place = self._before_row(row, start, covered)
            if place > covered or start < covered:
                return max(place, covered)
        low = max(covered, start + int((limit - start) * LINE_LEAST_FILL))
        for find, least in (
            (boundaries.last_line, low),
            (boundaries.last_sentence, low),
            (boundaries.last_word, covered),
        ):
            place = find(self._text, least, limit)
            if place >= 0 and (tidy := self._tidy(place, start)) > covered:
                return tidy
        tidy = self._tidy(limit, start)
        return tidy if tidy > covered else self._best_by_word(start, covered, limit)

    def _best_by_sentence(self, start: int, covered: int, reach: int) -> int:
        sentence = boundaries.last_sentence(self._text, covered, reach)
        place = max(sentence, _last(self._paragraphs, covered, reach))
        return place if place >= 0 else self._best_by_word(start, covered, reach)

    def _best_by_word(self, start: int, covered: int, reach: int) -> int:
        place = boundaries.last_word(self._text, covered, reach)
        return place if place >= 0 else reach

    # ── structure ──

    def _best_section(self, low: int, high: int) -> int:
        """Return the start of the highest section in (low, high], the last one of its level; or -1."""
        first, last = bisect_right(self._section_starts, low), bisect_right(self._section_starts, high)
        if first == last:
            return -1
        return max(self._sections[first:last], key=lambda heading: (-heading.level, heading.start)).start

    def _block_at(self, place: int) -> Block | None:
        """Return the block that fits into a chunk and that this place would part."""
        index = bisect_left(self._block_starts, place) - 1
        if index < 0 or place >= self._blocks[index].end:
            return None
        return self._blocks[index]

    def _before(self, block: Block, start: int, covered: int) -> int:
        """Return where a chunk ends that leaves a block to the next one, with its heading if both fit there."""
        lead = block.lead
        return lead if lead > max(start, covered) and self._fits(lead, block.end) else block.start

    def _before_row(self, row: Row, start: int, covered: int) -> int:
        """Return where a chunk ends that leaves a row to the next one, with the table's header if it is the first row."""
        block = row.block
        if row.start <= max(block.start, block.header_end + 1):
            for place in (block.lead, block.start):
                if place > max(start, covered) and self._fits(place, row.end):
                    return place
        return row.start

    def _tidy(self, place: int, start: int) -> int:
        """Return the place, or the nearest one before it that parts no block and leaves no heading without its body."""
        if (block := self._block_at(place)) is not None:
            place = block.start
        index = bisect_left(self._heading_starts, place) - 1
        if index >= 0:
            heading = self._headings[index]
            if heading.start >= start and heading.body <= place and not self._text[heading.body : place].strip():
                return heading.stack
        return place

    # ── overlap ──

    def _repeat_from(self, start: int, cut: int) -> int:
        """Return where the next chunk starts: at the cut, or before it by at most the overlap."""
        if not self._limits.overlap:
            return cut
        if self._strategy is ChunkStrategy.MARKDOWN and self._starts_section(cut):
            return cut  # a new section needs nothing of the one before
        index = bisect_left(self._starts, cut) - self._limits.overlap
        if (
            index > 0 and self._starts[index - 1] == self._starts[index]
        ):  # one character of several tokens: all, or none
            index = bisect_right(self._starts, self._starts[index])
        low = max(
            start + 1, cut - self._limits.characters // 2, self._starts[index] if 0 <= index < len(self._starts) else 0
        )
        if low >= cut:
            return cut
        if self._strategy is not ChunkStrategy.FIXED:
            place = self._first_good(low, cut)
        else:
            place = boundaries.first_word(self._text, low, cut)
        if place < 0:
            place = boundaries.whole_characters(self._text, low, start)
        if self._strategy is not ChunkStrategy.MARKDOWN:
            return place
        block = self._block_at(place)
        return self._rows.whole(place, cut) if block is None else min(block.end, cut)

    def _first_good(self, low: int, high: int) -> int:
        candidates = (
            _first(self._section_starts, low, high),
            _first(self._paragraphs, low, high),
            boundaries.first_line(self._text, low, high),
            boundaries.first_sentence(self._text, low, high),
            boundaries.first_word(self._text, low, high),
        )
        return next(chain((place for place in candidates if place >= 0), (-1,)))

    def _starts_section(self, place: int) -> bool:
        index = bisect_left(self._heading_starts, place)
        if index == len(self._heading_starts):
            return False
        heading = self._heading_starts[index]
        # matched in place: the heading may be megabytes below, and a slice would copy them for each chunk
        return _BLANK.fullmatch(self._text, place, heading) is not None


def _last(places: "array[int]", low: int, high: int) -> int:
    """Return the last of some ordered places that lies in (low, high], or -1."""
    index = bisect_right(places, high) - 1
    return places[index] if index >= 0 and places[index] > low else -1


def _first(places: "array[int]", low: int, high: int) -> int:
    """Return the first of some ordered places that lies in [low, high), or -1."""
    index = bisect_left(places, low)
    return places[index] if index < len(places) and places[index] < high else -1
