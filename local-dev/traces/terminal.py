"""What a terminal can show: how wide, in colours or without, and nothing in a text that would steer it."""

import shutil
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from ml_shared.telemetry.urls import told_text

NARROWEST = 60
WIDEST = 200
# further to the right nobody looks for the end of a bar
PLAIN_COLUMNS = 120
# of a file or a pipe
CUT = "…"
_CODES = {
    "dim": "2",
    "bold": "1",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}
_UNSHOWN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
# control characters, those that turn the direction of text, and what has no picture


@dataclass(frozen=True)
class Terminal:
    """Where the lines go."""

    columns: int
    colours: bool = False

    def paint(self, text: str, *styles: str) -> str:
        """Return the text in colours, or as it is."""
        codes = ";".join(_CODES[style] for style in styles if style)
        return f"\x1b[{codes}m{text}\x1b[0m" if self.colours and codes and text else text


def terminal_of(stream: TextIO, environment: Mapping[str, str]) -> Terminal:
    """Return what is known of a stream: a terminal's width and colours, or plain text for anything else."""
    is_terminal = stream.isatty()
    columns = shutil.get_terminal_size((PLAIN_COLUMNS, 0)).columns if is_terminal else PLAIN_COLUMNS
    if environment.get("COLUMNS", "").isdecimal():
        columns = int(environment["COLUMNS"])
    colours = is_terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return Terminal(min(max(columns, NARROWEST), WIDEST), colours)


def shown(text: str) -> str:
    """Return a text on one line, without what would steer a terminal, and of URLs what may be told."""
    told = " ".join(told_text(text).split())
    if told.isascii() and told.isprintable():
        return told
    return "".join(_visible(character) for character in told)


def _visible(character: str) -> str:
    if unicodedata.category(character) not in _UNSHOWN:
        return character
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"


def width_of(text: str) -> int:
    """Return how many columns a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )


def fitted(text: str, columns: int) -> str:
    """Return a text cut to a number of columns."""
    if width_of(text) <= columns:
        return text
    while text and width_of(text) > columns - 1:
        text = text[: -max(1, (width_of(text) - columns) // 2)]
    return text + CUT if columns > 0 else ""


def padded(text: str, columns: int) -> str:
    """Return a text of exactly this many columns."""
    text = fitted(text, columns)
    return text + " " * (columns - width_of(text))


def duration(nanoseconds: int) -> str:
    """Return a duration with three digits that matter."""
    seconds = nanoseconds / 1e9
    if seconds < 0.01:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 100:
        return f"{seconds:.2f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02} s"
