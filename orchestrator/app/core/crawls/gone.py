"""Pages that are gone: which documents of a crawl are to be removed, and the guard against removing a site that is ill.

A page that was not found, or that nothing led to any more, in two runs in a row is gone. A feed names what is new alone: of what it
led to, only that is gone which was not found. A run that would remove more than a third of a crawl's documents removes none, until
somebody confirms: a site that is down, that shows everybody a page to log in, or whose sitemap is empty looks like one that has gone.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final, Literal
from uuid import UUID

from ml_shared.contracts.crawls import SkipReason

RUNS_IN_A_ROW: Final = 2
HELD: Final[Literal["mass_deletion"]] = "mass_deletion"
HELD_SHARE: Final = 3
# of the documents: one in so many may go unasked
AT_ONCE: Final = 500
# removals of one transaction

RemoveDocuments = Callable[..., Coroutine[Any, Any, list[UUID]]]

# What the page is now, instead of a document. Of what was not asked for, for whatever reason, nothing is known.
_NO_DOCUMENT: Final = (
    SkipReason.NOINDEX,
    SkipReason.CANONICAL_ELSEWHERE,
    SkipReason.DUPLICATE_CONTENT,
    SkipReason.EXCLUDED,
    SkipReason.OUT_OF_SCOPE,
    SkipReason.ROBOTS_DISALLOWED,
    SkipReason.UNSUPPORTED,
)
_COUNT_GONE: Final = """
UPDATE crawl_documents SET missed = crawl_documents.missed + 1, gone_reason = gone.reason, last_run = $2 FROM (
    SELECT known.url_hash, coalesce(page.reason, 'not_met') AS reason FROM crawl_documents known
    LEFT JOIN run_pages page ON page.crawl_id = $1 AND page.url_hash = known.url_hash AND page.run = $2
    WHERE known.crawl_id = $1 AND (
        (page.url_hash IS NULL AND $3) OR (page.outcome = 'failed' AND page.reason = 'gone')
        OR (page.outcome = 'skipped' AND page.reason = ANY($4)))
    ORDER BY known.url_hash
) gone
WHERE crawl_documents.crawl_id = $1 AND crawl_documents.url_hash = gone.url_hash
"""
_STANDING: Final = """
SELECT count(*) AS documents, count(*) FILTER (WHERE missed >= $2) AS gone FROM crawl_documents WHERE crawl_id = $1
"""
# another crawl of the same corpus may keep the document
_NEXT_GONE: Final = """
SELECT url_hash, url, gone_reason, EXISTS (
    SELECT 1 FROM crawl_documents other JOIN crawls ON crawls.id = other.crawl_id
    WHERE other.url_hash = gone.url_hash AND other.crawl_id <> $1 AND crawls.owner = $3 AND crawls.corpus_name = $4
      AND crawls.deleting IS NULL) AS kept
FROM crawl_documents gone WHERE crawl_id = $1 AND missed >= $2 ORDER BY url_hash LIMIT $5
"""
_UNDER_WAY: Final = """
INSERT INTO run_pages AS p (crawl_id, run, url_hash, url, host, state, depth, pattern, patience, job_id, reason)
SELECT $1, $2, url_hash, url, '', 'open', 0, 0, 0, job_id, reason
FROM unnest($3::bytea[], $4::text[], $5::uuid[], $6::text[]) AS gone(url_hash, url, job_id, reason) ORDER BY url_hash
ON CONFLICT (crawl_id, url_hash, run) DO UPDATE SET
    state = 'open', outcome = NULL, ended_at = NULL, job_id = excluded.job_id, reason = excluded.reason
"""
_TAKEN: Final = "UPDATE crawl_documents SET missed = 0 WHERE crawl_id = $1 AND url_hash = ANY($2)"
_FORGET: Final = "DELETE FROM crawl_documents WHERE crawl_id = $1 AND url_hash = ANY($2)"


async def count_gone(connection: Any, crawl_id: UUID, run: int, *, whole: bool) -> tuple[int, int]:
    """Note which documents of a crawl a run did not find.

    Parameters
    ----------
    whole
        Whether the run met all that there is: what was not met is gone then.

    Returns
    -------
    documents, gone
        How many there are, and how many of them were gone often enough to be removed.
    """
    await connection.execute(_COUNT_GONE, crawl_id, run, whole, list(_NO_DOCUMENT))
    row = await connection.fetchrow(_STANDING, crawl_id, RUNS_IN_A_ROW)
    return row["documents"], row["gone"]


def is_too_many(documents: int, gone: int) -> bool:
    """Say whether a run would remove so much that somebody has to confirm it."""
    return gone * HELD_SHARE > documents


async def remove_some(
    connection: Any, run: Any, corpus_name: str, remove_documents: RemoveDocuments, *, room: int
) -> int:
    """Ask for the removal of documents that are gone, a bounded number of them; return how many were taken up."""
    gone = await connection.fetch(
        _NEXT_GONE, run["crawl_id"], RUNS_IN_A_ROW, run["owner"], corpus_name, min(AT_ONCE, room)
    )
    kept = [row["url_hash"] for row in gone if row["kept"]]
    going = [row for row in gone if not row["kept"]]
    if kept:
        await connection.execute(_FORGET, run["crawl_id"], kept)
    if going:
        urls = [row["url"] for row in going]
        jobs = await remove_documents(connection, run["owner"], corpus_name, urls, run["crawl_id"], run["run"])
        columns = [[row[name] for row in going] for name in ("url_hash", "url")]
        reasons = [row["gone_reason"] for row in going]
        await connection.execute(_UNDER_WAY, run["crawl_id"], run["run"], *columns, jobs, reasons)
        await connection.execute(_TAKEN, run["crawl_id"], columns[0])
    return len(gone)


__all__ = ["HELD", "RemoveDocuments", "count_gone", "is_too_many", "remove_some"]
