"""A document's text, put together from its chunks.

Chunks overlap, and between them stand blanks that are kept nowhere. So what two share is taken once, and a gap is filled with line
breaks, as many as there were characters: a chunk then stands where it stood. Chunks that a caller brought may have no places, or gaps
that were text. They follow one another with a blank line between them, and the places of what comes after are not known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

MAX_BLANKS: Final = 64
# between two chunks; where more is missing, it was left out
_APART: Final = "\n\n"


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk, and where it says that it stood."""

    index: int
    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Joined:
    """Consecutive chunks as one text.

    Attributes
    ----------
    places
        Where each chunk begins and ends in it, by its index.
    start
        Where the text begins in the document; `None` if not all places in it are the document's.
    """

    text: str
    places: dict[int, tuple[int, int]]
    start: int | None


def join(pieces: Sequence[Piece]) -> Joined:
    """Put chunks together that are in the document's order."""
    parts: list[str] = []
    places: dict[int, tuple[int, int]] = {}
    length, reached, placed = 0, None, True
    for piece in pieces:
        positioned = piece.end - piece.start == len(piece.text)
        gap = 0 if reached is None else piece.start - reached
        if reached is not None and not (positioned and _goes_on(piece, reached)):
            placed, gap = False, 0
            parts.append(_APART)
            length += len(_APART)
        placed = placed and positioned
        parts.append("\n" * gap + piece.text[max(0, -gap) :])
        places[piece.index] = (length + gap, length + gap + len(piece.text))
        length += gap + len(piece.text)
        reached = piece.end
    return Joined("".join(parts), places, pieces[0].start if placed and pieces else None)


def _goes_on(piece: Piece, reached: int) -> bool:
    """Whether a chunk goes on where the one before ended: overlapping it, or after blanks."""
    return piece.start - MAX_BLANKS <= reached <= piece.end
