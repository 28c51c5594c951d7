"""Documents: the pages and files of a corpus."""

from cloudcix_ml.core.effects import Operation, Request, Stream
from cloudcix_ml.core.exchange import call, exchange
from cloudcix_ml.core.session import Session
from cloudcix_ml.models.corpora import Chunk, Document, DocumentContent, DocumentPage, DocumentRead
from cloudcix_ml.operations.corpora import CORPORA
from cloudcix_ml.operations.requests import get, listed, path_of


def list_all(session: Session, corpus_name: str, *, page_size: int | None = None) -> Stream[Document]:
    """Go through a corpus' documents."""
    return listed(session, path_of(CORPORA, corpus_name, "documents"), DocumentPage, page_size)


def read(session: Session, corpus_name: str, document_id: str) -> Operation[DocumentRead]:
    """Return a document with all that is known of it, and its first chunks."""
    return (yield from call(session, get(path_of(CORPORA, corpus_name, "documents", document_id)), DocumentRead))


def chunks(session: Session, corpus_name: str, document_id: str, *, page_size: int | None = None) -> Stream[Chunk]:
    """Go through a document's chunks, in their order."""
    return listed(session, path_of(CORPORA, corpus_name, "documents", document_id), DocumentRead, page_size)


def content(session: Session, corpus_name: str, document_id: str) -> Operation[DocumentContent]:
    """Return a document's text."""
    path = path_of(CORPORA, corpus_name, "documents", document_id, "content")
    return (yield from call(session, get(path), DocumentContent))


def delete(session: Session, corpus_name: str, document_id: str) -> Operation[None]:
    """Delete a document."""
    yield from exchange(session, Request("DELETE", path_of(CORPORA, corpus_name, "documents", document_id)))
