"""Reading documents: with their chunks in pages, or as one text."""

from typing import Any
from uuid import UUID

from app.core.answers.pieces import Joined, join
from app.core.service import Embedding
from app.core.storage.reading import read_content, read_document


async def execute_read_document(
    service: Embedding, owner: str, corpus: str, document_id: UUID, *, after: int, limit: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a document, and its chunks after one, by their index.

    Raises
    ------
    CorpusNotFoundError, DocumentNotFoundError
        If it is not there, or another owner's.
    """
    return await read_document(service.pool, owner, corpus, document_id, after=after, limit=limit)


async def execute_read_content(
    service: Embedding, owner: str, corpus: str, document_id: UUID
) -> tuple[dict[str, Any], Joined]:
    """Return a document, and its text, put together from its chunks.

    Raises
    ------
    CorpusNotFoundError, DocumentNotFoundError
        If it is not there, or another owner's.
    TooLargeError
        If the text is longer than is put together at once.
    """
    document, pieces = await read_content(service.pool, owner, corpus, document_id)
    return document, join(pieces)
