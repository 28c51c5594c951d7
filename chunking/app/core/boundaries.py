"""Places between two characters where a text may be cut, looked for within a stretch of it."""

import re
import unicodedata
from typing import Final

GRAPHEME_MAX_CHARACTERS: Final = 32
# what reads as one character seldom has more code points; a run of combining marks without end has no better place

_SENTENCE_END: Final = re.compile(r"(?<=[.!?…])[\"'’”)\]]*+\s++(?=[^\sa-z])|(?<=[。！？｡])[」』）”]?")
_WORD_START: Final = re.compile(r"(?<=\s)(?=\S)")
_SPACES: Final = (" ", "\n", "\t", "\u3000", "\u00a0", "\f", "\v", "\u2009", "\u200a", "\u2028")
_JOINERS: Final = frozenset("\u200d\ufe0e\ufe0f")
_SKIN_TONES: Final = range(0x1F3FB, 0x1F400)


def last_line(text: str, low: int, high: int) -> int:
    """Return the last start of a line in (low, high], or -1."""
    end = text.rfind("\n", low, high)
    return end + 1 if end >= low else -1


def first_line(text: str, low: int, high: int) -> int:
    """Return the first start of a line in [low, high), or -1."""
    end = text.find("\n", max(0, low - 1), high - 1)
    return end + 1 if end >= 0 else -1


def last_sentence(text: str, low: int, high: int) -> int:
    """Return the last start of a sentence in (low, high], or -1."""
    found = -1
    for match in _SENTENCE_END.finditer(text, low, min(len(text), high + 1)):
        if low < match.end() <= high:
            found = match.end()
    return found


def first_sentence(text: str, low: int, high: int) -> int:
    """Return the first start of a sentence in [low, high), or -1."""
    for match in _SENTENCE_END.finditer(text, max(0, low - 1), high):
        if low <= match.end() < high:
            return match.end()
    return -1


def last_word(text: str, low: int, high: int) -> int:
    """Return the last place behind white space in (low, high], or -1."""
    found = max(text.rfind(space, low, high) for space in _SPACES)
    return found + 1 if found >= 0 else -1


def first_word(text: str, low: int, high: int) -> int:
    """Return the first start of a word in [low, high), or -1."""
    match = _WORD_START.search(text, low, high)
    return match.start() if match and match.start() < high else -1


def whole_characters(text: str, place: int, low: int) -> int:
    """Return the last place in (low, place] that parts no combining mark, joined emoji or CRLF; else `place`."""
    for candidate in range(place, max(low, place - GRAPHEME_MAX_CHARACTERS), -1):
        if candidate >= len(text) or not _joined(text[candidate - 1], text[candidate]):
            return candidate
    return place


def _joined(left: str, right: str) -> bool:
    if right.isascii():
        return left == "\r" and right == "\n"
    return (
        right in _JOINERS
        or left == "\u200d"
        or ord(right) in _SKIN_TONES
        or unicodedata.category(right) in ("Mn", "Mc", "Me")
    )
