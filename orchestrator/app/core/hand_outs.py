"""A job on its way to a stage, and what is sent there."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from ml_shared.contracts.chunking import ChunkResult, TextFormat
from ml_shared.contracts.scraping import ScrapeResult
from ml_shared.names import Stage

_DOCUMENT_FIELDS: Final = {
    "title", "final_url", "canonical_url", "content_type", "language", "author", "published_at", "content_hash",
    "fetched_at",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class HandOut:
    """A job that this pass has claimed for a stage, under a new attempt."""

    owner: str
    job_id: UUID
    attempt_id: UUID
    stage: Stage
    url: str
    host: str
    corpus_name: str
    metadata: dict[str, Any]
    chunking: dict[str, Any]
    document: dict[str, Any]
    content_ref: str | None
    as_of: datetime | None
    submitted_at: datetime
    traceparent: str | None
    earlier_traceparent: str | None


@dataclass(frozen=True, slots=True)
class StageRequest:
    """What a stage is asked: a path of its service, and a JSON body."""

    path: str
    body: dict[str, Any]


def scrape_request(job: HandOut, _page: bytes) -> StageRequest:
    """Queue a fetch."""
    return StageRequest("/enqueue", {"url": job.url, **_stage_fields(job)})


def chunk_request(job: HandOut, page: bytes) -> StageRequest:
    """Cut a page's text, here and now.

    Raises
    ------
    pydantic.ValidationError
        If the kept page is not a `ScrapeResult`.
    """
    scraped = ScrapeResult.model_validate_json(page)
    plain = scraped.content_type == "text/plain"
    body = {
        "text": scraped.content,
        "format": TextFormat.TEXT if plain else TextFormat.MARKDOWN,
        "job_id": str(job.job_id),
        **job.chunking,
    }
    return StageRequest("/chunk", body)


def chunk_stats(answer: bytes, page: bytes) -> dict[str, Any]:
    """Return what the job keeps of chunking: counts, and what the page says of itself.

    Raises
    ------
    pydantic.ValidationError
        If the answer is not a `ChunkResult`.
    """
    result = ChunkResult.model_validate_json(answer)
    document = ScrapeResult.model_validate_json(page).model_dump(mode="json", include=_DOCUMENT_FIELDS)
    return {"chunks": len(result.chunks), "tokens": result.token_total, "document": document}


def embed_request(job: HandOut, _page: bytes) -> StageRequest:
    """Queue the embedding of chunks that the orchestrator keeps."""
    body = {
        "corpus_name": job.corpus_name,
        "document": {**job.document, "url": job.url, "metadata": job.metadata},
        "content_ref": job.content_ref,
        **_stage_fields(job),
    }
    return StageRequest("/enqueue", body)


def _stage_fields(job: HandOut) -> dict[str, Any]:
    return {
        "job_id": str(job.job_id),
        "attempt_id": str(job.attempt_id),
        "owner": job.owner,
        "as_of": job.as_of,
        "submitted_at": job.submitted_at,
    }
