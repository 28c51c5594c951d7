"""DOCX: headings by their styles, code by its style or font, lists by their numbering, tables, formulas in a line, footnotes after the text.

Lost: pictures, comments, headers and footers, what is hidden or was deleted while changes were tracked, the contents' list
(its lines are the headings).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from app.core.errors import ExtractionError
from app.core.extraction.kinds import Source, formulas
from app.core.extraction.kinds.office import addresses, core_properties, relations
from app.core.extraction.kinds.styles import PLAIN, CodeLines
from app.core.extraction.kinds.word import Numbers, Styles, W, value
from app.core.extraction.links import field_href
from app.core.extraction.markup import attribute, local
from app.core.extraction.packages import Package
from app.core.extraction.result import Extract
from app.core.extraction.writing import Writer

_CONTENTS: Final = re.compile(r"toc (?:\d|heading)|table of (?:figures|authorities)|index \d", re.IGNORECASE)
_SKIPPED: Final = frozenset(
    {*("del", "moveFrom", "delText", "pPr", "rPr", "tblPr", "tblGrid", "sectPr", "fldData"), "Fallback"}
)
_OF_FIELDS: Final = frozenset({"hyperlink", "fldSimple", "fldChar", "instrText"})
_DEPTH_MAX: Final = 40
# of tables in tables, content controls in content controls
_COLUMNS_MAX: Final = 64
# Word's own is 63


def read(body: bytes, source: Source) -> Extract:
    """Return a document's text."""
    package = Package(body)
    main = next((target for kind, target in relations(package, "") if kind == "officeDocument"), "word/document.xml")
    tree = package.tree(main)
    content = tree.find(f"{W}body") if tree is not None else None
    if content is None:
        raise ExtractionError("the document is damaged: it has no body")
    reading = _Reading(package, main, content)
    reading.blocks(content, 0)
    reading.notes()
    return reading.writer.finished(source, hrefs=reading.hrefs, **core_properties(package))


class _Reading:
    """One document, read from its beginning to its end."""

    def __init__(self, package: Package, main: str, body: Any) -> None:
        self.writer = Writer()
        self._body = body
        self._several_widths: bool | None = None
        self._code = CodeLines(self.writer)
        self.hrefs: list[str] = []
        self._field = ""
        self._addresses = {
            kind: addresses(package, part)
            for kind, part in (
                ("document", main),
                ("footnotes", "word/footnotes.xml"),
                ("endnotes", "word/endnotes.xml"),
            )
        }
        self._styles, self._numbers = Styles(package), Numbers(package)
        self._notes: list[tuple[str, str]] = []
        self._noted = {
            kind: {note.get(f"{W}id"): note for note in tree.iter(f"{W}{kind}")} if tree is not None else {}
            for kind, tree in (
                ("footnote", package.tree("word/footnotes.xml")),
                ("endnote", package.tree("word/endnotes.xml")),
            )
        }

    def blocks(self, parent: Any, depth: int) -> None:
        """Write what stands in a body, or in what stands in it."""
        if depth > _DEPTH_MAX:
            raise ExtractionError(f"the document is nested more than {_DEPTH_MAX} deep")
        for element in parent:
            name = local(element)
            if name == "p":
                self._paragraph(element, depth)
            elif name == "tbl":
                self._table(element, depth)
            elif name not in _SKIPPED:
                self.blocks(element, depth + 1)

    def _paragraph(self, paragraph: Any, depth: int) -> None:
        properties = paragraph.find(f"{W}pPr")
        style = value(properties, "pStyle")
        if not _CONTENTS.fullmatch(self._styles.name(style)):
            text = "".join(self._runs(paragraph))
            level = self._styles.level(properties)
            code = self._code_of(paragraph, text) if level is None else ""
            if code:
                self._code.add(text, code)
            else:
                self._code.end()
                self._write(text, level, self._styles.numbering(properties))
        for box in paragraph.iter(f"{W}txbxContent"):
            if not any(local(above) == "Fallback" for above in box.iterancestors()):
                self._within(box, depth)

    def _code_of(self, paragraph: Any, text: str) -> str:
        """Return the name of the style by which a paragraph is code; "" if it is none."""
        properties = paragraph.find(f"{W}pPr")
        named = self._styles.code(value(properties, "pStyle"))
        if named or not (text.strip() or self._code.has_begun) or self._styles.numbering(properties) is not None:
            return named
        return PLAIN if self._styles.has_one_width(paragraph) and self._has_other_letters() else ""

    def _has_other_letters(self) -> bool:
        """Whether the document has letters of several widths: where all are of one, that is how it was typed."""
        if self._several_widths is None:
            written = (
                each for each in self._body.iter(f"{W}p") if any((t.text or "").strip() for t in each.iter(f"{W}t"))
            )
            self._several_widths = any(not self._styles.has_one_width(paragraph) for paragraph in written)
        return self._several_widths

    def _write(self, text: str, level: int | None, place: tuple[str, int] | None) -> None:
        if level is not None:
            self.writer.heading(level, text)
        elif place is not None and text.strip():
            self.writer.item(text, place[1], self._numbers.next(place))
        else:
            self.writer.paragraph(text)

    def _within(self, frame: Any, depth: int) -> None:
        self._code.end()
        self.blocks(frame, depth + 1)
        self._code.end()

    def _table(self, table: Any, depth: int) -> None:
        rows = list(_children(table, "tr"))
        cells = [list(_children(row, "tc")) for row in rows]
        if sum(map(len, cells)) == 1:  # a frame around text
            self._within(cells[0][0], depth)
            return
        self._code.end()
        self.writer.table([self._row(_before(row), each) for row, each in zip(rows, cells, strict=True)])

    def _row(self, before: int, cells: Sequence[Any]) -> list[str]:
        row = [""] * before
        for cell in cells:
            properties = cell.find(f"{W}tcPr")
            merged = properties.find(f"{W}vMerge") if properties is not None else None
            goes_on = merged is not None and merged.get(f"{W}val", "continue") == "continue"
            row.append("" if goes_on else self._cell_text(cell))
            row += [""] * (_columns(properties, "gridSpan", 1) - 1)
        return row

    def _cell_text(self, cell: Any) -> str:
        return " ".join("".join(self._runs(paragraph)).strip() for paragraph in cell.iter(f"{W}p")).strip()

    def _runs(self, parent: Any, depth: int = 0) -> Iterator[str]:
        if depth > _DEPTH_MAX:
            raise ExtractionError(f"the document's text is nested more than {_DEPTH_MAX} deep")
        for element in parent:
            name = local(element)
            if name == "t":
                yield element.text or ""
            elif name in ("tab", "ptab"):
                yield "\t"
            elif name in ("br", "cr"):
                yield "\n"
            elif name == "noBreakHyphen":
                yield "-"
            elif name in _OF_FIELDS:
                yield from self._of_field(name, element, depth)
            elif name in ("footnoteReference", "endnoteReference"):
                yield self._note(name.removesuffix("Reference"), element)
            elif formulas.is_structure(element):
                yield formulas.linear(element, lambda part: "".join(self._runs([part], depth + 1)))
            elif name not in _SKIPPED and not self._passes_over(name, element):
                yield from self._runs(element, depth + 1)

    def _passes_over(self, name: str, element: Any) -> bool:
        """Whether a run is hidden, or an element is no part of a line."""
        return name in ("txbxContent", "p", "tbl") or (name == "r" and self._styles.hides(element))

    def _of_field(self, name: str, element: Any, depth: int) -> Iterator[str]:
        """Go through a link's or a field's text, and note where it leads."""
        if name == "instrText":
            self._field += element.text or ""
        elif name == "fldChar":
            if element.get(f"{W}fldCharType") != "begin":
                self.hrefs.append(field_href(self._field))
            self._field = ""
        else:
            if name == "hyperlink":
                known = self._addresses.get(local(element.getroottree().getroot()), {})
                self.hrefs.append(known.get(attribute(element, "id") or "", ""))
            else:
                self.hrefs.append(field_href(element.get(f"{W}instr", "")))
            yield from self._runs(element, depth + 1)

    def _note(self, kind: str, reference: Any) -> str:
        note = self._noted[kind].get(reference.get(f"{W}id"))
        if note is None:
            return ""
        text = " ".join("".join(self._runs(paragraph)) for paragraph in note.iter(f"{W}p"))
        self._notes.append((str(len(self._notes) + 1), text))
        return f"[{len(self._notes)}]"

    def notes(self) -> None:
        """Write the notes, after the text."""
        self._code.end()
        for number, text in self._notes:
            if text.strip():
                self.writer.paragraph(f"[{number}] {text.strip()}")


def _before(row: Any) -> int:
    """Return how many columns a row begins after."""
    return _columns(row.find(f"{W}trPr"), "gridBefore", 0)


def _columns(properties: Any, name: str, else_: int) -> int:
    said = value(properties, name) or ""
    return min(int(said), _COLUMNS_MAX) if said.isdecimal() else else_


def _children(parent: Any, name: str) -> Iterator[Any]:
    """Go through children of a name, those in content controls and insertions among them."""
    for element in parent:
        kind = local(element)
        if kind == name:
            yield element
        elif kind in ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag"):
            yield from _children(element, name)
