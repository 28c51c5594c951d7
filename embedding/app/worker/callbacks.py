"""What the worker has from the orchestrator, and tells it. The callback itself is the base task's (ml_shared.worker)."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from pydantic import ValidationError

from ml_shared.clients.orchestrator import OrchestratorClient
from ml_shared.contracts.chunking import Chunk, ChunkResult
from ml_shared.contracts.embedding import MAX_CHUNKS, IndexResult
from ml_shared.errors import TooLargeError, UpstreamError
from ml_shared.settings import ServiceSettings
from ml_shared.worker.stage import StageOutcome, StageRun


@asynccontextmanager
async def open_orchestrator(settings: ServiceSettings) -> AsyncIterator[OrchestratorClient | None]:
    """Open the client for callbacks, or give `None` where no job can come from: no `ORCHESTRATOR_URL`."""
    if not settings.ORCHESTRATOR_URL:
        yield None
        return
    async with OrchestratorClient.open(settings) as orchestrator:
        yield orchestrator


async def read_chunks(run: StageRun, content_ref: str) -> Sequence[Chunk]:
    """Return a job's chunks, which the orchestrator keeps.

    Raises
    ------
    ContentMissingError
        If it keeps them no longer; the job goes back to the stage that makes them.
    TooLargeError
        If they are more than one task embeds.
    UpstreamError
        If they are no chunks, or this task has no job whose they could be.
    """
    if run.orchestrator is None or run.attempt_id is None:
        raise UpstreamError("chunks by reference belong to a job's attempt", retryable=False)
    body = run.content if run.content is not None else await run.orchestrator.get_content(content_ref, run.attempt_id)
    try:
        chunks = ChunkResult.model_validate_json(body).chunks
    except ValidationError as error:
        raise UpstreamError("the content is not what the chunking stage makes") from error
    if len(chunks) > MAX_CHUNKS:  # more would run past the time limit in every attempt
        raise TooLargeError(
            f"the document has {len(chunks)} chunks; {MAX_CHUNKS} is the most, so raise chunking.max_tokens",
            code="too_many_chunks",
        )
    return chunks


def indexed(result: IndexResult) -> StageOutcome:
    """Return what the callback says of a document that was indexed, touched or removed."""
    return StageOutcome(result=result, stats=result.model_dump(mode="json"))
