"""Crawls: taken in, shown to their owner, changed, paused, deleted."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.crawls import scheduling
from app.core.crawls.definition import Definition, stored
from app.core.crawls.runs import ASKED, begin, seeds_of
from app.core.dispatch.pipeline import FIRST
from app.core.errors import CrawlNotFoundError, TooManyCrawlsError
from app.core.jobs.idempotency import claim_key
from ml_shared.contracts.chunking import ChunkingOptions
from ml_shared.contracts.crawls import (
    LISTED_SHOWN,
    CrawlPage,
    CrawlPatch,
    CrawlRequest,
    CrawlSource,
    CrawlView,
    MissedRun,
    RunAccepted,
    RunRequest,
    RunState,
    RunTrigger,
    Schedule,
)
from ml_shared.contracts.cursors import Cursors
from ml_shared.contracts.values import Timestamp
from ml_shared.errors import InvalidError

ROUTE: Final = "crawls"
RUNS_ROUTE: Final = "crawls/runs"

_CURSORS: Final[Cursors[tuple[datetime, UUID]]] = Cursors("crawls", tuple[Timestamp, UUID])
_OWNERS_TURN: Final = "SELECT pg_advisory_xact_lock(hashtext('runs'), hashtext($1))"
_COUNT: Final = "SELECT count(*) FROM crawls WHERE owner = $1 AND deleting IS NULL"
_INSERT: Final = """
INSERT INTO crawls (owner, id, corpus_name, metadata, chunking, definition, urls, schedule, next_run_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING *
"""
_SEEN: Final = """
SELECT crawls.*, last.state AS last_state,
    (SELECT count(*) FROM crawl_documents WHERE crawl_id = crawls.id) AS documents
FROM crawls LEFT JOIN runs last ON last.crawl_id = crawls.id AND last.run = crawls.last_run
WHERE crawls.owner = $1 AND crawls.deleting IS NULL
"""
_LOCK: Final = "SELECT * FROM crawls WHERE owner = $1 AND id = $2 AND deleting IS NULL FOR UPDATE"
_CHANGE: Final = """
UPDATE crawls SET definition = $3, schedule = $4, schedule_begun_at = $5, next_run_at = $6, metadata = $7, chunking = $8, urls = $9,
    links_from = CASE WHEN $10 THEN last_run + 1 ELSE links_from END
WHERE owner = $1 AND id = $2
"""
_OF_THE_ROW: Final = frozenset({"schedule", "urls", "metadata", "chunking"})
# columns of their own, and no part of a definition
# URLs that a run left out and kept no row of: a hash of them leads nowhere
_FORGOTTEN: Final = "SELECT DISTINCT what FROM run_tallies WHERE crawl_id = $1 AND what LIKE 'skipped:%' AND count > 0"
_PAUSE: Final = "UPDATE crawls SET paused = $3, next_run_at = $4 WHERE owner = $1 AND id = $2"
_DELETE: Final = (
    "UPDATE crawls SET deleting = $3, next_run_at = NULL WHERE owner = $1 AND id = $2 AND deleting IS NULL RETURNING id"
)
_CANCEL: Final = f"""
UPDATE runs SET cancel_asked_at = {ASKED}, held = NULL
WHERE crawl_id = $1 AND (state = 'running' OR removing OR held IS NOT NULL) RETURNING run
"""  # noqa: S608
_CANCEL_JOBS: Final = "SELECT cancel_run_jobs($1, $2, $3, $4)"
# the clock's time: the last jobs that a pass made may be younger than this transaction
_DELETED_NOW: Final = "UPDATE crawls SET deleting_at = clock_timestamp() WHERE owner = $1 AND id = $2"


async def submit(
    pool: asyncpg.Pool,
    owner: str,
    request: CrawlRequest,
    *,
    traceparent: str | None,
    idempotency_key: str | None,
    max_crawls: int,
    max_open_runs: int,
) -> tuple[RunAccepted, bool]:
    """Take in a crawl, and begin its first run.

    Returns
    -------
    RunAccepted, bool
        The answer, and whether it is new: a repeat of a request gets the first one's.

    Raises
    ------
    InvalidError, InvalidScheduleError
        If nothing can be fetched from where it begins, or its schedule never comes.
    TooManyCrawlsError, TooManyOpenRunsError
        If the owner has as many as one may have.
    IdempotencyKeyReusedError, IdempotencyInProgressError
        As `app.core.jobs.submission.submit` does.
    """
    crawl_id, now = uuid.uuid4(), datetime.now(UTC)
    due = None if request.schedule is None else scheduling.next_run_at(request.schedule, crawl_id, now, now)
    accepted = RunAccepted(crawl_id=str(crawl_id), run=1)
    async with pool.acquire() as connection, connection.transaction():
        if idempotency_key is not None:
            earlier = await claim_key(connection, owner, ROUTE, idempotency_key, request, accepted)
            if earlier is not None:
                return earlier, False
        await connection.execute(_OWNERS_TURN, owner)
        if await connection.fetchval(_COUNT, owner) >= max_crawls:
            raise TooManyCrawlsError(f"you may have {max_crawls} crawls; DELETE /crawls/{{id}} makes room")
        crawl = await connection.fetchrow(
            _INSERT,
            *(owner, crawl_id, request.corpus_name, request.metadata),
            request.chunking.model_dump(mode="json", exclude_unset=False),
            *(Definition.of(request).model_dump(mode="json"), request.urls, _stored(request.schedule), due),
        )
        await begin(
            connection,
            owner,
            crawl,
            trigger=RunTrigger.SUBMITTED,
            max_open_runs=max_open_runs,
            force=request.force,
            traceparent=traceparent,
        )
    return accepted, True


async def run_now(
    pool: asyncpg.Pool,
    owner: str,
    crawl_id: UUID,
    request: RunRequest,
    *,
    traceparent: str | None,
    idempotency_key: str | None,
    max_open_runs: int,
) -> tuple[RunAccepted, bool]:
    """Begin a run of a crawl now; the answer, and whether it is new.

    Raises
    ------
    CrawlNotFoundError
        If there is none, or it is another owner's.
    RunInProgressError, TooManyOpenRunsError
        If one is under way, or as many of the owner's as may be.
    IdempotencyKeyReusedError, IdempotencyInProgressError
        As `app.core.jobs.submission.submit` does.
    """
    async with pool.acquire() as connection, connection.transaction():
        crawl = await _locked(connection, owner, crawl_id)
        accepted = RunAccepted(crawl_id=str(crawl_id), run=crawl["last_run"] + 1)
        if idempotency_key is not None:
            route = f"{RUNS_ROUTE}/{crawl_id}"
            earlier = await claim_key(connection, owner, route, idempotency_key, request, accepted)
            if earlier is not None:
                return earlier, False
        await begin(
            connection,
            owner,
            crawl,
            trigger=RunTrigger.REQUESTED,
            max_open_runs=max_open_runs,
            force=request.force,
            traceparent=traceparent,
        )
    return accepted, True


async def find(pool: asyncpg.Pool, owner: str, crawl_id: UUID) -> CrawlView:
    """Return a crawl of an owner.

    Raises
    ------
    CrawlNotFoundError
        If there is none, or it is another owner's.
    """
    row = await pool.fetchrow(f"{_SEEN} AND crawls.id = $2", owner, crawl_id)
    if row is None:
        raise CrawlNotFoundError
    return _view(row, row["urls"][:LISTED_SHOWN])


async def find_page(pool: asyncpg.Pool, owner: str, *, limit: int, cursor: str | None) -> CrawlPage:
    """Return a page of an owner's crawls, newest first.

    Raises
    ------
    InvalidCursorError
        If the cursor is not one that a page before gave.
    """
    last = _CURSORS.read(cursor)
    rows = await pool.fetch(
        f"""{_SEEN} {"AND (crawls.submitted_at, crawls.id) < ($3, $4::uuid)" if last else ""}
            ORDER BY crawls.submitted_at DESC, crawls.id DESC LIMIT $2""",
        *(owner, limit + 1, *(last or ())),
    )
    shown = rows[:limit]
    more = _CURSORS.write((shown[-1]["submitted_at"], shown[-1]["id"])) if len(rows) > limit else None
    return CrawlPage(items=[_view(row) for row in shown], next_cursor=more)


async def change(pool: asyncpg.Pool, owner: str, crawl_id: UUID, patch: CrawlPatch) -> CrawlView:
    """Change what a crawl asks for, from its next run on.

    If more belongs to it then, its next run reads each page once as if nothing were known of it: where they lead is remembered
    only as far as it belonged to the crawl.

    Raises
    ------
    CrawlNotFoundError
        If there is none, or it is another owner's.
    InvalidError, InvalidScheduleError
        If a dry run was to get a schedule, or one that never comes; if what is no list was to get URLs, or a list such from which
        nothing can be fetched.
    """
    async with pool.acquire() as connection, connection.transaction():
        crawl = await _locked(connection, owner, crawl_id)
        definition = stored(crawl)
        schedule, begun, due = crawl["schedule"], crawl["schedule_begun_at"], crawl["next_run_at"]
        # the one that it has is no new one: who sends all that a crawl has does not put its runs off
        if "schedule" in patch.model_fields_set and _stored(patch.schedule) != schedule:
            if definition.dry_run and patch.schedule is not None:
                raise InvalidError("a dry run has no schedule: it keeps nothing in a corpus", code="invalid_schedule")
            schedule, begun = _stored(patch.schedule), datetime.now(UTC)
            due = None if patch.schedule is None else scheduling.next_run_at(patch.schedule, crawl_id, begun, begun)
        given = patch.model_dump(mode="json", exclude_unset=True, exclude_none=True, exclude=set(_OF_THE_ROW))
        changed = Definition.model_validate({**definition.model_dump(mode="json"), **given})
        if patch.urls is not None:
            if definition.source is not CrawlSource.LIST:
                raise InvalidError(f"a `{definition.source}` has no `urls`", code="invalid_request")
            seeds_of(changed, patch.urls)
        due = None if crawl["paused"] else due
        forgotten = {row["what"].partition(":")[2] for row in await connection.fetch(_FORGOTTEN, crawl_id)}
        widened = changed.leads_further(
            definition, crawl["urls"] if patch.urls is None else patch.urls, crawl["urls"], forgotten
        )
        await connection.execute(
            _CHANGE,
            *(owner, crawl_id, changed.model_dump(mode="json"), schedule, begun, due),
            crawl["metadata"] if patch.metadata is None else patch.metadata,
            crawl["chunking"] if patch.chunking is None else patch.chunking.model_dump(mode="json"),
            crawl["urls"] if patch.urls is None else patch.urls,
            widened,
        )
    return await find(pool, owner, crawl_id)


async def pause(pool: asyncpg.Pool, owner: str, crawl_id: UUID, *, paused: bool) -> CrawlView:
    """Let a crawl's schedule rest, or go on; a run that is under way goes on either way.

    Raises
    ------
    CrawlNotFoundError
        If there is none, or it is another owner's.
    """
    async with pool.acquire() as connection, connection.transaction():
        crawl = await _locked(connection, owner, crawl_id)
        due = None
        if not paused:
            due = crawl["next_run_at"] or scheduling.next_of(crawl, datetime.now(UTC))
        await connection.execute(_PAUSE, owner, crawl_id, paused, due)
    return await find(pool, owner, crawl_id)


async def delete(pool: asyncpg.Pool, owner: str, crawl_id: UUID, *, documents: str) -> int:
    """Delete a crawl: it is gone from lists at once; its runs are cancelled, and what it left goes bit by bit.

    Documents go as they stand now: what the same crawl, made anew, brings back meanwhile stays. So its jobs are cancelled first;
    one that can't be was handed out before.

    Returns
    -------
    int
        How many jobs were cancelled.

    Raises
    ------
    CrawlNotFoundError
        If there is none, or it is another owner's.
    """
    async with pool.acquire() as connection, connection.transaction():
        if await connection.fetchval(_DELETE, owner, crawl_id, documents) is None:
            raise CrawlNotFoundError
        cancelled = 0
        for cancelling in await connection.fetch(_CANCEL, crawl_id):
            cancelled += await connection.fetchval(_CANCEL_JOBS, owner, crawl_id, cancelling["run"], FIRST.stage)
        await connection.execute(_DELETED_NOW, owner, crawl_id)
    return cancelled


async def _locked(connection: Any, owner: str, crawl_id: UUID) -> Any:
    crawl = await connection.fetchrow(_LOCK, owner, crawl_id)
    if crawl is None:
        raise CrawlNotFoundError
    return crawl


def _stored(schedule: Schedule | None) -> dict[str, Any] | None:
    return None if schedule is None else schedule.model_dump(mode="json")


def _schedule(crawl: Any) -> Schedule:
    return Schedule.model_validate(crawl["schedule"])


def _view(row: Any, listed: Sequence[str] = ()) -> CrawlView:
    definition = stored(row)
    missed = None
    if row["missed_at"] is not None:
        missed = MissedRun(at=row["missed_at"], reason=row["missed_reason"])
    return CrawlView(
        **definition.model_dump(),
        crawl_id=str(row["id"]),
        corpus_name=row["corpus_name"],
        urls=len(row["urls"]),
        listed=list(listed),
        metadata=row["metadata"],
        chunking=ChunkingOptions.model_validate(row["chunking"]),
        schedule=None if row["schedule"] is None else _schedule(row),
        paused=row["paused"],
        next_run_at=row["next_run_at"],
        missed_runs=row["missed_runs"],
        last_missed=missed,
        last_run=row["last_run"],
        last_state=RunState(row["last_state"]) if row["last_state"] else None,
        documents=row["documents"],
        submitted_at=row["submitted_at"],
    )
