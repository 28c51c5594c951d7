"""The embedding service's Celery tasks."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from opentelemetry import trace

from app.core.difference import Piece
from app.core.logic import Order, execute_index, execute_remove, execute_touch
from app.core.packing import unpack_chunks
from app.worker.callbacks import indexed, read_chunks
from app.worker.celery_app import app
from ml_shared.contracts.embedding import ChunkIn, Document, EmbedAction
from ml_shared.names import Stage, TaskName
from ml_shared.telemetry import attributes
from ml_shared.telemetry.attributes import JobStage
from ml_shared.web.urls import document_url
from ml_shared.worker.packs import PackTask
from ml_shared.worker.stage import StageOutcome, StageRun
from ml_shared.worker.task import StageTask


@app.task(
    bind=True, base=StageTask, name=TaskName.EMBED_DOCUMENT.value, stage=Stage.EMBEDDING, job_stage=JobStage.EMBED
)
def embed_document_task(
    self: StageTask,
    owner: str,
    corpus_name: str,
    document: dict[str, Any],
    as_of: str,
    submitted_at: str,
    chunks: list[dict[str, Any]] | None = None,
    packed_chunks: str | None = None,
    content_ref: str | None = None,
    job_id: str | None = None,
    attempt_id: str | None = None,
    action: str = EmbedAction.INDEX.value,
    chunking_hash: str | None = None,
) -> None:
    """Make one document searchable; or touch it, or remove it, as the orchestrator may ask.

    Its chunks come along, or the orchestrator keeps them under `content_ref`. They come packed; an API of version 0.1 sends
    them as they are.
    """
    order = Order(
        owner=owner,
        corpus_name=corpus_name,
        document=Document.model_validate(document),
        as_of=datetime.fromisoformat(as_of),
        submitted_at=datetime.fromisoformat(submitted_at),
        job_id=job_id,
        chunking_hash=chunking_hash,
    )
    url = document_url(order.document.url)

    async def body(run: StageRun) -> StageOutcome:
        trace.get_current_span().set_attribute(attributes.CORPUS_NAME, corpus_name)
        if action == EmbedAction.TOUCH:
            return indexed(await execute_touch(run.resources.embedding, order))
        if action == EmbedAction.REMOVE:
            return indexed(await execute_remove(run.resources.embedding, order, before_write=run.committing))
        pieces: Sequence[Piece] = [ChunkIn.model_validate(chunk) for chunk in chunks or ()]
        if packed_chunks is not None:
            pieces = unpack_chunks(packed_chunks)
        if content_ref is not None:
            pieces = await read_chunks(run, content_ref)
        return indexed(await execute_index(run.resources.embedding, order, pieces, before_write=run.committing))

    self.run_stage(body, job_id=job_id, attempt_id=attempt_id, url=url, content_ref=content_ref)


@app.task(bind=True, base=PackTask, name=TaskName.EMBED_SEVERAL.value, of=embed_document_task)
def embed_several_task(self: PackTask, jobs: Sequence[Mapping[str, Any]]) -> None:
    """Make searchable what several hand-outs ask for."""
    self.run_pack(jobs)
