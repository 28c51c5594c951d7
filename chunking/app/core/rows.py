"""Rows of tables and lines of code: what is not parted where a table, or code, is too large for one chunk."""

import re
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.core.structure import Block

_REST_IS_BLANK: Final = re.compile(r"[^\S\n]*+(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a block, or a table's header with the line below it."""

    start: int
    end: int
    block: Block


class Rows:
    """The rows of a text's blocks.

    Parameters
    ----------
    most
        Characters that a chunk has at most: a row is not looked for any further, so that a line of a megabyte costs no
        chunk more than another.
    """

    def __init__(self, text: str, blocks: Sequence[Block], most: int) -> None:
        self._text = text
        self._blocks = blocks
        self._starts = array("q", (block.start for block in blocks))
        self._most = most

    def parted(self, place: int) -> Row | None:
        """Return the row that a cut here would part; None if it is longer than a chunk, or there is none."""
        block = self._block_at(place)
        if block is None:
            return None
        if place <= block.header_end:
            start, end = block.start, block.header_end
        else:
            low, high = max(block.start, place - self._most), min(block.end, place + self._most)
            start = self._text.rfind("\n", low, place) + 1
            end = self._text.find("\n", place, high)
            if (not start and low > block.start) or (end < 0 and high < block.end):
                return None
            start, end = start or block.start, end if end >= 0 else block.end
        return Row(start, end, block) if start < place < end else None

    def whole(self, place: int, cut: int) -> int:
        """Return where what is repeated before a cut begins, from a place on: at a row, or at the cut, which is nothing.

        A row that the cut itself parts may be repeated in part: it was too long for a chunk.
        """
        block = self._block_at(place)
        if block is None:
            return place
        if place <= block.header_end:  # nor is a header parted from the line below it
            return min(block.header_end + 1, cut)
        end = self._text.find("\n", place - 1, cut)
        if end >= 0:
            return end + 1
        return cut if _REST_IS_BLANK.match(self._text, cut) else place

    def _block_at(self, place: int) -> Block | None:
        index = bisect_left(self._starts, place) - 1
        if index < 0 or place >= self._blocks[index].end:
            return None
        return self._blocks[index]
