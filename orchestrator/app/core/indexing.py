"""An owner's own jobs, one at a time: making something searchable, and seeing how far it is. A part of the façade."""

from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from app.core.content.store import ContentStore
from app.core.errors import JobNotFoundError
from app.core.jobs import reading, stats, submission, uploads
from app.core.jobs.filters import JobFilter
from app.core.jobs.roots import SUBMIT_SPAN
from ml_shared.contracts.jobs import JobAccepted, JobPage, JobRequest, JobStatus, JobView
from ml_shared.contracts.stats import StatsView
from ml_shared.contracts.uploads import DocumentOptions
from ml_shared.contracts.values import uuid_of
from ml_shared.names import Operation
from ml_shared.telemetry import attributes
from ml_shared.telemetry.spans import Value, work_span
from ml_shared.telemetry.urls import told_url

if TYPE_CHECKING:
    from app.config import Settings


class Indexing:
    """The use cases of single jobs and of their lists."""

    def __init__(self, pool: asyncpg.Pool, content: ContentStore, settings: "Settings") -> None:
        self._pool = pool
        self._content = content
        self._settings = settings
        self._upload_room = uploads.UploadRoom(pool, content)

    async def submit(
        self, owner: str, request: JobRequest, *, traceparent: str | None, idempotency_key: str | None = None
    ) -> JobAccepted:
        """Take in a job. See `app.core.jobs.submission.submit`."""
        known: dict[str, Value] = {
            attributes.JOB_URL: told_url(request.url),
            attributes.CORPUS_NAME: request.corpus_name,
            attributes.OPERATION: Operation.WRITE.value,
        }
        with work_span(SUBMIT_SPAN, attributes=known) as span:
            accepted = await submission.submit(
                self._pool,
                owner,
                request,
                traceparent=traceparent,
                idempotency_key=idempotency_key,
                max_open_jobs=self._settings.MAX_OPEN_JOBS_PER_OWNER,
            )
            span.set_attribute(attributes.JOB_ID, accepted.job_id)
            return accepted

    @property
    def max_upload_bytes(self) -> int:
        """Longest document that is taken in."""
        return self._settings.MAX_UPLOAD_BYTES

    async def submit_document(
        self,
        owner: str,
        asked: DocumentOptions,
        body: bytes,
        content_type: str,
        *,
        traceparent: str | None,
        idempotency_key: str | None,
    ) -> JobAccepted:
        """Take in a document. See `app.core.jobs.uploads.submit_document`."""
        known: dict[str, Value] = {
            attributes.JOB_URL: told_url(asked.document),
            attributes.CORPUS_NAME: asked.corpus_name,
            attributes.OPERATION: Operation.WRITE.value,
        }
        with work_span(SUBMIT_SPAN, attributes=known) as span:
            accepted = await uploads.submit_document(
                self._pool,
                self._content,
                self._upload_room,
                owner,
                asked,
                body,
                content_type,
                traceparent=traceparent,
                idempotency_key=idempotency_key,
                max_open_jobs=self._settings.MAX_OPEN_JOBS_PER_OWNER,
                most_kept_bytes=self._settings.HIGH_WATER_CONTENT_BYTES,
            )
            span.set_attribute(attributes.JOB_ID, accepted.job_id)
            return accepted

    async def job(self, owner: str, job_id: str) -> JobView:
        """Return an owner's job.

        Raises
        ------
        JobNotFoundError
            If there is none, or it is another owner's.
        """
        return await reading.find(self._pool, owner, known_job(job_id))

    async def status(self, owner: str, job_id: str) -> JobStatus:
        """Return where an owner's job stands.

        Raises
        ------
        JobNotFoundError
            If there is none, or it is another owner's.
        """
        return await reading.find_status(self._pool, owner, known_job(job_id))

    async def jobs(self, owner: str, wanted: JobFilter, *, limit: int, cursor: str | None) -> JobPage:
        """Return a page of an owner's jobs, newest first."""
        return await reading.find_page(self._pool, owner, wanted, limit=limit, cursor=cursor)

    async def stats(self, owner: str, hours: int) -> StatsView:
        """Return how an owner's jobs stand, and what became of them in the last hours."""
        return await stats.read(self._pool, owner, hours)


def known_job(job_id: str) -> UUID:
    """Return an id as the database has it.

    Raises
    ------
    JobNotFoundError
        If it is none, so that there is no such job.
    """
    found = uuid_of(job_id)
    if found is None:
        raise JobNotFoundError
    return found
