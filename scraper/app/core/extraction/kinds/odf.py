"""OpenDocument: texts, sheets and presentations, which are one vocabulary.

Lost: pictures, charts, comments, headers and footers, what was deleted while changes were tracked, lists of contents,
hidden text, sheets and slides.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from app.core.errors import EncryptedError, ExtractionError, PageTooLargeError
from app.core.extraction.kinds import ODP, ODS, Source
from app.core.extraction.kinds.cells import plain_number, spoken
from app.core.extraction.kinds.styles import CodeLines, is_code_style
from app.core.extraction.links import formula_href
from app.core.extraction.markup import attribute, local
from app.core.extraction.packages import Package
from app.core.extraction.result import Extract
from app.core.extraction.writing import Writer
from ml_shared.contracts.chunking import MAX_TEXT_CHARACTERS

_DEPTH_MAX: Final = 60
_CELL_CHARACTERS: Final = 3
# that part one from the next
_SPACES_MAX: Final = 100
_STYLES_MAX: Final = 12
# from one to what it is based on
_WHITE: Final = re.compile(r"[ \t\r\n]+")
# a blank, however long: more of them are elements
_SKIPPED: Final = frozenset(
    {
        *(
            "tracked-changes",
            "annotation",
            "table-of-content",
            "alphabetical-index",
            "illustration-index",
            "table-index",
        ),
        *("forms", "sequence-decls", "variable-decls", "database-range", "shapes", "desc", "title", "object-index"),
        *("bibliography", "user-index"),
    }
)


def read(body: bytes, source: Source) -> Extract:
    """Return a document's text."""
    package = Package(body)
    manifest = package.tree("META-INF/manifest.xml")
    if manifest is not None and any(local(element) == "encryption-data" for element in manifest.iter()):
        raise EncryptedError("the document is encrypted")
    tree = package.tree("content.xml")
    content = next((each for each in tree if local(each) == "body"), None) if tree is not None else None
    if content is None or not len(content):
        raise ExtractionError("the document is damaged: it has no content")
    reading = _Reading(_styles(package.tree("styles.xml"), tree))
    if source.media_type == ODS:
        reading.sheets(content[0])
    elif source.media_type == ODP:
        reading.slides(content[0])
    else:
        reading.blocks(content[0], 0)
    reading.notes()
    return reading.writer.finished(source, hrefs=reading.hrefs, **_properties(package.tree("meta.xml")))


def _styles(*trees: Any) -> dict[str, Any]:
    return {
        attribute(style, "name") or "": style
        for tree in trees
        if tree is not None
        for style in tree.iter()
        if local(style) in ("style", "list-style")
    }


def _properties(tree: Any) -> dict[str, Any]:
    said = {local(element): (element.text or "").strip() for element in tree.iter()} if tree is not None else {}
    author = said.get("initial-creator") or said.get("creator") or ""
    return {
        "title": said.get("title") or None,
        "author": author[:500] or None,
        "language": said.get("language", "")[:35] or None,
    }


class _Reading:
    """One document, read from its beginning to its end."""

    def __init__(self, styles: dict[str, Any]) -> None:
        self.writer = Writer()
        self._code = CodeLines(self.writer)
        self.hrefs: list[str] = []
        self._styles = styles
        self._notes: list[str] = []
        self._repeated = 0

    def blocks(self, parent: Any, depth: int) -> None:
        """Write what stands in a text, or in what stands in it."""
        if depth > _DEPTH_MAX:
            raise ExtractionError(f"the document is nested more than {_DEPTH_MAX} deep")
        for element in parent:
            name = local(element)
            if name in ("h", "p"):
                self._paragraph(element)
                self._frames(element, depth)
            elif name == "list":
                self._code.end()
                self._list(element, 0, self._is_numbered(attribute(element, "style-name"), 1))
            elif name == "table":
                self._table(element, depth)
            elif name not in _SKIPPED and attribute(element, "display") != "none":
                self.blocks(element, depth + 1)

    def _chain(self, name: str) -> Iterator[tuple[str, Any]]:
        """Go through a style and those that it is based on, with their names."""
        for _ in range(_STYLES_MAX):
            style = self._styles.get(name)
            yield name, style
            name = (attribute(style, "parent-style-name") or "") if style is not None else ""
            if not name:
                return

    def _is_hidden(self, element: Any) -> bool:
        style = attribute(element, "style-name")
        if style is None:
            return False
        said = (attribute(each, "display") for _, style in self._chain(style) if style is not None for each in style)
        return next(filter(None, said), "") == "none"

    def _paragraph(self, element: Any) -> None:
        if self._is_hidden(element):
            return
        text = self._text(element)
        level = attribute(element, "outline-level")
        style = attribute(element, "style-name") or ""
        known = self._styles.get(style)
        base = attribute(known, "parent-style-name") if known is not None else None
        code = next((name for name, _ in self._chain(style) if is_code_style(name)), "")
        if code and local(element) == "p":
            self._code.add(text, code)
            return
        self._code.end()
        if local(element) == "h":
            self.writer.heading(int(level) if level and level.isdecimal() else 1, text)
        elif "Title" in (style, base):
            self.writer.heading(1, text)
        else:
            self.writer.paragraph(text)

    def _frames(self, paragraph: Any, depth: int) -> None:
        for box in paragraph.iter():
            if local(box) == "text-box":
                self._code.end()
                self.blocks(box, depth + 1)
                self._code.end()

    def _list(self, element: Any, depth: int, numbered: bool) -> None:
        if depth > _DEPTH_MAX:
            raise ExtractionError(f"the document's lists are nested more than {_DEPTH_MAX} deep")
        count = 0
        for item in element:
            if local(item) not in ("list-item", "list-header"):
                continue
            texts = []
            for inner in item:
                name = local(inner)
                if name == "h":  # a numbered heading is an item of a list with that item alone
                    self._paragraph(inner)
                elif name == "p":
                    texts.append(self._text(inner))
                elif name == "list":
                    count = self._item(texts, depth, numbered, count)
                    texts = []
                    self._list(inner, depth + 1, self._is_numbered(attribute(element, "style-name"), depth + 2))
            count = self._item(texts, depth, numbered, count)

    def _item(self, texts: list[str], depth: int, numbered: bool, count: int) -> int:
        text = " ".join(filter(None, (text.strip() for text in texts)))
        if not text:
            return count
        self.writer.item(text, depth, count + 1 if numbered else None)
        return count + 1

    def _is_numbered(self, style: str | None, level: int) -> bool:
        found = self._styles.get(style or "")
        for each in found if found is not None else ():
            if attribute(each, "level") == str(level):
                return local(each) == "list-level-style-number"
        return False

    def _table(self, table: Any, depth: int) -> None:
        rows = list(_rows_of(table, 0))
        cells = [cell for row in rows for cell in _cells_of(row) if _has_text(cell)]
        self._code.end()
        if len(cells) == 1:  # a frame around text
            self.blocks(cells[0], depth + 1)
            self._code.end()
            return
        self.writer.table([texts for row in rows for texts in self._row(row, self._cell)])

    def _row(self, row: Any, said: Callable[[Any], str]) -> list[list[str]]:
        """Return a row as often as it stands there, each cell as often as that does; nothing of a row without text.

        Programs write what repeats once, and what is empty to the sheet's end.
        """
        cells = [(said(cell), _times(cell, "number-columns-repeated")) for cell in _cells_of(row)]
        while cells and not cells[-1][0]:
            cells.pop()
        if not cells:
            return []
        for text, times in cells:
            self._repeats(times, len(text))
        texts = [text for text, times in cells for text in [text] * times]
        times = _times(row, "number-rows-repeated")
        self._repeats(times, sum(map(len, texts)) + _CELL_CHARACTERS * len(texts))
        return [texts] * times

    def _repeats(self, times: int, characters: int) -> None:
        """Refuse what would be too long before it is that."""
        self._repeated += (times - 1) * (characters + _CELL_CHARACTERS)
        if self._repeated > MAX_TEXT_CHARACTERS:
            raise PageTooLargeError(f"the document's text is longer than {MAX_TEXT_CHARACTERS} characters")

    def _cell(self, cell: Any) -> str:
        if local(cell) != "table-cell":
            return ""
        return " ".join(self._text(each) for each in cell.iter() if local(each) in ("p", "h")).strip()

    def _value(self, cell: Any) -> str:
        """Return what a sheet's cell holds: dates, and numbers that are shown as such, by their value and not by its form."""
        shown = self._cell(cell)
        if href := formula_href(attribute(cell, "formula")):
            self.hrefs.append(_outside(href))
        kind = attribute(cell, "value-type")
        if kind == "date":
            return spoken(attribute(cell, "date-value") or "") or shown
        value = attribute(cell, "value")
        return plain_number(value) if kind == "float" and value and _is_number(shown) else shown

    def sheets(self, spreadsheet: Any) -> None:
        """Write sheets: each is a section, and its blocks of rows are tables."""
        for sheet in (each for each in spreadsheet if local(each) == "table"):
            style = self._styles.get(attribute(sheet, "style-name") or "")
            if style is not None and any(attribute(each, "display") == "false" for each in style):
                continue
            blocks: list[list[list[str]]] = [[]]
            for row in _rows_of(sheet, 0):
                if texts := self._row(row, self._value):
                    blocks[-1] += texts
                else:
                    blocks.append([])
            if any(blocks):
                self.writer.heading(2, attribute(sheet, "name") or "Sheet")
                for block in blocks:
                    self.writer.table(block)

    def slides(self, presentation: Any) -> None:
        """Write slides: each is a section under its title, its notes after it."""
        for number, slide in enumerate((each for each in presentation if local(each) == "page"), start=1):
            style = self._styles.get(attribute(slide, "style-name") or "")
            if style is not None and any(attribute(each, "visibility") == "hidden" for each in style):
                continue
            self.writer.page(number)
            frames = [each for each in slide if local(each) not in ("notes", "forms")]
            titles = [each for each in frames if attribute(each, "class") == "title"]
            title = " ".join(self._text(each) for frame in titles for each in _paragraphs(frame)).strip()
            self.writer.heading(2, title or f"Slide {number}")
            for frame in frames:
                if frame not in titles and attribute(frame, "class") not in ("footer", "date-time", "page-number"):
                    self.blocks(frame, 1)
                    self._code.end()
            for notes in (each for each in slide if local(each) == "notes"):
                texts = [
                    text
                    for frame in notes
                    if attribute(frame, "class") == "notes"
                    for text in map(self._text, _paragraphs(frame))
                    if text.strip()
                ]
                for index, text in enumerate(texts):
                    self.writer.paragraph(f"Notes: {text}" if index == 0 else text)

    def _text(self, element: Any) -> str:
        return "".join(self._parts(element, 0))

    def _parts(self, element: Any, depth: int) -> Iterator[str]:
        if depth > _DEPTH_MAX:
            raise ExtractionError(f"the document's text is nested more than {_DEPTH_MAX} deep")
        yield _WHITE.sub(" ", element.text or "")
        for inner in element:
            name = local(inner)
            if name == "s":
                yield " " * min(_times(inner, "c"), _SPACES_MAX)
            elif name in ("tab", "line-break"):
                yield "\t" if name == "tab" else "\n"
            elif name == "span" and self._is_hidden(inner):
                pass
            elif name == "note":
                yield self._note(inner)
            elif name not in ("annotation", "annotation-end", "frame", "ruby-text"):
                if name == "a":
                    self.hrefs.append(_outside(attribute(inner, "href") or ""))
                yield from self._parts(inner, depth + 1)
            yield _WHITE.sub(" ", inner.tail or "")

    def _note(self, note: Any) -> str:
        self._notes.append(" ".join(self._text(each) for each in _paragraphs(note)))
        return f"[{len(self._notes)}]"

    def notes(self) -> None:
        """Write the notes, after the text."""
        self._code.end()
        for number, text in enumerate(self._notes, start=1):
            if text.strip():
                self.writer.paragraph(f"[{number}] {text.strip()}")


def _rows_of(table: Any, depth: int) -> Iterator[Any]:
    for element in table:
        name = local(element)
        if name == "table-row":
            yield element
        elif name in ("table-header-rows", "table-row-group", "table-rows") and depth < _DEPTH_MAX:
            yield from _rows_of(element, depth + 1)


def _cells_of(row: Any) -> Iterator[Any]:
    return (cell for cell in row if local(cell) in ("table-cell", "covered-table-cell"))


def _paragraphs(element: Any) -> Iterator[Any]:
    return (each for each in element.iter() if local(each) in ("p", "h"))


def _outside(href: str) -> str:
    """Return where a link leads as the document's own address has it, "" for a part of the document."""
    if href.startswith("../"):  # out of the archive
        return href.removeprefix("../")
    return href if "://" in href else ""


def _has_text(cell: Any) -> bool:
    return any(text.strip() for each in _paragraphs(cell) for text in each.itertext())


def _is_number(shown: str) -> bool:
    """Return whether a cell shows a number and nothing else, such as a unit; or that there is no room for one, or nothing."""
    try:
        float(shown)
    except ValueError:
        return not shown.strip("#")
    return True


def _times(element: Any, name: str) -> int:
    said = attribute(element, name)
    return int(said[:9]) if said and said.isdecimal() else 1
