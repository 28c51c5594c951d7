"""DOCX: headings by their styles, lists by their numbering, tables, footnotes after the text.

Lost: pictures, comments, headers and footers, what was deleted while changes were tracked, the contents' list (its
lines are the headings).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from app.core.errors import ExtractionError
from app.core.extraction.kinds import Source
from app.core.extraction.kinds.office import core_properties, relations
from app.core.extraction.markup import local
from app.core.extraction.packages import Package
from app.core.extraction.result import Extract
from app.core.extraction.writing import Writer

_W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_HEADING: Final = re.compile(r"heading (\d)", re.IGNORECASE)
_CONTENTS: Final = re.compile(r"toc (?:\d|heading)|table of (?:figures|authorities)|index \d", re.IGNORECASE)
_SKIPPED: Final = frozenset(
    {*("del", "moveFrom", "instrText", "delText", "pPr", "rPr", "tblPr", "tblGrid", "sectPr", "fldData"), "Fallback"}
)
_DEPTH_MAX: Final = 40
# of tables in tables, content controls in content controls
_NO_LEVEL: Final = 9
# Word's "body text"


class _Styles:
    """What styles of paragraphs mean."""

    def __init__(self, package: Package) -> None:
        self._styles: dict[str, Any] = {}
        tree = package.tree("word/styles.xml")
        for style in tree.iter(f"{_W}style") if tree is not None else ():
            self._styles[style.get(f"{_W}styleId", "")] = style

    def _chain(self, name: str | None) -> Iterator[Any]:
        for _ in range(12):  # styles go back to others; a ring of them is an error that Word bears
            style = self._styles.get(name or "")
            if style is None:
                return
            yield style
            based = style.find(f"{_W}basedOn")
            name = based.get(f"{_W}val") if based is not None else None

    def name(self, identifier: str | None) -> str:
        """Return the name of a style."""
        for style in self._chain(identifier):
            named = style.find(f"{_W}name")
            return named.get(f"{_W}val", "") if named is not None else ""
        return identifier or ""

    def level(self, properties: Any) -> int | None:
        """Return the level of a heading; `None` for what is no heading."""
        own = properties.find(f"{_W}outlineLvl") if properties is not None else None
        identifier = _value(properties, "pStyle")
        if own is None:
            for style in self._chain(identifier):
                named = style.find(f"{_W}name")
                name = named.get(f"{_W}val", "") if named is not None else ""
                if name.lower() == "title":
                    return 1
                if found := _HEADING.fullmatch(name):
                    return int(found[1])
                own = style.find(f"{_W}pPr/{_W}outlineLvl")
                if own is not None:
                    break
        level = int(own.get(f"{_W}val", _NO_LEVEL)) if own is not None else _NO_LEVEL
        return level + 1 if level < _NO_LEVEL else None

    def numbering(self, properties: Any) -> tuple[str, int] | None:
        """Return a paragraph's list and depth in it, of its own or by its style."""
        chain = [properties, *(style.find(f"{_W}pPr") for style in self._chain(_value(properties, "pStyle")))]
        for part in chain:
            numbered = part.find(f"{_W}numPr") if part is not None else None
            if numbered is not None:
                identifier = _value(numbered, "numId")
                depth = _value(numbered, "ilvl") or "0"
                return (identifier, int(depth)) if identifier not in (None, "0") and depth.isdecimal() else None
        return None


class _Numbers:
    """Which lists are numbered, and where their counting is."""

    def __init__(self, package: Package) -> None:
        self._formats: dict[tuple[str, int], str] = {}
        self._counts: dict[tuple[str, int], int] = {}
        tree = package.tree("word/numbering.xml")
        if tree is None:
            return
        abstract = {each.get(f"{_W}abstractNumId"): each for each in tree.iter(f"{_W}abstractNum")}
        for number in tree.iter(f"{_W}num"):
            kind = abstract.get(_value(number, "abstractNumId"))
            for level in kind.iter(f"{_W}lvl") if kind is not None else ():
                place = (number.get(f"{_W}numId", ""), int(level.get(f"{_W}ilvl", "0")))
                self._formats[place] = _value(level, "numFmt") or "bullet"

    def next(self, place: tuple[str, int]) -> int | None:
        """Return the number of a list's next item; `None` of a list with bullets."""
        for other in [other for other in self._counts if other[0] == place[0] and other[1] > place[1]]:
            del self._counts[other]
        if self._formats.get(place, "bullet") in ("bullet", "none"):
            return None
        self._counts[place] = self._counts.get(place, 0) + 1
        return self._counts[place]


def read(body: bytes, source: Source) -> Extract:
    """Return a document's text."""
    package = Package(body)
    main = next((target for kind, target in relations(package, "") if kind == "officeDocument"), "word/document.xml")
    tree = package.tree(main)
    content = tree.find(f"{_W}body") if tree is not None else None
    if content is None:
        raise ExtractionError("the document is damaged: it has no body")
    reading = _Reading(package)
    reading.blocks(content, 0)
    reading.notes()
    return reading.writer.finished(source, **core_properties(package))


class _Reading:
    """One document, read from its beginning to its end."""

    def __init__(self, package: Package) -> None:
        self.writer = Writer()
        self._styles, self._numbers = _Styles(package), _Numbers(package)
        self._notes: list[tuple[str, str]] = []
        self._noted = {
            kind: {note.get(f"{_W}id"): note for note in tree.iter(f"{_W}{kind}")} if tree is not None else {}
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
        properties = paragraph.find(f"{_W}pPr")
        style = self._styles.name(_value(properties, "pStyle"))
        if not _CONTENTS.fullmatch(style):
            text = "".join(self._runs(paragraph))
            place = self._styles.numbering(properties)
            level = self._styles.level(properties)
            if level is not None:
                self.writer.heading(level, text)
            elif place is not None and text.strip():
                self.writer.item(text, place[1], self._numbers.next(place))
            else:
                self.writer.paragraph(text)
        for box in paragraph.iter(f"{_W}txbxContent"):
            if not any(local(above) == "Fallback" for above in box.iterancestors()):
                self.blocks(box, depth + 1)

    def _table(self, table: Any, depth: int) -> None:
        rows = list(_children(table, "tr"))
        cells = [list(_children(row, "tc")) for row in rows]
        if sum(map(len, cells)) == 1:  # a frame around text
            self.blocks(cells[0][0], depth + 1)
            return
        self.writer.table([self._row(row) for row in cells])

    def _row(self, cells: Sequence[Any]) -> list[str]:
        row: list[str] = []
        for cell in cells:
            properties = cell.find(f"{_W}tcPr")
            merged = properties.find(f"{_W}vMerge") if properties is not None else None
            goes_on = merged is not None and merged.get(f"{_W}val", "continue") == "continue"
            span = _value(properties, "gridSpan") or "1"
            row.append("" if goes_on else self._cell_text(cell))
            row += [""] * (min(int(span), 64) - 1 if span.isdecimal() else 0)
        return row

    def _cell_text(self, cell: Any) -> str:
        return " ".join("".join(self._runs(paragraph)).strip() for paragraph in cell.iter(f"{_W}p")).strip()

    def _runs(self, parent: Any, depth: int = 0) -> Iterator[str]:
        if depth > _DEPTH_MAX:
            return
        for element in parent:
            name = local(element)
            if name == "t":
                yield element.text or ""
            elif name in ("tab", "br", "cr", "ptab"):
                yield " "
            elif name == "noBreakHyphen":
                yield "-"
            elif name in ("footnoteReference", "endnoteReference"):
                yield self._note(name.removesuffix("Reference"), element)
            elif name not in _SKIPPED and name not in ("txbxContent", "p", "tbl"):
                yield from self._runs(element, depth + 1)

    def _note(self, kind: str, reference: Any) -> str:
        note = self._noted[kind].get(reference.get(f"{_W}id"))
        if note is None:
            return ""
        text = " ".join("".join(self._runs(paragraph)) for paragraph in note.iter(f"{_W}p"))
        self._notes.append((str(len(self._notes) + 1), text))
        return f"[{len(self._notes)}]"

    def notes(self) -> None:
        """Write the notes, after the text."""
        for number, text in self._notes:
            if text.strip():
                self.writer.paragraph(f"[{number}] {text.strip()}")


def _children(parent: Any, name: str) -> Iterator[Any]:
    """Go through children of a name, those in content controls and insertions among them."""
    for element in parent:
        kind = local(element)
        if kind == name:
            yield element
        elif kind in ("sdt", "sdtContent", "ins", "moveTo", "customXml", "smartTag"):
            yield from _children(element, name)


def _value(parent: Any, name: str) -> str | None:
    found = parent.find(f"{_W}{name}") if parent is not None else None
    return found.get(f"{_W}val") if found is not None else None
