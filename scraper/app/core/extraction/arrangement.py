"""Lists, tables and quotes: those that say something are made regular, those that only arrange a page are taken apart."""

from copy import deepcopy
from itertools import groupby
from typing import Final

from lxml import etree
from lxml.html import HtmlElement

from app.core.extraction.blocks import HEADINGS
from app.core.extraction.code import become_code, code_of

_INDENTED: Final = frozenset({"ul", "ol", "dl", "pre", "table", "div"})
_LABEL_MAX_CHARACTERS: Final = 60
_HEADS_MAX: Final = 20
# so often a table's head is repeated, however long it is
_TABLE_PARTS: Final = ("tbody", "thead", "tfoot", "tr", "td", "th", "caption", "colgroup", "col")


def mend_quotes(part: HtmlElement) -> None:
    """Take quotes apart that are indentation, which documentation tools write like this."""
    for quote in part.iter("blockquote"):
        if len(quote) and not {child.tag for child in _unwrapped(quote)} - _INDENTED and not (quote.text or "").strip():
            quote.tag = "div"


def _unwrapped(quote: HtmlElement) -> list[HtmlElement]:
    children = list(quote)
    return list(children[0]) if len(children) == 1 and children[0].tag == "div" else children


def mend_lists(part: HtmlElement) -> None:
    """Take lists apart that only arrange a page: a heading in an item would head nothing."""
    for listing in list(part.iter("ul", "ol")):
        items = [item for item in listing if item.tag == "li"]
        if any(True for item in items for _ in item.iter("h1", "h2", "h3", "h4")):
            for element in (listing, *items):
                element.tag = "div"


def _nearest(element: HtmlElement, tag: str) -> HtmlElement | None:
    return next(element.iterancestors(tag), None)


def mend_tables(part: HtmlElement) -> None:
    """Make a table of each that is one, code of one that numbers lines, and boxes of one that only arranges the page."""
    for table in list(part.iter("table")):
        if table.getparent() is None and table is not part:
            continue
        code = code_of(table)
        if code is not None:
            become_code(table, code)
            continue
        _lift_headings(table)
        if not _is_layout(table):
            _mend_cells(table)
        elif not _is_parted_at_code(table):
            _take_apart(table)


def _take_apart(table: HtmlElement) -> None:
    """Make boxes of a table's own parts; a table within it stays one."""
    for element in [table, *(part for part in table.iter(*_TABLE_PARTS) if _nearest(part, "table") is table)]:
        element.tag = "div"


def _is_parted_at_code(table: HtmlElement) -> bool:
    """Keep the rows of a table together that hold no lines of code, each run of them under the table's head; others are boxes.

    Whether there is such a run, of two rows at least.
    """
    rows = [row for row in table.iter("tr") if _nearest(row, "table") is table]
    is_told = table.get("role") in ("presentation", "none") or table.find(".//table") is not None
    if is_told or table.getparent() is None or not rows or any(cell.tag != "th" for cell in rows[0]):
        return False
    if any(cell.get("rowspan", "1") != "1" for row in rows for cell in row):
        return False  # its rows say less without each other
    head, *body = rows
    runs = [(holds_lines, list(run)) for holds_lines, run in groupby(body, _holds_lines)]
    if not 0 < sum(len(run) > 1 and not holds_lines for holds_lines, run in runs) <= _HEADS_MAX:
        return False
    for caption in table.findall("caption"):
        caption.tag = "div"
        table.addprevious(caption)
    if runs[0][0] or len(runs[0][1]) == 1:
        table.addprevious(_boxes(deepcopy(head)))
    for holds_lines, run in runs:
        if holds_lines or len(run) == 1:
            for row in run:
                table.addprevious(_boxes(row))
            continue
        kept = table.makeelement("table")
        etree.SubElement(kept, "thead").append(deepcopy(head))
        etree.SubElement(kept, "tbody").extend(run)
        table.addprevious(kept)
        _mend_cells(kept)
    table.drop_tree()
    return True


def _holds_lines(element: HtmlElement) -> bool:
    """Whether code of several lines is in it."""
    return any("\n" in block.text_content().strip("\n") for block in element.iter("pre"))


def _boxes(row: HtmlElement) -> HtmlElement:
    """Make boxes of a row and its cells."""
    for element in (row, *row):
        element.tag = "div"
    row.tail = None
    return row


def _lift_headings(table: HtmlElement) -> None:
    """Put a heading that fills a row of its own above the rows that it heads."""
    rows = [row for row in table.iter("tr") if _nearest(row, "table") is table]
    if len(rows) < 2 or table.getparent() is None:
        return
    earlier: list[HtmlElement] = []
    for row in rows:
        heading = _only_heading(row)
        if heading is None:
            earlier.append(row)
            continue
        if earlier:
            above = table.makeelement("table")
            etree.SubElement(above, "tbody").extend(earlier)
            table.addprevious(above)
            earlier = []
        heading.tail = None
        table.addprevious(heading)
        row.drop_tree()


def _only_heading(row: HtmlElement) -> HtmlElement | None:
    """Return the heading that is all that a row says."""
    heading = next(row.iter(*HEADINGS), None)
    if heading is None or len(heading.text_content().strip()) < len(row.text_content().strip()):
        return None
    return heading if heading.text_content().strip() else None


def _is_layout(table: HtmlElement) -> bool:
    """Whether a table only arranges a page: what its cells hold would be lost in a table of Markdown."""
    if table.get("role") in ("presentation", "none"):
        return True
    if table.find(".//table") is not None:
        return True
    if table.find(".//th") is not None and table.find(".//pre") is None:
        return False
    if _holds_lines(table):
        return True
    rows = list(table.iter("tr"))
    if all(len(row) <= 1 for row in rows):
        return True
    if any(cell.find(f".//{name}") is not None for row in rows for cell in row for name in HEADINGS):
        return True
    if len(rows) != 1 or _is_label(rows[0][0]):
        return False
    return any(sum(1 for _ in cell.iter("p")) > 1 for cell in rows[0])


def _is_label(cell: HtmlElement) -> bool:
    """Whether a cell names what the next one says."""
    if next(cell.iter("p", "div", "ul", "ol", "img", "form"), None) is not None:
        return False
    return 0 < len(cell.text_content().strip()) <= _LABEL_MAX_CHARACTERS


def _mend_cells(table: HtmlElement) -> None:
    for item in table.iter("li"):
        following = item.getnext()
        if following is not None and following.tag == "li":
            item.append(item.makeelement("span"))
            item[-1].text = ";"
    for block in list(table.iter("pre")):
        block.tag = "code"
