"""Uploads: documents that come with the request. Their bytes are kept until the scraper has read them.

They pass the same lanes as pages, of hosts that are none: a job waits its fair turn there, and nobody has to be polite. They
are few, since a lane stays; each hands out one upload at a time, and there are more than the scraper works on at once.
"""

import asyncio
import hashlib
import logging
import time
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel

from app.core.content.store import ContentStore, purge, ref_of
from app.core.dispatch.pipeline import FIRST
from app.core.errors import UploadsFullError
from app.core.jobs.ids import new_id
from app.core.jobs.submission import insert_job
from ml_shared.contracts.jobs import JobAccepted, JobKind, JobStatus
from ml_shared.contracts.scraping import Render
from ml_shared.contracts.uploads import DocumentOptions
from ml_shared.errors import ServiceError
from ml_shared.web.urls import document_url

ROUTE: Final = "documents"
LANES: Final = 64
KEPT_SHARE: Final = 0.5
# of what may be kept before new pages wait: uploads alone must not fill it, for what they wait for would wait for room
RETRY_AFTER_SECONDS: Final = 30.0
PURGE_REST_SECONDS: Final = 5.0
# after a look for what can be let go that made no room: it goes by all that is kept

logger = logging.getLogger(__name__)


class UploadRoom:
    """Room for uploads beside what pages need; one a process.

    What ended jobs left behind stays as long as there is room, and no longer: a job that has ended holds up no upload.
    """

    def __init__(self, pool: asyncpg.Pool, content: ContentStore) -> None:
        self._pool = pool
        self._content = content
        self._purging = asyncio.Lock()
        self._rest_until = 0.0

    async def check(self, more_bytes: int, *, most_kept_bytes: int) -> None:
        """Make sure that so many bytes more may be kept.

        Raises
        ------
        UploadsFullError
            If it can't be, for what unfinished jobs need.
        """
        most = int(most_kept_bytes * KEPT_SHARE)
        if await self._content.total_bytes() + more_bytes <= most:
            return
        async with self._purging:
            over = await self._content.total_bytes() + more_bytes - most
            if over > 0 and time.monotonic() >= self._rest_until:
                await purge(self._pool, self._content, timedelta(0), enough_bytes=over)
                over = await self._content.total_bytes() + more_bytes - most
                self._rest_until = time.monotonic() + PURGE_REST_SECONDS if over > 0 else 0.0
        if over > 0:
            raise UploadsFullError(
                "so much is being worked on that an upload has to wait", retry_after_seconds=RETRY_AFTER_SECONDS
            )


class _Said(BaseModel):
    """What tells one request from another under an `Idempotency-Key`."""

    asked: DocumentOptions
    content_type: str
    sha256: str


async def submit_document(
    pool: asyncpg.Pool,
    content: ContentStore,
    room: UploadRoom,
    owner: str,
    asked: DocumentOptions,
    body: bytes,
    content_type: str,
    *,
    traceparent: str | None,
    idempotency_key: str | None,
    max_open_jobs: int,
    most_kept_bytes: int,
) -> JobAccepted:
    """Keep a document's bytes, and insert the job that is to read them.

    Of a request that is refused, or is a repeat, the bytes are forgotten again; should that not come about, they go with what
    has no job.

    Parameters
    ----------
    most_kept_bytes
        Bytes of content at which new pages wait.

    Raises
    ------
    UploadsFullError
        If half as much is kept already, of unfinished jobs.
    TooLargeError
        If the document is longer than what is kept.
    TooManyOpenJobsError, IdempotencyKeyReusedError, IdempotencyInProgressError
        As `app.core.jobs.submission.submit` does.
    """
    await room.check(len(body), most_kept_bytes=most_kept_bytes)
    job_id = new_id()
    stored = await content.put(owner, job_id, job_id, FIRST.stage, body)  # an attempt of its own, which no stage has
    accepted = JobAccepted(job_id=str(job_id), status=JobStatus.QUEUED)
    said = _Said(asked=asked, content_type=content_type, sha256=hashlib.sha256(body).hexdigest())
    arguments = (
        *(owner, job_id, asked.document, f"upload:{job_id.int % LANES}", asked.corpus_name, asked.metadata),
        *(asked.chunking.model_dump(mode="json"), Render.NEVER, traceparent, FIRST.stage, FIRST.by_host, max_open_jobs),
        *(document_url(asked.document), asked.force),
        *(JobKind.UPLOAD, {"ref": stored.content_ref, "type": content_type}),
    )
    answer = None
    try:
        answer = await insert_job(pool, owner, said, accepted, arguments, ROUTE, idempotency_key, max_open_jobs)
    finally:
        if answer is None or answer.job_id != accepted.job_id:
            await content.forget([stored.content_ref])
    return answer


async def forget_document(content: ContentStore, job_id: UUID) -> None:
    """Forget the bytes of an upload whose job was cancelled; of another job there are none.

    Nothing needs them: an upload is not tried again but sent again.
    """
    try:
        await content.forget([ref_of(job_id, job_id, FIRST.stage)])
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ServiceError) as error:
        # the job has ended all the same, which is what the caller asks for; they go with what is purged
        logger.warning("upload_not_forgotten", extra={"job_id": str(job_id), "reason": type(error).__name__})
