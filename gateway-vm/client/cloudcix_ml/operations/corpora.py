"""Corpora: what one searches in."""

from cloudcix_ml.core.effects import Operation, Request, Stream
from cloudcix_ml.core.exchange import call, exchange
from cloudcix_ml.core.session import Session
from cloudcix_ml.models.corpora import Corpus, CorpusPage
from cloudcix_ml.operations.requests import EMBEDDING, get, listed, path_of

CORPORA = f"{EMBEDDING}/corpora"


def list_all(session: Session, *, page_size: int | None = None) -> Stream[Corpus]:
    """Go through your corpora, by name."""
    return listed(session, CORPORA, CorpusPage, page_size)


def read(session: Session, name: str) -> Operation[Corpus]:
    """Return a corpus with its counts."""
    return (yield from call(session, get(path_of(CORPORA, name)), Corpus))


def delete(session: Session, name: str) -> Operation[None]:
    """Delete a corpus with everything in it."""
    yield from exchange(session, Request("DELETE", path_of(CORPORA, name)))
