"""OpenDocument: texts, sheets and presentations, which are one vocabulary.

Lost: pictures, charts, comments, headers and footers, what was deleted while changes were tracked, lists of contents,
hidden sheets and slides.
"""

from collections.abc import Iterator
from typing import Any, Final

from app.core.errors import EncryptedError, ExtractionError
from app.core.extraction.kinds import ODP, ODS, Source
from app.core.extraction.markup import attribute, local
from app.core.extraction.packages import Package
from app.core.extraction.result import Extract
from app.core.extraction.writing import Writer

_DEPTH_MAX: Final = 60
_REPEATS_MAX: Final = 1_000
# of a row or a cell that has text; programs repeat what is empty to the sheet's end
_SPACES_MAX: Final = 100
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
    reading = _Reading(_styles(tree, package.tree("styles.xml")))
    if source.media_type == ODS:
        reading.sheets(content[0])
    elif source.media_type == ODP:
        reading.slides(content[0])
    else:
        reading.blocks(content[0], 0)
    reading.notes()
    return reading.writer.finished(source, **_properties(package.tree("meta.xml")))


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
        self._styles = styles
        self._notes: list[str] = []

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
                self._list(element, 0, self._is_numbered(attribute(element, "style-name"), 1))
            elif name == "table":
                self._table(element, depth)
            elif name not in _SKIPPED:
                self.blocks(element, depth + 1)

    def _paragraph(self, element: Any) -> None:
        text = self._text(element)
        level = attribute(element, "outline-level")
        style = attribute(element, "style-name") or ""
        known = self._styles.get(style)
        base = attribute(known, "parent-style-name") if known is not None else None
        if local(element) == "h":
            self.writer.heading(int(level) if level and level.isdecimal() else 1, text)
        elif "Title" in (style, base):
            self.writer.heading(1, text)
        else:
            self.writer.paragraph(text)

    def _frames(self, paragraph: Any, depth: int) -> None:
        for box in paragraph.iter():
            if local(box) == "text-box":
                self.blocks(box, depth + 1)

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
        rows = list(self._rows(table))
        cells = [cell for row in rows for cell, _ in row]
        if len(cells) == 1:  # a frame around text
            self.blocks(cells[0], depth + 1)
            return
        self.writer.table([[text for cell, times in row for text in [self._cell(cell)] * times] for row in rows])

    def _rows(self, table: Any) -> Iterator[list[tuple[Any, int]]]:
        """Go through rows: their cells, and how often each stands there. Rows without text are left out."""
        for row in _rows_of(table, 0):
            cells = [
                (cell, _times(cell, "number-columns-repeated"))
                for cell in row
                if local(cell) in ("table-cell", "covered-table-cell")
            ]
            while cells and not _has_text(cells[-1][0]):
                cells.pop()
            if cells:
                for _ in range(min(_times(row, "number-rows-repeated"), _REPEATS_MAX)):
                    yield [(cell, min(times, _REPEATS_MAX)) for cell, times in cells]

    def _cell(self, cell: Any) -> str:
        if local(cell) != "table-cell":
            return ""
        return " ".join(self._text(each) for each in cell.iter() if local(each) in ("p", "h")).strip()

    def sheets(self, spreadsheet: Any) -> None:
        """Write sheets: each is a section, and its blocks of rows are tables."""
        for sheet in (each for each in spreadsheet if local(each) == "table"):
            style = self._styles.get(attribute(sheet, "style-name") or "")
            if style is not None and any(attribute(each, "display") == "false" for each in style):
                continue
            blocks: list[list[list[str]]] = [[]]
            for row in _rows_of(sheet, 0):
                cells = [cell for cell in row if local(cell) in ("table-cell", "covered-table-cell")]
                if not any(map(_has_text, cells)):
                    blocks.append([])
                    continue
                while not _has_text(cells[-1]):
                    cells.pop()
                texts = [
                    text
                    for cell in cells
                    for text in [self._cell(cell)] * min(_times(cell, "number-columns-repeated"), _REPEATS_MAX)
                ]
                blocks[-1] += [texts] * min(_times(row, "number-rows-repeated"), _REPEATS_MAX)
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
            return
        yield element.text or ""
        for inner in element:
            name = local(inner)
            if name == "s":
                yield " " * min(_times(inner, "c"), _SPACES_MAX)
            elif name in ("tab", "line-break"):
                yield " "
            elif name == "note":
                yield self._note(inner)
            elif name not in ("annotation", "annotation-end", "frame", "ruby-text"):
                yield from self._parts(inner, depth + 1)
            yield inner.tail or ""

    def _note(self, note: Any) -> str:
        self._notes.append(" ".join(self._text(each) for each in _paragraphs(note)))
        return f"[{len(self._notes)}]"

    def notes(self) -> None:
        """Write the notes, after the text."""
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


def _paragraphs(element: Any) -> Iterator[Any]:
    return (each for each in element.iter() if local(each) in ("p", "h"))


def _has_text(cell: Any) -> bool:
    return any(text.strip() for each in _paragraphs(cell) for text in each.itertext())


def _times(element: Any, name: str) -> int:
    said = attribute(element, name)
    return int(said[:9]) if said and said.isdecimal() else 1
