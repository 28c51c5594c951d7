"""Corpora and the documents in them."""

from datetime import datetime
from typing import Any

from cloudcix_ml.models.base import Answered


class Corpus(Answered):
    """What one searches in."""

    name: str
    documents: int
    chunks: int
    tokens: int
    model: str | None = None
    updated_at: datetime | None = None


class CorpusPage(Answered):
    """A page of a list of corpora."""

    items: list[Corpus]
    next_cursor: str | None = None


class Document(Answered):
    """A page or file of a corpus."""

    document_id: str
    url: str
    title: str | None
    language: str | None
    metadata: dict[str, Any]
    chunks: int
    tokens: int
    model: str
    as_of: datetime
    indexed_at: datetime
    fetched_at: datetime | None
    job_id: str | None
    trace_id: str | None


class DocumentPage(Answered):
    """A page of a list of documents."""

    items: list[Document]
    next_cursor: str | None = None


class Chunk(Answered):
    """A passage of a document; `start` and `end` are code points in its text."""

    chunk_index: int
    text: str
    start: int
    end: int
    token_count: int
    heading_path: list[str]
    table_header: str | None = None


class DocumentRead(Document):
    """A document with all that is known of it, and a page of its chunks."""

    author: str | None
    canonical_url: str | None
    content_type: str | None
    final_url: str | None
    published_at: str | None
    items: list[Chunk]
    next_cursor: str | None = None


class DocumentContent(Answered):
    """A document's text, put together from its chunks; `start` is where it begins in the document."""

    document_id: str
    url: str
    title: str | None
    text: str
    start: int | None
