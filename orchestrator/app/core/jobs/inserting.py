"""Taking in several jobs of one owner: one statement, however many, and all of them or none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self
from uuid import UUID

from app.core.dispatch.pipeline import FIRST
from app.core.jobs.submission import check_taken
from app.core.metrics import JOBS_SUBMITTED
from ml_shared.contracts.jobs import JobOptions
from ml_shared.contracts.scraping import Render

# The tags of all of them are reserved at once. Their lanes in the order of hosts, as everybody locks several.
_INSERT: Final = """
WITH given AS MATERIALIZED (
    SELECT * FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $15::text[], $18::text[])
        WITH ORDINALITY AS given(id, url, host, traceparent, retry_of, document_url, kind, nth)
), reserved AS (
    INSERT INTO owners AS o (owner, last_tag, open_jobs)
    SELECT $1, (SELECT coalesce(max(virtual_time), 0) FROM stages WHERE stage = $12) + count(*), count(*)
    FROM given HAVING count(*) <= $14
    ON CONFLICT (owner) DO UPDATE SET
        last_tag = GREATEST(o.last_tag, (SELECT coalesce(max(virtual_time), 0) FROM stages WHERE stage = $12))
                   + excluded.open_jobs / o.weight,
        open_jobs = o.open_jobs + excluded.open_jobs
    WHERE o.open_jobs + excluded.open_jobs <= $14
    RETURNING last_tag - (SELECT count(*) FROM given) / weight AS before, weight
), batch AS (
    INSERT INTO batches (owner, id, corpus_name, retry_of)
    SELECT $1, $7, $9, $8 FROM reserved WHERE $7::uuid IS NOT NULL
), job AS (
    INSERT INTO jobs (
        owner, id, url, document_url, host, corpus_name, metadata, chunking, render, traceparent, batch_id, retry_of,
        stage, placement, tag, afresh, kind, crawl_id, run
    )
    SELECT $1, given.id, given.url, NULLIF(given.document_url, given.url), given.host, $9, $10, $11, $17,
        given.traceparent, $7, given.retry_of, $12, CASE WHEN $13 THEN 'parked' ELSE 'ready' END, before + nth / weight, $16,
        given.kind, $19, $20
    FROM given, reserved
    RETURNING host, tag
), lane AS (
    INSERT INTO lanes (host, head_tag) SELECT host, min(tag) FROM job WHERE $13 GROUP BY host ORDER BY host COLLATE "C"
    ON CONFLICT (host) DO UPDATE SET
        occupied = true,
        head_tag = CASE WHEN lanes.occupied THEN LEAST(lanes.head_tag, excluded.head_tag) ELSE excluded.head_tag END
)
SELECT count(*) FROM reserved
"""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of each of several jobs alike, as their rows have it."""

    corpus_name: str
    metadata: dict[str, Any]
    chunking: dict[str, Any]
    render: Render = Render.NEVER
    force: bool = False

    @classmethod
    def of(cls, options: JobOptions) -> Self:
        """Return what a request asks for."""
        chunking = options.chunking.model_dump(mode="json")
        return cls(options.corpus_name, options.metadata, chunking, options.render, options.force)


@dataclass(slots=True)
class NewJob:
    """A job that is to be taken in. Not frozen: that takes three times as long to make, and there may be a thousand.

    Attributes
    ----------
    host
        What politeness counts by.
    traceparent
        The root of its trace.
    retry_of
        The ended job that it is tried again for.
    document_url
        The URL's normal form, by which its document is known.
    kind
        What it is for: a page, or links to read.
    """

    id: UUID
    url: str
    host: str
    traceparent: str | None = None
    retry_of: UUID | None = None
    document_url: str | None = None
    kind: str = "page"


@dataclass(frozen=True, slots=True)
class OfRun:
    """The run of a crawl that jobs are taken in for."""

    crawl_id: UUID
    run: int


@dataclass(frozen=True, slots=True)
class NewBatch:
    """The batch that jobs are taken in as."""

    id: UUID
    retry_of: UUID | None = None


async def insert_jobs(
    connection: Any,
    owner: str,
    jobs: Sequence[NewJob],
    asked: Asked,
    *,
    max_open_jobs: int,
    batch: NewBatch | None = None,
    of_run: OfRun | None = None,
) -> None:
    """Insert jobs, runnable at once, in their order.

    Parameters
    ----------
    connection
        A connection, or a pool where this is all that is done.

    Raises
    ------
    TooManyOpenJobsError
        If the owner would have more than `max_open_jobs` unfinished ones; then none is inserted.
    """
    taken = await connection.fetchval(
        _INSERT,
        owner,
        [job.id for job in jobs],
        [job.url for job in jobs],
        [job.host for job in jobs],
        [job.traceparent for job in jobs],
        [job.retry_of for job in jobs],
        *((batch.id, batch.retry_of) if batch else (None, None)),
        *(asked.corpus_name, asked.metadata, asked.chunking, FIRST.stage, FIRST.by_host, max_open_jobs),
        [job.document_url for job in jobs],
        asked.force,
        asked.render,
        [job.kind for job in jobs],
        *((of_run.crawl_id, of_run.run) if of_run else (None, None)),
    )
    check_taken(taken, max_open_jobs)
    JOBS_SUBMITTED.inc(len(jobs))
