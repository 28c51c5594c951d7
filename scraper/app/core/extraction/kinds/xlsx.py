"""XLSX: a sheet is a section, its blocks of rows are tables; formulas give the value that was kept with them.

Rows are read one by one and forgotten, so that a sheet of empty rows takes no memory. Lost: charts, pictures, comments,
colours, hidden sheets; numbers are as they are kept, dates and times as ISO 8601, times that have passed as hours, minutes and
seconds.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from app.core.errors import ExtractionError
from app.core.extraction.kinds import Source
from app.core.extraction.kinds.cells import elapsed, plain_number, spoken
from app.core.extraction.kinds.office import addresses, core_properties, relations, targets
from app.core.extraction.links import formula_href
from app.core.extraction.markup import local, xml_elements
from app.core.extraction.packages import Package
from app.core.extraction.result import Extract
from app.core.extraction.writing import Writer

_MAIN: Final = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_COLUMNS_MAX: Final = 16_384
_DATES: Final = frozenset({"14", "15", "16", "17", "18", "19", "20", "21", "22", "45", "47"})
_ELAPSED: Final = frozenset({"46"})
# built-in formats, whatever the country
_COUNTED: Final = re.compile(r"\[(?:h+|m+|s+)\]", re.IGNORECASE)
_LITERALS: Final = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?![hms]+\])[^\]]*\]', re.IGNORECASE)
_CELL: Final = re.compile(rb"<(?:\w+:)?(?:v|t|f)\b[^>/]*>")
_LINK: Final = re.compile(rb"""<(?:\w+:)?hyperlink\b[^<>]*\s\w+:id=["']([!-~]+?)["']""")
_EMPTY_ROWS: Final = re.compile(rb"<row\b[^>]*/>|<row\b[^>]*>(?:<c\b[^>]*/>)+</row>")
# programs write a million of them, for the sake of a style
_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - a sheet's times have no zone
_EPOCH_1904: Final = datetime(1904, 1, 1)  # noqa: DTZ001
_LEAP_DAY: Final = 60
_SECONDS_A_DAY: Final = 86_400


def read(body: bytes, source: Source) -> Extract:
    """Return a workbook's text."""
    package = Package(body)
    main = next((at for kind, at in relations(package, "") if kind == "officeDocument"), "xl/workbook.xml")
    tree = package.tree(main)
    if tree is None:
        raise ExtractionError("the workbook is damaged: its list of sheets is missing")
    places = targets(package, main)
    values = _Values(package, dict(relations(package, main)), tree)
    writer = Writer()
    hrefs: list[str] = []
    for number, sheet in enumerate((each for each in tree.iter() if local(each) == "sheet"), start=1):
        name = next((str(value) for key, value in sheet.attrib.items() if key.endswith("}id")), "")
        data = package.read(places[name]) if name in places else None
        if data is not None and sheet.get("state", "visible") == "visible":
            _sheet(writer, sheet.get("name") or f"Sheet {number}", data, values, hrefs)
            known = addresses(package, places[name])
            hrefs += [known.get(found[1].decode(), "") for found in _LINK.finditer(data)] if known else []
    return writer.finished(source, hrefs=hrefs, **core_properties(package))


class _Values:
    """What cells hold, as text."""

    def __init__(self, package: Package, parts: dict[str, str], workbook: Any) -> None:
        shared = package.read(parts.get("sharedStrings", "xl/sharedStrings.xml"))
        self._shared = [_rich_text(item) for item in xml_elements(shared, f"{_MAIN}si")] if shared else []
        self._dates, self._elapsed = _time_styles(package.tree(parts.get("styles", "xl/styles.xml")))
        properties = next((each for each in workbook.iter() if local(each) == "workbookPr"), None)
        is_1904 = properties is not None and properties.get("date1904") in ("1", "true")
        self._epoch = _EPOCH_1904 if is_1904 else _EPOCH

    def of(self, cell: Any) -> str:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            inline = cell.find(f"{_MAIN}is")
            return _rich_text(inline) if inline is not None else ""
        value = cell.findtext(f"{_MAIN}v") or ""
        if kind == "s":
            return self._shared[int(value)] if value.isdecimal() and int(value) < len(self._shared) else ""
        if kind == "b":
            return "TRUE" if value == "1" else "FALSE"
        if kind == "d":  # where a workbook is strict
            return spoken(value)
        if kind != "n" or not value:
            return value
        style = cell.get("s", "0")
        try:
            if style in self._elapsed:
                return elapsed(float(value) * _SECONDS_A_DAY)
            if style in self._dates:
                return self._moment(float(value))
        except (ValueError, OverflowError):
            return value
        return plain_number(value)

    def _moment(self, days: float) -> str:
        if self._epoch is _EPOCH and 1 <= days < _LEAP_DAY:
            days += 1  # before the day that 1900 did not have, and Excel has
        moment = self._epoch + timedelta(seconds=round(days * _SECONDS_A_DAY))
        if 0 <= days < 1:
            return moment.time().isoformat()
        return moment.date().isoformat() if days.is_integer() else moment.isoformat(sep=" ")


def _rich_text(item: Any) -> str:
    """Return a text of several runs; how it is read aloud in Japanese is no part of it."""
    return "".join(
        text.text or ""
        for text in item.iter(f"{_MAIN}t")
        if not any(local(above) == "rPh" for above in text.iterancestors())
    )


def _time_styles(styles: Any) -> tuple[frozenset[str], frozenset[str]]:
    """Return the numbers of the styles that show a date or a time of day, and of those that show how much time passed."""
    if styles is None:
        return frozenset(), frozenset()
    custom = {
        element.get("numFmtId", ""): _LITERALS.sub("", element.get("formatCode", ""))
        for element in styles.iter(f"{_MAIN}numFmt")
    }
    passed = _ELAPSED | {identifier for identifier, code in custom.items() if _COUNTED.search(code)}
    dates = _DATES | {identifier for identifier, code in custom.items() if re.search(r"[ymdhs]", code, re.IGNORECASE)}
    cells = styles.find(f"{_MAIN}cellXfs")
    shown = [style.get("numFmtId") or "0" for style in (cells if cells is not None else ())]
    return (
        frozenset(str(index) for index, identifier in enumerate(shown) if identifier in dates - passed),
        frozenset(str(index) for index, identifier in enumerate(shown) if identifier in passed),
    )


def _sheet(writer: Writer, name: str, data: bytes, values: _Values, hrefs: list[str]) -> None:
    if not _CELL.search(data):
        return  # however many rows it has
    block: list[list[str]] = []
    last = 0
    for at, row in _rows(data, values, hrefs):
        if not last:
            writer.heading(2, name)
        if block and at > last + 1:
            writer.table(block)
            block = []
        block.append(row)
        last = at
    writer.table(block)


def _rows(data: bytes, values: _Values, hrefs: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Go through the rows that have text, and note where their formulas lead."""
    at = 0
    for row in xml_elements(_EMPTY_ROWS.sub(b"", data), f"{_MAIN}row"):
        number = row.get("r", "")
        at = int(number) if number.isdecimal() else at + 1
        cells: list[str] = []
        for cell in row:
            column = _column(cell.get("r")) if cell.get("r") else len(cells)
            text = values.of(cell)
            if href := formula_href(cell.findtext(f"{_MAIN}f")):
                hrefs.append(href)
            if text and column < _COLUMNS_MAX:
                cells += [""] * (column + 1 - len(cells))
                cells[column] = text
        if cells:
            yield at, cells


def _column(reference: str) -> int:
    column = 0
    for letter in reference:
        if not letter.isalpha():
            break
        column = column * 26 + ord(letter.upper()) - 64
        if column > _COLUMNS_MAX:
            break
    return max(column - 1, 0)
