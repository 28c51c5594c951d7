"""Indexing: a page or a file, from where it is to where it is found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from cloudcix_ml.core.effects import Operation
from cloudcix_ml.core.session import Session
from cloudcix_ml.errors import JobFailedError
from cloudcix_ml.models.jobs import ChunkingOptions, Job, JobStatus, Render
from cloudcix_ml.operations import jobs, uploads


def index(
    session: Session,
    url_or_file: str | Path | BinaryIO,
    *,
    corpus_name: str = "default",
    metadata: Mapping[str, Any] | None = None,
    chunking: ChunkingOptions | None = None,
    render: Render | str | None = None,
    force: bool | None = None,
    timeout_seconds: float | None = None,
    idempotency_key: str | None = None,
) -> Operation[Job]:
    """Index a page or a file, and return its job once it can be found.

    Parameters
    ----------
    url_or_file
        A URL, the path of a file, or a file that is open for reading bytes.
    render
        Of a page: whether a browser runs its scripts first; `auto` does where there is no text without.
    force
        Index it whatever is known of it.
    timeout_seconds
        How long to wait; for ever unless given.

    Raises
    ------
    JobFailedError
        If the job ended otherwise than well.
    WaitTimeoutError
        If it has not ended in this time; it goes on.
    """
    if isinstance(url_or_file, str) and "://" in url_or_file:
        accepted = yield from jobs.submit(
            session,
            url_or_file,
            corpus_name=corpus_name,
            metadata=metadata,
            chunking=chunking,
            render=render,
            force=force,
            idempotency_key=idempotency_key,
        )
    else:
        accepted = yield from uploads.upload(
            session,
            url_or_file,
            corpus_name=corpus_name,
            metadata=metadata,
            chunking=chunking,
            force=force,
            idempotency_key=idempotency_key,
        )
    job = yield from jobs.wait(session, accepted.job_id, timeout_seconds=timeout_seconds)
    if job.status != JobStatus.COMPLETED:
        raise JobFailedError(job)
    return job
