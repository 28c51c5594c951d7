"""Text of others, made fit to be shown: what a page says must not move a cursor, change a colour, or turn a line around."""

import unicodedata
from typing import Final

KEPT: Final = frozenset({"\n", "\t", "\u200c", "\u200d"})
# the last two join letters of some scripts, and do nothing else
LINES: Final = {"\u2028": "\n", "\u2029": "\n"}
DROPPED: Final = frozenset({"Cc", "Cf", "Cs"})
# controls, escape among them; formats, those that turn text around among them; halves of pairs
ELLIPSIS: Final = "…"


def plain(text: str) -> str:
    """Return a text without anything in it that is not to be seen."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        LINES.get(letter, letter)
        for letter in lines
        if letter in KEPT or letter in LINES or unicodedata.category(letter) not in DROPPED
    )


def one_line(text: str, most: int | None = None) -> str:
    """Return a text on one line, and no more than so many characters of it."""
    line = " ".join(plain(text).split())
    return line if most is None or len(line) <= most else line[: max(most - 1, 0)].rstrip() + ELLIPSIS
