"""A document's blocks as Markdown, for kinds that are no markup."""

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Final

from app.core.errors import EmptyContentError, PageTooLargeError
from app.core.extraction.kinds import Source
from app.core.extraction.links import links_of
from app.core.extraction.result import Extract
from ml_shared.contracts.chunking import MAX_TEXT_CHARACTERS
from ml_shared.contracts.scraping import ExtractionWarning

TITLE_MAX_CHARACTERS: Final = 500
LITTLE_WORDS: Final = 12
_NOT_TEXT: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_TAG: Final = re.compile(r"<(?=[A-Za-z/!?])")
_MARK: Final = re.compile(
    r"(?:(?P<number>\d{1,9})(?P<after>[.)])(?=\s))|(?P<mark>#{1,6}(?=\s|$)|>|[-+*](?=\s)|```|~~~|\|)"
)
_RULE: Final = re.compile(r"[-=_*]{3,}\s*$")
_WORD: Final = re.compile(r"\w")
_WORDS: Final = re.compile(r"\w+")
_NO_TITLE: Final = re.compile(
    r"(?:microsoft (?:word|powerpoint|excel) - .*|powerpoint[ -]pr.sentation|untitled.*|(?:un)?named|(?:document|presentation|workbook|dokument|book)\s*\d*"
    r"|title|slide \d+|.*\.(?:docx?|pptx?|xlsx?|odt|tex|dvi|indd|rtf|pdf|html?))",
    re.IGNORECASE,
)
# what programs call a document that nobody gave a name


def inline(text: str) -> str:
    """Return a text as one line that Markdown takes for words."""
    line = " ".join(_NOT_TEXT.sub("", text).split())
    return _TAG.sub(r"\\<", line) if "<" in line else line


def _unmarked(line: str) -> str:
    mark = _MARK.match(line)
    if mark is not None:
        at = mark.end("number") if mark["number"] else 0
        return f"{line[:at]}\\{line[at:]}"
    return f"\\{line}" if _RULE.match(line) else line


class Writer:
    """Collects blocks; what has no text is left out.

    Raises
    ------
    PageTooLargeError
        By each method, when the text has become longer than what can be split into chunks.
    """

    def __init__(self) -> None:
        self._blocks: list[tuple[str, bool]] = []
        self._length = 0
        self._page: int | None = None
        self._starts: list[tuple[int, int]] = []
        self._within: list[tuple[int, int]] = []
        self.first_heading: str | None = None
        self.headings = 0

    def page(self, number: int) -> None:
        """Say that what follows is on another page."""
        self._page = number

    def page_within(self, number: int, offset: int) -> None:
        """Say that another page begins so many letters after the next block does."""
        self._within.append((number, offset))

    def heading(self, level: int, text: str) -> None:
        """Add a heading; levels beyond six are as the sixth."""
        line = inline(text)
        if _WORD.search(line):
            self.headings += 1
            if self.first_heading is None:
                self.first_heading = line[:TITLE_MAX_CHARACTERS]
            self._add(f"{'#' * min(max(level, 1), 6)} {line}")

    def paragraph(self, text: str) -> None:
        """Add a paragraph."""
        line = inline(text)
        if line:
            self._add(_unmarked(line))

    def item(self, text: str, depth: int = 0, number: int | None = None) -> None:
        """Add an item of a list; `number` is of a numbered one."""
        line = inline(text)
        if line:
            mark = "-" if number is None else f"{number}."
            self._add(f"{'    ' * min(depth, 8)}{mark} {line}", tight=True)

    def code(self, text: str) -> None:
        """Add lines as they are."""
        lines = _NOT_TEXT.sub("", text).strip("\n")
        if lines.strip():
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", lines)), default=0))
            self._add(f"{fence}\n{lines}\n{fence}")

    def markdown(self, text: str) -> None:
        """Add what is Markdown already."""
        if text.strip():
            self._add(_NOT_TEXT.sub("", text).strip("\n"))

    def table(self, rows: Iterable[Sequence[str]]) -> None:
        """Add a table, whose first row is its header. Rows and columns without text are left out."""
        kept = [[_cell(cell) for cell in row] for row in rows]
        kept = [row for row in kept if any(row)]
        columns = [index for index, column in enumerate(zip_longest(*kept, fillvalue="")) if any(column)]
        if len(columns) < 2:
            for row in kept:
                self.paragraph(" ".join(filter(None, row)).replace("\\|", "|"))
            return
        lines = [f"| {' | '.join(row[index] if index < len(row) else '' for index in columns)} |" for row in kept]
        lines.insert(1, f"|{' --- |' * len(columns)}")
        self._add("\n".join(lines))

    def _add(self, block: str, *, tight: bool = False) -> None:
        gap = 0 if not self._blocks else 1 if tight and self._blocks[-1][1] else 2
        start = self._length + gap
        self._length = start + len(block)
        if self._length > MAX_TEXT_CHARACTERS:
            raise PageTooLargeError(f"the document's text is longer than {MAX_TEXT_CHARACTERS} characters")
        if self._page is not None:
            self._starts.append((self._page, start))
            self._page = None
        self._starts += [(number, start + min(offset, len(block))) for number, offset in self._within]
        self._within = []
        self._blocks.append(("\n" * gap + block, tight))

    def finished(
        self,
        source: Source,
        *,
        title: str | None = None,
        language: str | None = None,
        author: str | None = None,
        published_at: str | None = None,
        hrefs: Iterable[str] = (),
    ) -> Extract:
        """Return the document, under its title if that does not stand in its text.

        Parameters
        ----------
        hrefs
            Its links as they are written, relative to its URL.

        Raises
        ------
        EmptyContentError
            If there is no text.
        """
        content = "".join(block for block, _ in self._blocks)
        if not _WORD.search(content):
            raise EmptyContentError("the document holds no text")
        named = inline(title or "")[:TITLE_MAX_CHARACTERS]
        if not _WORD.search(named) or _NO_TITLE.fullmatch(named):
            named = ""
        shift = 0
        if named and _folded(named) not in _folded(content[:4_000]):
            top = f"# {named}\n\n"
            content, shift = top + content, len(top)
        words = sum(1 for _, _ in zip(_WORDS.finditer(content), range(LITTLE_WORDS + 1), strict=False))
        links = links_of(((href, True) for href in hrefs), source.url)
        few = [ExtractionWarning.LITTLE_TEXT.value] if words <= LITTLE_WORDS else []
        return Extract(
            content,
            title=named or self.first_heading,
            language=language,
            author=author,
            published_at=published_at,
            links=links.all,
            links_left_out=links.left_out,
            links_too_long=links.too_long,
            media_type=source.media_type,
            method="document",
            warnings=few,
            pages=[(number, start + shift if start else 0) for number, start in self._starts],
        )


def _cell(text: str) -> str:
    return inline(text).replace("|", "\\|") if text else ""


def _folded(text: str) -> str:
    return " ".join(_WORDS.findall(text.casefold()))
