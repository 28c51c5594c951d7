"""Phrases in quotation marks, as PostgreSQL's regular expressions of them.

Which characters are letters is spelled out by code point: what a server takes for one depends on how its database was made. One made
with the locale C knows ASCII's alone, and one made with another takes what is written without blanks for letters beside letters.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

from app.core.words import MAX_RUN_CHARACTERS, UNSPACED, UNSPACED_RUN, unspaced

MAX_WORDS: Final = 24
# of a phrase

SEPARATORS: Final = (
    r"\u0001-\u002f\u003a-\u0040\u005b-\u005e\u0060\u007b-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u00d7\u00f7"
    r"\u02c2-\u02c5\u02d2-\u02df\u0375\u037e\u0384\u0385\u0387\u0482\u055a-\u055f\u0589-\u058f\u05be\u05c0\u05c3\u05c6\u05f3\u05f4"
    r"\u0600-\u060f\u061b-\u061f\u066a-\u066d\u06d4\u0700-\u070f\u0964\u0965\u0970\u0e3f\u0e4f\u0e5a\u0e5b\u0f01-\u0f17"
    r"\u0f3a-\u0f3d\u0fbe-\u0fda\u104a-\u104f\u10fb\u1360-\u1368\u1400\u166d\u166e\u1680\u17d4-\u17d6\u17d8-\u17db\u1800-\u180a"
    r"\u2000-\u206f\u207a-\u207e\u208a-\u208e\u20a0-\u20ff\u2103\u2109\u2116\u2117\u2120-\u2122\u2190-\u245f\u249c-\u24e9\u2500-\u2775\u2794-\u2bff"
    r"\u2e00-\u2e2e\u2e30-\u3004\u3008-\u3020\u3030\u3036\u3037\u303d-\u303f\u30a0\u30fb\u3200-\u321e\u322a-\u3247\u3250\u3260-\u327f\u328a-\u32b0\u32c0-\u33ff\ue000-\uf8ff\ufb29\ufd3e\ufd3f\ufe00-\ufe1f"
    r"\ufe30-\ufe6f\ufeff\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0-\uffff\U0001f000-\U0001faff\U000e0000-\U0010ffff"
)
"""What is in no word: blanks, punctuation, symbols; for brackets of Python's regular expressions and of PostgreSQL's alike."""

_WORD: Final = re.compile(f"[^{SEPARATORS}]+")
_BETWEEN: Final = f"[{SEPARATORS}_]"
_EDGE: Final = f"[{SEPARATORS}{UNSPACED}]"
# what is written without blanks ends a word that is not


def has_words(text: str) -> bool:
    """Return whether a phrase has anything to be looked for."""
    return any(word.strip("_") for word in _WORD.findall(text))


@lru_cache(maxsize=1_024)
def pattern(phrase: str) -> str:
    """Return a regular expression of a phrase, in capitals or not, whatever stands between its words.

    Between what is written without blanks, and beside it, nothing need stand: `"Python入门"` is in 学习Python入门教程.
    """
    words = [word[:MAX_RUN_CHARACTERS] for word in _WORD.findall(unicodedata.normalize("NFC", phrase))[:MAX_WORDS]]
    spelled = ""
    before = ""
    for word in words:
        for piece in filter(None, UNSPACED_RUN.split(word)):
            if before:
                spelled += _BETWEEN + ("*" if unspaced(before) or unspaced(piece) else "+")
            spelled += "".join(map(_letter, piece))
            before = piece
    begin = "" if unspaced(words[0]) else f"(^|{_EDGE})"
    end = "" if unspaced(before) else f"($|{_EDGE})"
    return f"{begin}{spelled}{end}"


def _letter(letter: str) -> str:
    """Return what matches a letter: small or large, in one piece or with its accents apart."""
    # a database that was made with the locale C knows no small letters beyond ASCII
    whole = _any_of(letter)
    apart = unicodedata.normalize("NFD", letter)
    if len(apart) > 1 and all("\u0300" <= accent <= "\u036f" for accent in apart[1:]):
        return f"(?:{whole}|{_any_of(apart[0])}{apart[1:]})"
    return whole


def _any_of(letter: str) -> str:
    large = letter.upper()
    forms = sorted({letter, letter.lower()[:1], letter.casefold()[:1], large if len(large) == 1 else letter} - {""})
    return letter if len(forms) == 1 else f"[{''.join(forms)}]"
