"""The extractors: each takes a page's bytes and returns Markdown, or plain text where it makes no other."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import trafilatura
from html_to_markdown import ConversionOptions, convert
from lxml.html import tostring
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

from bench.extraction import files
from bench.extraction.pages import parsed
from bench.services import import_from

Extractor = Callable[[bytes, str], str]
OURS, REFERENCE = "ours", "trafilatura, fast"
_OPTIONS = ConversionOptions(extract_metadata=False, compact_tables=True, skip_images=True, autolinks=False)
_LANDMARKS = ("//main", "//*[@role='main']", "//article", "//*[@id='content']", "//*[@id='main-content']", "//body")


def _decoded(body: bytes) -> str:
    return str(bytes_to_str(body, detect_encoding(body, from_html_meta=True) or "utf-8", errors="replace"))


def _ours() -> Extractor:
    extract = import_from("scraper", "app.core.extraction.extract").extract

    def run(body: bytes, url: str) -> str:
        declared = "" if f"/{files.CORPUS}/" in url else "text/html"
        return str(extract(body, url=url, media_type=declared, charset=None).content)

    return run


def _trafilatura(**options: Any) -> Extractor:
    def run(body: bytes, url: str) -> str:
        found = trafilatura.extract(
            _decoded(body), url=url, output_format="markdown", include_comments=False, **options
        )
        return str(found or "")

    return run


def _readability() -> Extractor:
    readability: Any = importlib.import_module("readability")

    def run(body: bytes, url: str) -> str:
        return convert(readability.Document(_decoded(body), url=url).summary(), _OPTIONS).content or ""

    return run


def _resiliparse(body: bytes, url: str) -> str:
    found = extract_plain_text(
        _decoded(body),
        main_content=True,
        alt_texts=False,
        links=False,
        form_fields=False,
        noscript=False,
        comments=False,
    )
    return str(found)


def _landmarks(body: bytes, url: str) -> str:
    """The first landmark there is, converted whole: what finds no furniture and loses no text of it."""
    tree = parsed(body)
    part = next(element for path in _LANDMARKS for element in tree.xpath(path))
    return convert(tostring(part, encoding="unicode", with_tail=False), _OPTIONS).content or ""


EXTRACTORS: dict[str, Callable[[], Extractor]] = {
    OURS: _ours,
    REFERENCE: lambda: _trafilatura(fast=True),
    "trafilatura, default": _trafilatura,
    "trafilatura, recall": lambda: _trafilatura(favor_recall=True),
    "readability-lxml": _readability,
    "resiliparse": lambda: _resiliparse,
    "landmark, converted": lambda: _landmarks,
}
"""By name; each is loaded where it is used, since one may not be installed."""
OF_FILES: dict[str, Callable[[], Extractor]] = {
    files.MARKITDOWN: files.markitdown,
    files.PDFTOTEXT: files.pdftotext,
    files.DOCLING: files.docling,
}
"""Who reads documents that are no HTML, beside ours."""


def there(names: Sequence[str]) -> list[str]:
    """Return which of the extractors of documents can be had, and say of the others why not."""
    found = []
    for name in names:
        try:
            OF_FILES[name]()
        except ImportError as error:
            print(f"Not compared with {name}: {error}")
        else:
            found.append(name)
    return found
