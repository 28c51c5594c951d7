"""Batches: many pages at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from cloudcix_ml.core.effects import Operation, Stream
from cloudcix_ml.core.exchange import call
from cloudcix_ml.core.session import Session
from cloudcix_ml.models.jobs import Batch, BatchAccepted, BatchPage, BatchRequest, BatchRetried, ChunkingOptions, Render
from cloudcix_ml.operations.events import told
from cloudcix_ml.operations.following import Subject, followed, waited
from cloudcix_ml.operations.requests import ORCHESTRATOR, create, get, listed, path_of, post

BATCHES = f"{ORCHESTRATOR}/batches"


def submit(
    session: Session,
    urls: Sequence[str],
    *,
    corpus_name: str = "default",
    metadata: Mapping[str, Any] | None = None,
    chunking: ChunkingOptions | None = None,
    render: Render | str | None = None,
    force: bool | None = None,
    idempotency_key: str | None = None,
) -> Operation[BatchAccepted]:
    """Have up to 1,000 pages indexed, all or none; a URL that stands there twice is one job."""
    body = BatchRequest.of(
        {
            "urls": list(urls),
            "corpus_name": corpus_name,
            "metadata": metadata,
            "chunking": chunking,
            "render": render,
            "force": force,
        }
    )
    return (yield from call(session, create(f"{ORCHESTRATOR}/jobs/batch", body, idempotency_key), BatchAccepted))


def read(session: Session, batch_id: str) -> Operation[Batch]:
    """Return a batch as it stands: counts, progress, estimated end."""
    return (yield from call(session, get(path_of(BATCHES, batch_id)), Batch))


def list_all(session: Session, *, page_size: int | None = None) -> Stream[Batch]:
    """Go through your batches, newest first."""
    return listed(session, BATCHES, BatchPage, page_size)


def cancel(session: Session, batch_id: str) -> Operation[Batch]:
    """Cancel what of a batch has not ended."""
    return (yield from call(session, post(path_of(BATCHES, batch_id, "cancel")), Batch))


def retry(session: Session, batch_id: str) -> Operation[BatchRetried]:
    """Try again what of a batch has failed: a new batch."""
    return (yield from call(session, post(path_of(BATCHES, batch_id, "retry")), BatchRetried))


def subject(batch_id: str) -> Subject[Batch]:
    """Return what is followed of a batch."""
    path = path_of(BATCHES, batch_id)
    return Subject(f"batch {batch_id}", path, f"{path}/events", Batch, lambda batch: batch.ended)


def events(session: Session, batch_id: str, *, timeout_seconds: float | None = None) -> Stream[Batch]:
    """Hand out a batch's counts as its stream of events tells them: whole snapshots, at most one a second, up to its end.

    Raises
    ------
    WaitTimeoutError
        If it has not ended in this time; it goes on.
    """
    one = subject(batch_id)
    return told(session, one.events_path, Batch, one.name, timeout_seconds=timeout_seconds)


def follow(session: Session, batch_id: str, *, timeout_seconds: float | None = None) -> Stream[Batch]:
    """Hand out a batch whenever it has moved, up to its end."""
    return followed(session, subject(batch_id), timeout_seconds)


def wait(session: Session, batch_id: str, *, timeout_seconds: float | None = None) -> Operation[Batch]:
    """Return a batch once all of its jobs have ended.

    Raises
    ------
    WaitTimeoutError
        If they have not in this time; they go on.
    """
    return (yield from waited(session, subject(batch_id), timeout_seconds))
