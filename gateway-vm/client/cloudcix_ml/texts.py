"""Text of others, made fit to be sent, and to be shown: a page must not move a cursor, change a colour, or turn a line around."""

import unicodedata
from typing import Final

from cloudcix_ml.errors import ConfigurationError

KEPT: Final = frozenset({"\n", "\t", "\u200c", "\u200d"})
# the last two join letters of some scripts, and do nothing else
LINES: Final = {"\u2028": "\n", "\u2029": "\n"}
DROPPED: Final = frozenset({"Cc", "Cf", "Cs"})
# controls, escape among them; formats, those that turn text around among them; halves of pairs
ELLIPSIS: Final = "…"
MOST_QUOTED: Final = 80


def plain(text: str) -> str:
    """Return a text without anything in it that is not to be seen."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        LINES.get(letter, letter)
        for letter in lines
        if letter in KEPT or letter in LINES or unicodedata.category(letter) not in DROPPED
    )


def encoded(text: str) -> bytes:
    """Return a text as it is sent.

    Raises
    ------
    ConfigurationError
        If it is none: a terminal, a file system or a program gave bytes that are not UTF-8.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"{text[:MOST_QUOTED]!a} is no text: what it was made of is not UTF-8") from None


def one_line(text: str, most: int | None = None) -> str:
    """Return a text on one line, and no more than so many characters of it."""
    line = " ".join(plain(text).split())
    return line if most is None or len(line) <= most else line[: max(most - 1, 0)].rstrip() + ELLIPSIS
