"""What styles and lists of Word mean: headings, code, text that is hidden, numbers."""

import re
from collections.abc import Iterator
from typing import Any, Final

from app.core.extraction.kinds.styles import is_code_font, is_code_style
from app.core.extraction.packages import Package

W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_HEADING: Final = re.compile(r"heading (\d)", re.IGNORECASE)
_NO_LEVEL: Final = 9
# Word's "body text"
_OFF: Final = ("0", "false", "off")


class Styles:
    """What styles of paragraphs mean."""

    def __init__(self, package: Package) -> None:
        self._styles: dict[str, Any] = {}
        tree = package.tree("word/styles.xml")
        for style in tree.iter(f"{W}style") if tree is not None else ():
            self._styles[style.get(f"{W}styleId", "")] = style
        self._default = tree.find(f"{W}docDefaults/{W}rPrDefault/{W}rPr") if tree is not None else None
        self._usual = next((key for key, style in self._styles.items() if _is_usual(style)), None)
        fonts = package.tree("word/fontTable.xml")
        self._widths = {
            font.get(f"{W}name", ""): value(font, "pitch")
            for font in (fonts.iter(f"{W}font") if fonts is not None else ())
        }
        self._code: dict[str | None, str] = {}
        self._hidden: dict[str | None, bool] = {}

    def _chain(self, name: str | None) -> Iterator[Any]:
        for _ in range(12):  # styles go back to others; a ring of them is an error that Word bears
            style = self._styles.get(name or "")
            if style is None:
                return
            yield style
            based = style.find(f"{W}basedOn")
            name = based.get(f"{W}val") if based is not None else None

    def name(self, identifier: str | None) -> str:
        """Return the name of a style."""
        for style in self._chain(identifier):
            named = style.find(f"{W}name")
            return named.get(f"{W}val", "") if named is not None else ""
        return identifier or ""

    def code(self, identifier: str | None) -> str:
        """Return the name by which a style, or one that it is based on, is for code; "" if it is not."""
        if identifier not in self._code:
            names = [self.name(identifier), *(value(style, "name") or "" for style in self._chain(identifier))]
            self._code[identifier] = next(filter(is_code_style, names), "")
        return self._code[identifier]

    def has_one_width(self, paragraph: Any) -> bool:
        """Return whether all letters of a paragraph, or its end where it has none, are of one width, as those of code are."""
        properties = paragraph.find(f"{W}pPr")
        style = value(properties, "pStyle")
        runs = [run.find(f"{W}rPr") for run in _runs_of(paragraph) if not self.hides(run)]
        runs = runs or [properties.find(f"{W}rPr") if properties is not None else None]
        return all(self._is_of_one_width(self._font(own, style)) for own in runs)

    def _font(self, properties: Any, style: str | None) -> str:
        """Return the font of a run of letters: its own, its style's, its paragraph's style's, or the document's."""
        named = [*self._chain(value(properties, "rStyle")), *self._chain(style or self._usual)]
        for each in (properties, *(one.find(f"{W}rPr") for one in named), self._default):
            fonts = each.find(f"{W}rFonts") if each is not None else None
            if fonts is not None and (font := fonts.get(f"{W}ascii") or fonts.get(f"{W}hAnsi")):
                return str(font)
        return ""

    def _is_of_one_width(self, font: str) -> bool:
        return self._widths.get(font) == "fixed" or is_code_font(font)

    def hides(self, run: Any) -> bool:
        """Return whether a run of letters is hidden: it says so itself, or its style, or its paragraph's style."""
        properties = run.find(f"{W}rPr")
        own = _is_hidden(properties)
        if own is not None:
            return own
        paragraph = next(run.iterancestors(f"{W}p"), None)
        of_paragraph = paragraph.find(f"{W}pPr") if paragraph is not None else None
        return self._is_hidden(value(properties, "rStyle")) or self._is_hidden(value(of_paragraph, "pStyle"))

    def _is_hidden(self, identifier: str | None) -> bool:
        if identifier not in self._hidden:
            said = (_is_hidden(style.find(f"{W}rPr")) for style in self._chain(identifier))
            self._hidden[identifier] = next((one for one in said if one is not None), False)
        return self._hidden[identifier]

    def level(self, properties: Any) -> int | None:
        """Return the level of a heading; `None` for what is no heading."""
        own = properties.find(f"{W}outlineLvl") if properties is not None else None
        identifier = value(properties, "pStyle")
        if own is None:
            for style in self._chain(identifier):
                named = style.find(f"{W}name")
                name = named.get(f"{W}val", "") if named is not None else ""
                if name.lower() == "title":
                    return 1
                if found := _HEADING.fullmatch(name):
                    return int(found[1])
                own = style.find(f"{W}pPr/{W}outlineLvl")
                if own is not None:
                    break
        level = int(own.get(f"{W}val", _NO_LEVEL)) if own is not None else _NO_LEVEL
        return level + 1 if level < _NO_LEVEL else None

    def numbering(self, properties: Any) -> tuple[str, int] | None:
        """Return a paragraph's list and depth in it, of its own or by its style."""
        chain = [properties, *(style.find(f"{W}pPr") for style in self._chain(value(properties, "pStyle")))]
        for part in chain:
            numbered = part.find(f"{W}numPr") if part is not None else None
            if numbered is not None:
                identifier = value(numbered, "numId")
                depth = value(numbered, "ilvl") or "0"
                return (identifier, int(depth)) if identifier not in (None, "0") and depth.isdecimal() else None
        return None


class Numbers:
    """Which lists are numbered, and where their counting is."""

    def __init__(self, package: Package) -> None:
        self._formats: dict[tuple[str, int], str] = {}
        self._counts: dict[tuple[str, int], int] = {}
        tree = package.tree("word/numbering.xml")
        if tree is None:
            return
        abstract = {each.get(f"{W}abstractNumId"): each for each in tree.iter(f"{W}abstractNum")}
        for number in tree.iter(f"{W}num"):
            kind = abstract.get(value(number, "abstractNumId"))
            for level in kind.iter(f"{W}lvl") if kind is not None else ():
                place = (number.get(f"{W}numId", ""), int(level.get(f"{W}ilvl", "0")))
                self._formats[place] = value(level, "numFmt") or "bullet"

    def next(self, place: tuple[str, int]) -> int | None:
        """Return the number of a list's next item; `None` of a list with bullets."""
        for other in [other for other in self._counts if other[0] == place[0] and other[1] > place[1]]:
            del self._counts[other]
        if self._formats.get(place, "bullet") in ("bullet", "none"):
            return None
        self._counts[place] = self._counts.get(place, 0) + 1
        return self._counts[place]


def _is_usual(style: Any) -> bool:
    """Whether paragraphs without a style have this one."""
    return style.get(f"{W}type") == "paragraph" and style.get(f"{W}default", "0") not in _OFF


def _runs_of(paragraph: Any) -> list[Any]:
    """Return a paragraph's own runs that have letters."""
    with_letters = (
        run for run in paragraph.iter(f"{W}r") if any((text.text or "").strip() for text in run.iter(f"{W}t"))
    )
    return [run for run in with_letters if next(run.iterancestors(f"{W}p"), None) is paragraph]


def _is_hidden(properties: Any) -> bool | None:
    found = properties.find(f"{W}vanish") if properties is not None else None
    return found.get(f"{W}val", "1") not in _OFF if found is not None else None


def value(parent: Any, name: str) -> str | None:
    """Return what an element's property says."""
    found = parent.find(f"{W}{name}") if parent is not None else None
    return found.get(f"{W}val") if found is not None else None
