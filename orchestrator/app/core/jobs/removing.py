"""Removing documents whose page is gone: leased, fenced work of the last stage, which is where such a job begins."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app.core.dispatch.pipeline import LAST
from app.core.dispatch.placement import waiting_status
from app.core.jobs.ids import new_ids
from app.core.jobs.inserting import NewJob
from app.core.jobs.roots import open_roots
from app.core.metrics import JOBS_SUBMITTED
from ml_shared.web.urls import host_of, normalise_url

_INSERT = "SELECT insert_removals($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"


async def remove_documents(
    connection: Any,
    owner: str,
    corpus_name: str,
    urls: Sequence[str],
    crawl_id: UUID | None,
    run: int | None,
    *,
    as_of: datetime | None = None,
) -> list[UUID]:
    """Take in a job for each document of these URLs that is to go from a corpus, part of the caller's transaction.

    A document that is looked at later than `as_of` stays, and so does one that was since: what is removed is what stood there
    then.
    Jobs like these are taken in however many unfinished ones their owner has, and count among them.

    Parameters
    ----------
    urls
        As many as the caller wants in one statement: some hundreds. Of one document one is taken.
    crawl_id, run
        The crawl's run that found the pages gone, if one did.
    as_of
        When it was decided that they go, if that was not now: what was submitted since can still bring them back.

    Returns
    -------
    list of UUID
        The jobs, in the order of their documents' first URLs. The last stage is to be nudged once they are committed.

    Raises
    ------
    InvalidUrlError
        If a URL is none.
    """
    documents = list(dict.fromkeys(normalise_url(url) for url in urls))
    ids = new_ids(len(documents))
    async with open_roots(list(zip(ids, documents, strict=True)), corpus_name) as traceparents:
        jobs = [
            NewJob(job_id, url, host_of(url), traceparent)
            for job_id, url, traceparent in zip(ids, documents, traceparents, strict=True)
        ]
        await insert_removals(connection, owner, corpus_name, jobs, crawl_id=crawl_id, run=run, as_of=as_of)
    return ids


async def insert_removals(
    connection: Any,
    owner: str,
    corpus_name: str,
    jobs: Sequence[NewJob],
    *,
    crawl_id: UUID | None,
    run: int | None,
    as_of: datetime | None,
) -> None:
    """Insert jobs that remove the documents of their URLs as they stood then, ready in the last stage."""
    await connection.execute(
        _INSERT,
        *(owner, corpus_name, LAST.stage, waiting_status(LAST), crawl_id, run),
        [job.retry_of for job in jobs],
        [job.id for job in jobs],
        [job.document_url or job.url for job in jobs],
        [job.host for job in jobs],
        [job.traceparent for job in jobs],
        as_of,
    )
    JOBS_SUBMITTED.inc(len(jobs))
