"""Styles of paragraphs that are for code, in any kind that has styles, and the lines that stand in them."""

import re
from typing import Final

from app.core.extraction.writing import Writer

_CODE: Final = re.compile(
    r"(?:source|program|computer)?code(?:block|text|sample|snippet|listing|example)?s?|(?:source|program)listing"
    r"|(?:html)?preformatted(?:text)?|plaintext|macro(?:text)?|verbatim|literalblock"
)
PLAIN: Final = "plaintext"
# Word's, for text that came without letters' forms: mail as often as code
_PLAIN_LINE_MAX_CHARACTERS: Final = 200
# longer ones are paragraphs of prose
_ONE_WIDTH: Final = re.compile(
    r"\bmono(?:spaced?)?\b|^(?:courier|consolas|menlo|monaco|inconsolata|terminal|fixedsys|cousine|hack)\b|^lucida console"
    r"|\b(?:typewriter|code)(?: pro)?$",
    re.IGNORECASE,
)
# where a document does not say so of its fonts
_NO_LETTERS: Final = re.compile(r"_[0-9a-f]{2,4}_|[\W\d_]+")
# OpenDocument writes a blank in a name as `_20_`


def is_code_font(name: str) -> bool:
    """Return whether a font of this name has letters of one width."""
    return _ONE_WIDTH.search(name) is not None


def is_code_style(name: str) -> bool:
    """Return whether a style of this name is for code. Programs name their own styles in English, whatever they show."""
    return _CODE.fullmatch(_folded(name)) is not None


def _folded(name: str) -> str:
    return _NO_LETTERS.sub("", name.lower())


class CodeLines:
    """Neighbouring paragraphs in such styles: one block of code, whose lines keep their tabs and blanks."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._lines: list[str] = []
        self._is_plain = True

    @property
    def has_begun(self) -> bool:
        """Whether the paragraph before was one of them."""
        return bool(self._lines)

    def add(self, text: str, style: str) -> None:
        """Add a paragraph, whose lines are parted by newlines, in a style of that name."""
        self._is_plain = self._is_plain and _folded(style) == PLAIN
        self._lines += text.replace("\xa0", " ").split("\n")

    def end(self) -> None:
        """Write what there is, before anything else is written."""
        if not self._lines:
            return
        lines, is_plain = "\n".join([line.rstrip() for line in self._lines]).rstrip("\n").split("\n"), self._is_plain
        self._lines, self._is_plain = [], True
        if is_plain and max(map(len, lines)) > _PLAIN_LINE_MAX_CHARACTERS:
            for line in lines:
                self._writer.paragraph(line)
        else:
            self._writer.code("\n".join(lines))
