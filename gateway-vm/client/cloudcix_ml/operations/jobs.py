"""Jobs: pages on their way into a corpus."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from cloudcix_ml.core.effects import Operation, Stream
from cloudcix_ml.core.exchange import call
from cloudcix_ml.core.session import Session
from cloudcix_ml.models.events import JobEvent
from cloudcix_ml.models.jobs import (
    ChunkingOptions,
    Job,
    JobAccepted,
    JobPage,
    JobRequest,
    JobRetried,
    JobStatus,
    Render,
)
from cloudcix_ml.models.stats import Stats
from cloudcix_ml.operations.events import told
from cloudcix_ml.operations.following import Subject, followed, waited
from cloudcix_ml.operations.requests import ORCHESTRATOR, create, get, listed, path_of, post

JOBS = f"{ORCHESTRATOR}/jobs"


def submit(
    session: Session,
    url: str,
    *,
    corpus_name: str = "default",
    metadata: Mapping[str, Any] | None = None,
    chunking: ChunkingOptions | None = None,
    render: Render | str | None = None,
    force: bool | None = None,
    idempotency_key: str | None = None,
) -> Operation[JobAccepted]:
    """Have a page indexed, and return its job at once.

    Parameters
    ----------
    url
        The page's address.
    corpus_name
        What it is put into; made if there is none of that name.
    metadata
        What searches can filter by; at most 64 keys, 16 KiB.
    chunking
        How its text is cut.
    render
        Whether a browser runs the page's scripts first: `auto` does where there is no text without.
    force
        Fetch and index it whatever is known of it.
    idempotency_key
        The same key gives the same job for a day; one is made for each call unless given.
    """
    body = JobRequest.of(
        {
            "url": url,
            "corpus_name": corpus_name,
            "metadata": metadata,
            "chunking": chunking,
            "render": render,
            "force": force,
        }
    )
    return (yield from call(session, create(JOBS, body, idempotency_key), JobAccepted))


def read(session: Session, job_id: str) -> Operation[Job]:
    """Return a job as it stands."""
    return (yield from call(session, get(path_of(JOBS, job_id)), Job))


def list_all(
    session: Session,
    *,
    status: JobStatus | str | None = None,
    corpus_name: str | None = None,
    batch_id: str | None = None,
    created_after: datetime | None = None,
    ended_after: datetime | None = None,
    host: str | None = None,
    url_prefix: str | None = None,
    error_code: str | None = None,
    page_size: int | None = None,
) -> Stream[Job]:
    """Go through your jobs, newest first; each page is asked for when it is come to."""
    return listed(
        session,
        JOBS,
        JobPage,
        page_size,
        status=status,
        corpus_name=corpus_name,
        batch_id=batch_id,
        created_after=created_after,
        ended_after=ended_after,
        host=host,
        url_prefix=url_prefix,
        error_code=error_code,
    )


def stats(session: Session, *, hours: int | None = None) -> Operation[Stats]:
    """Return what was done in the last hours, what failed, and what waits for what."""
    return (yield from call(session, get(f"{ORCHESTRATOR}/stats", hours=hours), Stats))


def cancel(session: Session, job_id: str) -> Operation[JobAccepted]:
    """Cancel a job; one that is cancelled already stays so."""
    return (yield from call(session, post(path_of(JOBS, job_id, "cancel")), JobAccepted))


def retry(session: Session, job_id: str) -> Operation[JobRetried]:
    """Try a failed or cancelled job again: a new job, the same one however often it is asked for."""
    return (yield from call(session, post(path_of(JOBS, job_id, "retry")), JobRetried))


def subject(job_id: str) -> Subject[Job]:
    """Return what is followed of a job."""
    return Subject(f"job {job_id}", path_of(JOBS, job_id), path_of(JOBS, job_id, "events"), Job, lambda job: job.ended)


def events(
    session: Session, job_id: str, *, after: int | None = None, timeout_seconds: float | None = None
) -> Stream[JobEvent]:
    """Hand out what happens to a job, event after event, up to its end.

    Parameters
    ----------
    after
        The number of the last event that you have; those behind it are handed out. All of them unless given.

    Raises
    ------
    WaitTimeoutError
        If it has not ended in this time; it goes on.
    """
    one = subject(job_id)
    return told(session, one.events_path, JobEvent, one.name, timeout_seconds=timeout_seconds, after=after)


def follow(session: Session, job_id: str, *, timeout_seconds: float | None = None) -> Stream[Job]:
    """Hand out a job whenever it has moved, up to its end.

    Raises
    ------
    WaitTimeoutError
        If it has not ended in this time; it goes on.
    """
    return followed(session, subject(job_id), timeout_seconds)


def wait(session: Session, job_id: str, *, timeout_seconds: float | None = None) -> Operation[Job]:
    """Return a job once it has ended, well or not.

    Raises
    ------
    WaitTimeoutError
        If it has not ended in this time; it goes on.
    """
    return (yield from waited(session, subject(job_id), timeout_seconds))
