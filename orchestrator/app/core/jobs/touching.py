"""Touching documents whose page need not be asked for: leased, fenced work of the last stage, which is where such a job begins."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.core.dispatch.pipeline import LAST
from app.core.dispatch.placement import waiting_status
from app.core.jobs.inserting import Asked, NewJob, OfRun
from app.core.metrics import JOBS_SUBMITTED

_INSERT = "SELECT insert_touches($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"


async def insert_touches(
    connection: Any, owner: str, jobs: Sequence[NewJob], asked: Asked, of_run: OfRun
) -> frozenset[UUID]:
    """Take in jobs that touch the documents of their URLs as their pages were known at the last look.

    A part of the caller's transaction. A document that is not there any more, or was made of another text, with another model or
    under other settings, is made anew: its page is fetched after all.

    Parameters
    ----------
    jobs
        Some hundreds, with URLs in their normal form.

    Returns
    -------
    frozenset of UUID
        Those that were taken in: of a page of which nothing is known there is nothing to touch.
    """
    rows = await connection.fetch(
        _INSERT,
        *(owner, asked.corpus_name, asked.metadata, asked.chunking, asked.render, LAST.stage, waiting_status(LAST)),
        *(of_run.crawl_id, of_run.run, [job.id for job in jobs], [job.url for job in jobs]),
        *([job.host for job in jobs], [job.traceparent for job in jobs]),
    )
    taken = frozenset(row[0] for row in rows)
    JOBS_SUBMITTED.inc(len(taken))
    return taken
