"""A job on its way to a stage, and what is sent there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from ml_shared.contracts.chunking import ChunkRequest, ChunkResult, TextFormat
from ml_shared.contracts.embedding import (
    LINE_MAX_CHARACTERS,
    TITLE_MAX_CHARACTERS,
    Document,
    EmbedHandOut,
    EnqueueEmbed,
    EnqueueEmbeds,
)
from ml_shared.contracts.scraping import EnqueueScrape, EnqueueScrapes, ScrapeHandOut, ScrapeResult
from ml_shared.contracts.values import storable, uuid_of
from ml_shared.names import Stage
from ml_shared.web.urls import URL_MAX_CHARACTERS

_DOCUMENT_FIELDS: Final = {
    "title", "final_url", "canonical_url", "content_type", "language", "author", "published_at", "content_hash",
    "fetched_at",
}  # fmt: skip
_LONGEST: Final = {
    "title": TITLE_MAX_CHARACTERS, "final_url": URL_MAX_CHARACTERS, "canonical_url": URL_MAX_CHARACTERS,
    **dict.fromkeys(("content_type", "language", "author", "published_at", "content_hash"), LINE_MAX_CHARACTERS),
}  # fmt: skip

_NO_ATTEMPT: Final = UUID(int=0)


@dataclass(frozen=True, slots=True)
class HandOut:
    """A job that this pass has claimed for a stage, under a new attempt.

    Attributes
    ----------
    attempts
        The number of this attempt, where the claim has started it.
    kind
        What the job is for: a page, or links to read.
    """

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
    attempts: int | None = None
    kind: str = "page"


class Page:
    """What the scraper made of a page, as it is kept; it is read once, however many ask."""

    def __init__(self, body: bytes = b"") -> None:
        self.body = body

    @cached_property
    def scraped(self) -> ScrapeResult:
        """The page, read.

        Raises
        ------
        pydantic.ValidationError
            If what is kept is not a `ScrapeResult`.
        """
        return ScrapeResult.model_validate_json(self.body)


StageRequest = EnqueueScrape | ChunkRequest | EnqueueEmbed
"""What a stage is asked, as its service's contract has it."""


def attempt_of(text: str) -> UUID:
    """Return an attempt's id as the database has it; of what is no id of ours, one that no attempt has."""
    return uuid_of(text) or _NO_ATTEMPT


def scrape_request(job: HandOut, _page: Page) -> EnqueueScrape:
    """Queue a fetch."""
    return EnqueueScrape(url=job.url, **_stage_fields(job))


def scrape_requests(handed: Sequence[tuple[HandOut, str | None]]) -> EnqueueScrapes:
    """Queue several fetches, each with what its trace goes on from."""
    return EnqueueScrapes(
        hand_outs=[ScrapeHandOut(url=job.url, traceparent=told, **_stage_fields(job)) for job, told in handed]
    )


def chunk_request(job: HandOut, page: Page) -> ChunkRequest:
    """Cut a page's text, here and now.

    Raises
    ------
    pydantic.ValidationError
        If the kept page is not a `ScrapeResult`.
    """
    scraped = page.scraped
    plain = scraped.content_type == "text/plain"
    return ChunkRequest(
        text=scraped.content,
        format=TextFormat.TEXT if plain else TextFormat.MARKDOWN,
        pages=scraped.pages,
        job_id=str(job.job_id),
        **job.chunking,
    )


def chunk_stats(result: ChunkResult, page: Page) -> dict[str, Any]:
    """Return what the job keeps of chunking: counts, and what the page says of itself.

    Raises
    ------
    pydantic.ValidationError
        If the kept page is not a `ScrapeResult`.
    """
    document = page.scraped.model_dump(mode="json", include=_DOCUMENT_FIELDS)
    return {"chunks": len(result.chunks), "tokens": result.token_total, "document": _kept(document)}


def _kept(document: dict[str, Any]) -> dict[str, Any]:
    """Return what a page says of itself as a corpus keeps it: an author of a megabyte is no reason to lose the page."""
    kept = dict(document)
    for name, most in _LONGEST.items():
        value = document.get(name)
        if isinstance(value, str):
            # of a URL a part is another URL
            kept[name] = None if name.endswith("_url") and len(value) > most else storable(value[:most])
    return kept


def embed_request(job: HandOut, _page: Page) -> EnqueueEmbed:
    """Queue the embedding of chunks that the orchestrator keeps.

    Raises
    ------
    pydantic.ValidationError
        If what the page says of itself is more than a corpus keeps of a document.
    """
    return EnqueueEmbed(**_embed_fields(job))


def embed_requests(handed: Sequence[tuple[HandOut, str | None]]) -> EnqueueEmbeds:
    """Queue the embedding of several jobs' chunks, each with what its trace goes on from.

    Raises
    ------
    pydantic.ValidationError
        As `embed_request` does, of any of them.
    """
    return EnqueueEmbeds(hand_outs=[EmbedHandOut(traceparent=told, **_embed_fields(job)) for job, told in handed])


def _embed_fields(job: HandOut) -> dict[str, Any]:
    return {
        "corpus_name": job.corpus_name,
        "document": Document.model_validate({**_kept(job.document), "url": job.url, "metadata": job.metadata}),
        "content_ref": job.content_ref,
        **_stage_fields(job),
    }


def _stage_fields(job: HandOut) -> dict[str, Any]:
    return {
        "job_id": str(job.job_id),
        "attempt_id": str(job.attempt_id),
        "owner": job.owner,
        "as_of": job.as_of,
        "submitted_at": job.submitted_at,
    }
