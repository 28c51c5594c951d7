"""What is done to a document without making it anew: touching it, removing it."""

from contextlib import AbstractContextManager
from typing import Final

import asyncpg
from opentelemetry.trace import Span

from app.core.errors import DocumentDiffersError
from app.core.found import Found
from app.core.metrics import REMOVALS, TOUCHES
from app.core.storage.claims import DocumentWrite
from app.core.storage.looks import remove_document, touch_document
from app.core.storage.models import Model
from ml_shared.contracts.embedding import IndexResult, PageOutcome
from ml_shared.names import Operation, RequestMode, Stage
from ml_shared.telemetry import attributes
from ml_shared.telemetry.spans import Value, work_span
from ml_shared.telemetry.urls import told_url

TOUCH_SPAN: Final = "document.touch"
REMOVE_SPAN: Final = "document.remove"


async def touch(pool: asyncpg.Pool, write: DocumentWrite, model: Model) -> IndexResult:
    """Note that a document's page is as it was. Nothing is embedded, and no chunk is read but for a new title's words.

    Raises
    ------
    DocumentDiffersError
        If it is not there, or was made of another text, or otherwise than it would be now.
    """
    with _span(TOUCH_SPAN, write):
        touched = await touch_document(pool, write, model)
    TOUCHES[touched.found].inc()
    if touched.found in (Found.ABSENT, Found.DIFFERS):
        raise DocumentDiffersError("the document is not there as its page was known; the page is to be indexed anew")
    if touched.found is Found.SUPERSEDED:
        return IndexResult(superseded=True, model=model.name)
    return IndexResult(
        document_id=str(touched.document_id),
        chunks=touched.chunks,
        tokens=touched.tokens,
        reused=touched.chunks,
        outcome=PageOutcome.UNCHANGED,
        model=model.name,
    )


async def remove(pool: asyncpg.Pool, write: DocumentWrite) -> IndexResult:
    """Remove a document, unless something newer stands there. One that is not there is gone already."""
    with _span(REMOVE_SPAN, write):
        removed = await remove_document(pool, write.owner, write.corpus, write.url, write.as_of)
    REMOVALS[removed.found].inc()
    return IndexResult(
        document_id=str(removed.document_id) if removed.document_id else None,
        superseded=removed.found is Found.SUPERSEDED,
        outcome=PageOutcome.REMOVED if removed.found is Found.DONE else None,
    )


def _span(name: str, write: DocumentWrite) -> AbstractContextManager[Span]:
    known: dict[str, Value] = {
        attributes.CORPUS_NAME: write.corpus,
        attributes.JOB_ID: write.job_id,
        attributes.JOB_URL: told_url(write.url),
        attributes.JOB_STAGE: attributes.JobStage.EMBED,
        attributes.OPERATION: Operation.WRITE.value,
        attributes.REQUEST_MODE: RequestMode.ASYNC.value,
    }
    return work_span(name, attributes=known, stage=Stage.EMBEDDING)
