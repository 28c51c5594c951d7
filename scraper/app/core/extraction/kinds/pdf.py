"""PDF: text in the order that it is read in, headings by the size of their letters, tables where they are drawn.

Lost: pictures and what is written in them, formulas' layout, comments, fields of forms, text that stands aslant.
"""

from contextlib import suppress
from typing import Any, Final

import pypdfium2

from app.core.errors import EmptyContentError, EncryptedError, ExtractionError, NoTextLayerError, PageTooLargeError
from app.core.extraction.kinds import Source
from app.core.extraction.pdf.grids import tables_of, undrawn
from app.core.extraction.pdf.lines import Item, fragments, in_order
from app.core.extraction.pdf.running import running_lines
from app.core.extraction.pdf.text import Composer, fold
from app.core.extraction.pdf.words import Sheet, hrefs_of, sheet_of
from app.core.extraction.result import Extract
from app.core.extraction.writing import Writer

PAGES_MAX: Final = 1_000
# at ten to thirty milliseconds each
_HREFS_MAX: Final = 20_000
# of all pages: one list of them may be that of every page
_OUTLINE_MAX: Final = 5_000
_OUTLINE_DEPTH: Final = 8


def read(body: bytes, source: Source) -> Extract:
    """Return a document's text."""
    try:
        document = pypdfium2.PdfDocument(body)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pypdfium2.raw.FPDF_ERR_PASSWORD:
            raise EncryptedError("the document is encrypted") from error
        raise ExtractionError("the document is damaged: it is no PDF that can be opened") from error
    try:
        return _extract(document, source)
    finally:
        document.close()


def _extract(document: Any, source: Source) -> Extract:
    if len(document) > PAGES_MAX:
        raise PageTooLargeError(f"the document has {len(document)} pages; at most {PAGES_MAX} are read")
    pages: list[tuple[Sheet, list[Item]]] = []
    hrefs: list[str] = []
    for index in range(len(document)):
        sheet = _sheet(document, index, hrefs)
        if sheet is not None:
            pages.append((sheet, _items(sheet)))
            sheet.words, sheet.across, sheet.down = [], [], []
    if not any(items for _, items in pages):
        if any(sheet.pictures for sheet, _ in pages):
            raise NoTextLayerError(
                "the document's pages are pictures: it has no text that can be read without its letters being recognised"
            )
        raise EmptyContentError("the document holds no text")
    running = running_lines([(sheet.height, items) for sheet, items in pages])
    texts = [
        (sheet.number, undrawn(in_order([item for item in items if id(item) not in running]))) for sheet, items in pages
    ]
    writer = Writer()
    Composer(texts, {0: _outline(document)}, writer).write()
    return writer.finished(
        source,
        hrefs=hrefs,
        title=_said(document, "Title"),
        author=_said(document, "Author")[:500] or None,
    )


def _sheet(document: Any, index: int, hrefs: list[str]) -> Sheet | None:
    try:
        page = document[index]
    except pypdfium2.PdfiumError:
        return None  # one damaged page of many
    try:
        hrefs += hrefs_of(page, _HREFS_MAX - len(hrefs))
        return sheet_of(page, index + 1)
    finally:
        page.close()


def _items(sheet: Sheet) -> list[Item]:
    tables, words = tables_of(sheet)
    return [*tables, *fragments(words)]


def _said(document: Any, name: str) -> str:
    try:
        return str(document.get_metadata_value(name))
    except UnicodeDecodeError:  # half a letter: of a damaged file, or of a program that cannot count
        return ""


def _outline(document: Any) -> dict[str, int]:
    """Return what the list of contents that comes with a document calls its headings."""
    found: dict[str, int] = {}
    # one that is damaged is read up to there: letters' sizes tell headings without it
    with suppress(pypdfium2.PdfiumError, UnicodeDecodeError):
        for entry in document.get_toc(max_depth=_OUTLINE_DEPTH):
            if len(found) >= _OUTLINE_MAX:
                break
            title = entry.get_title() if hasattr(entry, "get_title") else entry.title
            found.setdefault(fold(title or ""), entry.level)
    found.pop("", None)
    return found
