"""What one does to jobs that are there, and to many at once: a part of the façade, as a table of contents."""

from typing import Final

import asyncpg

from app.core import metrics
from app.core.content.store import ContentStore
from app.core.errors import BatchNotFoundError, JobNotFoundError
from app.core.jobs import batches, cancelling, retrying
from app.core.jobs.uploads import forget_document
from ml_shared.contracts.batches import BatchAccepted, BatchPage, BatchRequest, BatchRetried, BatchView
from ml_shared.contracts.jobs import JobAccepted, JobRetried, JobStatus
from ml_shared.contracts.values import uuid_of
from ml_shared.names import Operation
from ml_shared.telemetry import attributes
from ml_shared.telemetry.spans import Value, work_span

SUBMIT_BATCH_SPAN: Final = "batch.submit"
CANCEL_SPAN: Final = "job.cancel"
CANCEL_BATCH_SPAN: Final = "batch.cancel"
RETRY_BATCH_SPAN: Final = "batch.retry"


class Steering:
    """The use cases of batches, cancelling and trying again."""

    def __init__(self, pool: asyncpg.Pool, content: ContentStore, *, max_open_jobs: int) -> None:
        self._pool = pool
        self._content = content
        self._max_open_jobs = max_open_jobs

    async def submit_batch(
        self, owner: str, request: BatchRequest, *, idempotency_key: str | None
    ) -> tuple[BatchAccepted, bool]:
        """Take in a batch. See `app.core.jobs.batches.submit`."""
        known: dict[str, Value] = {
            attributes.CORPUS_NAME: request.corpus_name,
            attributes.OPERATION: Operation.WRITE.value,
        }
        with work_span(SUBMIT_BATCH_SPAN, attributes=known):
            return await batches.submit(
                self._pool, owner, request, idempotency_key=idempotency_key, max_open_jobs=self._max_open_jobs
            )

    async def batch(self, owner: str, batch_id: str) -> BatchView:
        """Return an owner's batch.

        Raises
        ------
        BatchNotFoundError
            If there is none, or it is another owner's.
        """
        found = uuid_of(batch_id)
        if found is None:
            raise BatchNotFoundError
        return await batches.find(self._pool, owner, found)

    async def batches(self, owner: str, *, limit: int, cursor: str | None) -> BatchPage:
        """Return a page of an owner's batches, newest first."""
        return await batches.find_page(self._pool, owner, limit=limit, cursor=cursor)

    async def cancel(self, owner: str, job_id: str) -> JobAccepted:
        """Cancel a job. See `app.core.jobs.cancelling.cancel`."""
        found = uuid_of(job_id)
        if found is None:
            raise JobNotFoundError
        with work_span(
            CANCEL_SPAN, attributes={attributes.JOB_ID: job_id, attributes.OPERATION: Operation.WRITE.value}
        ):
            metrics.count_cancelled(int(await cancelling.cancel(self._pool, owner, found)))
            await forget_document(self._content, found)
        return JobAccepted(job_id=str(found), status=JobStatus.CANCELLED)

    async def cancel_batch(self, owner: str, batch_id: str) -> BatchView:
        """Cancel what is unfinished of a batch. See `app.core.jobs.cancelling.cancel_batch`."""
        found = uuid_of(batch_id)
        if found is None:
            raise BatchNotFoundError
        with work_span(CANCEL_BATCH_SPAN, attributes={attributes.OPERATION: Operation.WRITE.value}):
            metrics.count_cancelled(await cancelling.cancel_batch(self._pool, owner, found))
            return await batches.find(self._pool, owner, found)

    async def go_on_cancelling(self) -> int:
        """Cancel what is left of batches that are to be cancelled; return how many jobs that were."""
        cancelled = await cancelling.go_on(self._pool)
        metrics.count_cancelled(cancelled)
        return cancelled

    async def retry(self, owner: str, job_id: str, *, traceparent: str | None) -> tuple[JobRetried, bool]:
        """Try a job again. See `app.core.jobs.retrying.retry`."""
        found = uuid_of(job_id)
        if found is None:
            raise JobNotFoundError
        return await retrying.retry(
            self._pool, owner, found, traceparent=traceparent, max_open_jobs=self._max_open_jobs
        )

    async def retry_batch(self, owner: str, batch_id: str) -> tuple[BatchRetried, bool]:
        """Try again what failed of a batch. See `app.core.jobs.retrying.retry_batch`."""
        found = uuid_of(batch_id)
        if found is None:
            raise BatchNotFoundError
        with work_span(RETRY_BATCH_SPAN, attributes={attributes.OPERATION: Operation.WRITE.value}):
            return await retrying.retry_batch(self._pool, owner, found, max_open_jobs=self._max_open_jobs)
