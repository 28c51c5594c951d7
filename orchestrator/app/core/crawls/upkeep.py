"""What is done for crawls by the clock: runs that are due, crawls that are deleted, runs that are too old to be kept."""

import logging
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from app.core.crawls import scheduling
from app.core.crawls.gone import AT_ONCE, RemoveDocuments
from app.core.crawls.runs import begin
from app.core.errors import InvalidScheduleError, RunInProgressError, TooManyOpenRunsError
from ml_shared.contracts.crawls import RunTrigger

RUNS_KEPT: Final = 50
# of a crawl
DUE_AT_ONCE: Final = 100
ROWS_AT_ONCE: Final = 5_000
# of what is deleted in one transaction
STILL_RUNNING: Final = "still_running"

logger = logging.getLogger(__name__)

_DUE: Final = """
SELECT owner, id FROM crawls WHERE next_run_at <= now() AND NOT paused AND deleting IS NULL ORDER BY next_run_at LIMIT $1
"""
_LOCK: Final = """
SELECT * FROM crawls WHERE owner = $1 AND id = $2 AND next_run_at <= now() AND NOT paused AND deleting IS NULL
FOR UPDATE SKIP LOCKED
"""
_NEXT: Final = "UPDATE crawls SET next_run_at = $3 WHERE owner = $1 AND id = $2"
_MISSED: Final = """
UPDATE crawls SET missed_runs = missed_runs + 1, missed_at = now(), missed_reason = $3 WHERE owner = $1 AND id = $2
"""
_DELETING: Final = """
SELECT owner, id FROM crawls WHERE deleting IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM runs WHERE crawl_id = crawls.id AND (state = 'running' OR removing)) LIMIT $1
"""
_LOCK_DELETING: Final = """
SELECT owner, id, corpus_name, deleting, deleting_at FROM crawls WHERE owner = $1 AND id = $2 AND deleting IS NOT NULL FOR UPDATE SKIP LOCKED
"""
_DOCUMENTS: Final = """
SELECT url_hash, url, EXISTS (
    SELECT 1 FROM crawl_documents other JOIN crawls ON crawls.id = other.crawl_id
    WHERE other.url_hash = mine.url_hash AND other.crawl_id <> $1 AND crawls.owner = $2 AND crawls.corpus_name = $3
      AND crawls.deleting IS NULL) AS kept
FROM crawl_documents mine WHERE crawl_id = $1 ORDER BY url_hash LIMIT $4
"""
_FORGET: Final = "DELETE FROM crawl_documents WHERE crawl_id = $1 AND url_hash = ANY($2)"
_OF_CRAWL: Final = tuple(
    f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE crawl_id = $1 LIMIT $2))"  # noqa: S608
    for table in ("run_pages", "run_contents", "crawl_links", "crawl_documents", "run_tallies", "run_warnings", "runs")
)
_OLD_RUNS: Final = """
SELECT crawls.id, runs.run FROM crawls JOIN runs ON runs.crawl_id = crawls.id
WHERE runs.run <= crawls.last_run - $1 AND runs.state <> 'running' AND NOT runs.removing LIMIT $2
"""
_OF_RUN: Final = tuple(
    f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE crawl_id = $1 AND run = $2 LIMIT $3))"  # noqa: S608
    for table in ("run_pages", "run_contents", "run_tallies", "run_warnings", "runs")
)


async def begin_due(pool: asyncpg.Pool, *, max_open_runs: int) -> tuple[int, int]:
    """Begin the runs that are due; return how many were begun, and how many missed because they could not be."""
    begun = missed = 0
    for due in await pool.fetch(_DUE, DUE_AT_ONCE):
        async with pool.acquire() as connection, connection.transaction():
            crawl = await connection.fetchrow(_LOCK, due["owner"], due["id"])
            if crawl is None:
                continue
            reason = await _begin(connection, crawl, max_open_runs)
            begun += reason is None
            missed += reason is not None
            await connection.execute(_NEXT, crawl["owner"], crawl["id"], _next(crawl))
    return begun, missed


async def _begin(connection: Any, crawl: Any, max_open_runs: int) -> str | None:
    """Begin a run; return why it could not be."""
    try:
        async with connection.transaction():
            await begin(connection, crawl["owner"], crawl, trigger=RunTrigger.SCHEDULED, max_open_runs=max_open_runs)
        return None
    except RunInProgressError:
        reason = STILL_RUNNING
    except TooManyOpenRunsError as error:
        reason = error.code
    await connection.execute(_MISSED, crawl["owner"], crawl["id"], reason)
    logger.warning("run_missed", extra={"crawl_id": str(crawl["id"]), "reason": reason})
    return reason


def _next(crawl: Any) -> datetime | None:
    try:
        return scheduling.next_of(crawl, datetime.now(UTC))
    except InvalidScheduleError:
        return None  # it was the last time that there is, or a zone that is known no more


async def delete_some(pool: asyncpg.Pool, remove_documents: RemoveDocuments, *, room: int) -> int:
    """Go on deleting crawls that are to be; return how many removals of documents were asked for."""
    asked = 0
    for found in await pool.fetch(_DELETING, DUE_AT_ONCE):
        async with pool.acquire() as connection, connection.transaction():
            crawl = await connection.fetchrow(_LOCK_DELETING, found["owner"], found["id"])
            if crawl is None:
                continue
            most = max(min(AT_ONCE, room - asked), 0)
            if crawl["deleting"] == "delete" and (
                documents := await connection.fetch(
                    _DOCUMENTS, crawl["id"], crawl["owner"], crawl["corpus_name"], AT_ONCE
                )
            ):
                asked += await _remove(connection, crawl, documents[:most], remove_documents)
                continue
            deleted = [await connection.execute(text, crawl["id"], ROWS_AT_ONCE) for text in _OF_CRAWL]
            if all(status == "DELETE 0" for status in deleted):
                await connection.execute("DELETE FROM crawls WHERE owner = $1 AND id = $2", crawl["owner"], crawl["id"])
    return asked


async def _remove(connection: Any, crawl: Any, documents: list[Any], remove_documents: RemoveDocuments) -> int:
    urls = [row["url"] for row in documents if not row["kept"]]
    if urls:
        # as they stood when the crawl was deleted: another one of the same site may bring them back meanwhile
        await remove_documents(
            connection, crawl["owner"], crawl["corpus_name"], urls, crawl["id"], None, as_of=crawl["deleting_at"]
        )
    await connection.execute(_FORGET, crawl["id"], [row["url_hash"] for row in documents])
    return len(urls)


async def forget_old_runs(pool: asyncpg.Pool) -> int:
    """Forget runs beyond the last fifty of their crawl, and what became of their pages; return how many runs."""
    forgotten = 0
    for old in await pool.fetch(_OLD_RUNS, RUNS_KEPT, DUE_AT_ONCE):
        for text in _OF_RUN:
            while await pool.execute(text, old["id"], old["run"], ROWS_AT_ONCE) == f"DELETE {ROWS_AT_ONCE}":
                pass
        forgotten += 1
    return forgotten
