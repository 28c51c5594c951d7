"""What can be read: a module a kind of document, imported where one comes.

Each has `read(body, source)`, which makes an `Extract` of a body's bytes, and raises what `extract.extract` says. A kind's
libraries are imported by its module alone, so that a process that reads pages of HTML keeps none of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Final

from app.core.extraction.result import Extract

HTML: Final = "text/html"
XHTML: Final = "application/xhtml+xml"
PLAIN_TEXT: Final = "text/plain"
MARKDOWN: Final = "text/markdown"
RST: Final = "text/x-rst"
CSV: Final = "text/csv"
TSV: Final = "text/tab-separated-values"
JSON: Final = "application/json"
XML: Final = "application/xml"
RSS: Final = "application/rss+xml"
ATOM: Final = "application/atom+xml"
RTF: Final = "application/rtf"
PDF: Final = "application/pdf"
EPUB: Final = "application/epub+zip"
_WORD: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml."
_SHEET: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml."
_SLIDES: Final = "application/vnd.openxmlformats-officedocument.presentationml."
_OPEN: Final = "application/vnd.oasis.opendocument."
DOCX: Final = f"{_WORD}document"
XLSX: Final = f"{_SHEET}sheet"
PPTX: Final = f"{_SLIDES}presentation"
ODT: Final = f"{_OPEN}text"
ODS: Final = f"{_OPEN}spreadsheet"
ODP: Final = f"{_OPEN}presentation"


@dataclass(frozen=True)
class Source:
    """Where a body comes from, and what is known of it.

    Attributes
    ----------
    url
        What links are relative to.
    media_type
        What it was found to be.
    charset
        What its header declares.
    refresh
        The header that may lead on.
    agent
        Whom else than everybody a page's rules for robots may be about.
    """

    url: str
    media_type: str
    charset: str | None = None
    refresh: str | None = None
    agent: str = ""


@dataclass(frozen=True)
class Reader:
    """Who reads a kind.

    Attributes
    ----------
    name
        Of the kind, for people.
    module
        In this package.
    media_types
        By which the kind is told; of each the first is what the others are called in a result.
    """

    name: str
    module: str
    media_types: tuple[tuple[str, ...], ...]


READERS: Final = (
    Reader("HTML", "pages", ((HTML,), (XHTML, "application/vnd.wap.xhtml+xml"))),
    Reader("plain text", "text", ((PLAIN_TEXT,),)),
    Reader("Markdown", "text", ((MARKDOWN, "text/x-markdown", "text/vnd.markdown"),)),
    Reader("reStructuredText", "rst", ((RST, "text/prs.fallenstein.rst", "text/restructuredtext"),)),
    Reader("PDF", "pdf", ((PDF, "application/x-pdf", "application/acrobat", "text/pdf"),)),
    Reader("DOCX", "docx", ((DOCX, f"{_WORD}template", "application/vnd.ms-word.document.macroenabled.12"),)),
    Reader(
        "PPTX",
        "pptx",
        ((PPTX, f"{_SLIDES}slideshow", "application/vnd.ms-powerpoint.presentation.macroenabled.12"),),
    ),
    Reader("XLSX", "xlsx", ((XLSX, f"{_SHEET}template", "application/vnd.ms-excel.sheet.macroenabled.12"),)),
    Reader("OpenDocument", "odf", ((ODT, f"{_OPEN}text-template"), (ODS,), (ODP,))),
    Reader("EPUB", "epub", ((EPUB,),)),
    Reader("RTF", "rtf", ((RTF, "text/rtf", "application/x-rtf", "text/richtext"),)),
    Reader("CSV", "tables", ((CSV, "application/csv", "text/x-csv"), (TSV,))),
    Reader("JSON", "data", ((JSON, "text/json", "application/x-ndjson", "application/jsonl"),)),
    Reader("XML", "data", ((XML, "text/xml"),)),
    Reader("RSS", "feeds", ((RSS, "application/rdf+xml", "text/rss+xml"),)),
    Reader("Atom", "feeds", ((ATOM,),)),
)
"""All kinds, as people are told of them."""

NAMES: Final = f"{', '.join(reader.name for reader in READERS[:-1])} and {READERS[-1].name}"
READABLE: Final = frozenset(names[0] for reader in READERS for names in reader.media_types)
"""The media types of results."""

_MODULES: Final = {names[0]: reader.module for reader in READERS for names in reader.media_types}
_ALIASES: Final = {name: names[0] for reader in READERS for names in reader.media_types for name in names}
_FAMILIES: Final = {"+json": JSON, "+xml": XML}


def canonical(media_type: str) -> str:
    """Return the name that a result has for a media type; itself if there is no reader for it."""
    known = _ALIASES.get(media_type)
    if known is not None:
        return known
    family = _FAMILIES.get(f"+{media_type.rpartition('+')[2]}") if "+" in media_type else None
    return family if family is not None and media_type.startswith("application/") else media_type


@lru_cache(maxsize=64)
def reader_of(media_type: str) -> Callable[[bytes, Source], Extract] | None:
    """Return who reads a kind of body, if anybody does."""
    module = _MODULES.get(media_type)
    if module is None:
        return None
    read: Callable[[bytes, Source], Extract] = import_module(f"{__name__}.{module}").read
    return read
