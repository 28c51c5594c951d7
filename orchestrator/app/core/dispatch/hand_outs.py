"""A job on its way to a stage, and what is sent there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from ml_shared.contracts.chunking import ChunkRequest, ChunkResult, TextFormat
from ml_shared.contracts.embedding import (
    Document,
    EmbedAction,
    EmbedHandOut,
    EnqueueEmbed,
    EnqueueEmbeds,
)
from ml_shared.contracts.jobs import JobKind
from ml_shared.contracts.looks import described, kept
from ml_shared.contracts.scraping import EnqueueScrape, EnqueueScrapes, Render, ScrapeHandOut, ScrapeResult
from ml_shared.contracts.values import uuid_of
from ml_shared.names import Stage

_NO_ATTEMPT: Final = UUID(int=0)
TOUCH: Final = "touch"
# what a claim calls a job whose document is to be touched, whatever its kind
KNOWN_KINDS: Final = (*(kind.value for kind in JobKind), TOUCH)
# that this version can hand out: while a fleet is upgraded, kinds that come to be are left to whoever knows them


@dataclass(frozen=True, slots=True)
class HandOut:
    """A job that this pass has claimed for a stage, under a new attempt.

    Attributes
    ----------
    attempts
        The number of this attempt, where the claim has started it.
    again
        Whether it was handed out to this stage before. Then it goes alone: the worker that it was with may have died of it.
    kind
        What the job is for: a page, or links to read.
    known
        What the page was known by when it was last indexed, if it was and that counts.
    unchanged
        Whether the page was found to be as it was known.
    chunking_hash
        Its settings of chunking, in one word.
    upload
        What was uploaded, of a job of that kind: its `ref` and its `type`.
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
    again: bool = False
    render: Render = Render.NEVER
    kind: str = JobKind.PAGE
    known: dict[str, Any] | None = None
    unchanged: bool = False
    chunking_hash: str | None = None
    upload: dict[str, Any] | None = None


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
    return EnqueueScrape(**_scrape_fields(job))


def scrape_requests(handed: Sequence[tuple[HandOut, str | None]]) -> EnqueueScrapes:
    """Queue several fetches, each with what its trace goes on from."""
    return EnqueueScrapes(
        hand_outs=[ScrapeHandOut(traceparent=told, alone=job.again, **_scrape_fields(job)) for job, told in handed]
    )


def _scrape_fields(job: HandOut) -> dict[str, Any]:
    if job.upload is not None:
        uploaded = {"content_ref": job.upload["ref"], "upload_type": job.upload["type"]}
        return {"url": job.url, **uploaded, **_stage_fields(job)}
    # what a site says of a page as it sends it is not what a browser makes of it: that is known by its text alone
    known = (job.known or {}) if job.render is Render.NEVER else {}
    etag = known.get("etag")
    return {
        "url": job.url,
        "render": job.render,
        "if_none_match": etag,
        "if_modified_since": None if etag else known.get("last_modified"),
        **({"purpose": JobKind.LINKS.value} if job.kind == JobKind.LINKS else {}),
        **_stage_fields(job),
    }


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
        repeat_table_header=True,
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
    return {"chunks": len(result.chunks), "tokens": result.token_total, "document": described(page.scraped)}


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
    return EnqueueEmbeds(
        hand_outs=[EmbedHandOut(traceparent=told, alone=job.again, **_embed_fields(job)) for job, told in handed]
    )


def _embed_fields(job: HandOut) -> dict[str, Any]:
    action = _action_of(job)
    document = {**kept(job.document), "url": job.url, "metadata": job.metadata}
    if action is EmbedAction.TOUCH:
        document["content_hash"] = (job.known or {}).get("content_hash")
    return {
        "action": action,
        "corpus_name": job.corpus_name,
        "document": Document.model_validate(document),
        "chunking_hash": None if action is EmbedAction.REMOVE else job.chunking_hash,
        "content_ref": job.content_ref if action is EmbedAction.INDEX else None,
        **_stage_fields(job),
    }


def _action_of(job: HandOut) -> EmbedAction:
    if job.kind == JobKind.REMOVE:
        return EmbedAction.REMOVE
    return EmbedAction.TOUCH if job.unchanged else EmbedAction.INDEX


def _stage_fields(job: HandOut) -> dict[str, Any]:
    return {
        "job_id": str(job.job_id),
        "attempt_id": str(job.attempt_id),
        "owner": job.owner,
        "as_of": job.as_of,
        "submitted_at": job.submitted_at,
    }
