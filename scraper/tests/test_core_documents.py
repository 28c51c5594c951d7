"""Kinds of documents: what is read out of each is what was written into it."""

import pytest
from documents import DOCUMENTS, Document, Heading, missing
from producers import PRODUCERS

from app.core.errors import EmptyContentError
from app.core.extraction.extract import extract
from app.core.extraction.result import Extract
from ml_shared.contracts.scraping import ExtractionWarning

FLAT = frozenset({"pptx", "xlsx", "ods", "odp", "rss", "atom", "csv", "xml"})
# of these kinds all sections are of one level
ONLY_WITH_TABLES = frozenset({"xlsx", "ods", "csv", "json"})


def read(body: bytes, media_type: str = "application/octet-stream") -> Extract:
    return extract(body, url="https://harbour.example/file", media_type=media_type, charset=None)


def expected_of(kind: str, document: Document) -> Document:
    kept = document.without(*PRODUCERS[kind][2])
    if kind not in ONLY_WITH_TABLES:
        return kept
    with_tables = [blocks for blocks in document.sections() if any(b in document.tables for b in blocks[1])]
    if kind == "json":  # a section without a table is there by its name alone
        return Document(document.name, tuple(kept.blocks))
    return Document(
        document.name,
        tuple(
            block
            for heading, blocks in with_tables
            for block in (Heading(2, heading.text[:31]), *blocks)
            if block in kept.blocks or (isinstance(block, Heading) and kind != "csv")
        ),
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
@pytest.mark.parametrize("kind", PRODUCERS)
def test_what_was_written_into_a_document_is_read_out_of_it(kind: str, document: Document) -> None:
    media_type, make, _ = PRODUCERS[kind]
    if kind in ONLY_WITH_TABLES and not document.tables and kind != "json":
        with pytest.raises(EmptyContentError):
            read(make(document), media_type)
        return
    body = make(document)
    found = read(body, media_type)
    assert missing(expected_of(kind, document), found.content, levels=kind not in FLAT) == [], found.content
    if kind != "pdf" or len(found.pages) > 1:  # what is on one page alone may be its text
        assert "running head" not in found.content
    assert (found.media_type, ExtractionWarning.WRONG_CONTENT_TYPE in found.warnings) == (media_type, False)
    if kind not in ("csv", "json", "rst"):  # which only the header or the address tells from text
        assert read(body).media_type == media_type
