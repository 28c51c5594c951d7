"""Runs: begun, shown to their owner, cancelled, confirmed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.crawls.definition import Definition, RunDefinition
from app.core.crawls.frontier import Met, RunScope, meet, to_read
from app.core.crawls.gone import HELD
from app.core.dispatch.pipeline import FIRST
from app.core.errors import CrawlNotFoundError, NotHeldError, RunInProgressError, RunNotFoundError, TooManyOpenRunsError
from ml_shared.contracts.crawls import (
    OutcomeCounts,
    RunOutcome,
    RunPage,
    RunState,
    RunTrigger,
    RunView,
    RunWarning,
    Saved,
)
from ml_shared.contracts.cursors import Cursors
from ml_shared.contracts.values import Count
from ml_shared.errors import InvalidError

RETRY_AFTER_SECONDS: Final = 60.0
RECENT_SECONDS: Final = 300.0
# what ended in the last minutes says how fast it goes
SEEDS_AT_ONCE: Final = 5_000

_CURSORS: Final[Cursors[int]] = Cursors("runs", Count)
_OWNERS_TURN: Final = "SELECT pg_advisory_xact_lock(hashtext('runs'), hashtext($1))"
_OPEN_RUNS: Final = "SELECT count(*) FROM runs WHERE owner = $1 AND state = 'running'"
_RUNNING: Final = "SELECT run, state FROM runs WHERE crawl_id = $1 AND (state = 'running' OR removing) LIMIT 1"
_BEGIN: Final = """
WITH numbered AS (UPDATE crawls SET last_run = last_run + 1 WHERE owner = $1 AND id = $2 RETURNING last_run)
INSERT INTO runs (owner, crawl_id, run, trigger, force, definition, traceparent)
SELECT $1, $2, last_run, $3, $4, $5, $6 FROM numbered RETURNING run
"""
# Counted from rows. Sitemaps and feeds are no pages. The last minutes are those before an ended run's end.
_COUNTED: Final = f"""
SELECT runs.*, counted.*,
    ARRAY(SELECT ROW(what, count) FROM run_tallies WHERE run_tallies.crawl_id = runs.crawl_id AND run_tallies.run = runs.run
          AND what LIKE 'skipped:%') AS beyond,
    ARRAY(SELECT ROW(code, message, url) FROM run_warnings WHERE run_warnings.crawl_id = runs.crawl_id
          AND run_warnings.run = runs.run ORDER BY code, url_hash) AS warnings,
    now() AS now
FROM runs CROSS JOIN LATERAL (
    SELECT count(nth) AS pages, count(*) FILTER (WHERE state = 'waiting') AS waiting,
        count(*) FILTER (WHERE state = 'open') AS open, coalesce(sum(bytes), 0)::bigint AS bytes,
        count(*) FILTER (WHERE outcome = 'unchanged' AND reason = 'lastmod') AS not_asked,
        count(*) FILTER (WHERE outcome = 'unchanged' AND not_modified AND reason IS NULL) AS not_sent,
        coalesce(sum(saved_bytes), 0)::bigint AS saved_bytes, coalesce(sum(saved_chunks), 0)::bigint AS saved_chunks,
        count(*) FILTER (WHERE nth IS NOT NULL AND ended_at > coalesce(runs.ended_at, now())
            - make_interval(secs => {RECENT_SECONDS})) AS recent,
        count(*) FILTER (WHERE nth IS NOT NULL AND state = 'ended') AS over
    FROM run_pages WHERE run_pages.crawl_id = runs.crawl_id AND run_pages.run = runs.run AND kind = 'page'
) counted
"""  # noqa: S608
_OUTCOMES: Final = """
SELECT run, outcome, reason, count(*) AS pages FROM run_pages
WHERE crawl_id = $1 AND run = ANY($2) AND outcome IS NOT NULL AND kind = 'page' GROUP BY 1, 2, 3
"""
_IS_MINE: Final = "SELECT 1 FROM crawls WHERE owner = $1 AND id = $2 AND deleting IS NULL"
_IS_THERE: Final = "SELECT 1 FROM runs WHERE owner = $1 AND crawl_id = $2 AND run = $3"
# A run that has ended and removes what was confirmed is stopped likewise: as asked for after that.
ASKED: Final = "CASE WHEN cancel_asked_at >= coalesce(confirmed_at, '-infinity') THEN cancel_asked_at ELSE now() END"
_ASK_CANCEL: Final = f"""
UPDATE runs SET cancel_asked_at = {ASKED} WHERE owner = $1 AND crawl_id = $2 AND run = $3 AND (state = 'running' OR removing)
RETURNING run
"""  # noqa: S608
_CANCEL_JOBS: Final = "SELECT cancel_run_jobs($1, $2, $3, $4)"
# as whoever begins a run does: none begins before this is decided
_LOCK_CRAWL: Final = "SELECT 1 FROM crawls WHERE owner = $1 AND id = $2 AND deleting IS NULL FOR UPDATE"
_HELD: Final = "SELECT held FROM runs WHERE owner = $1 AND crawl_id = $2 AND run = $3 FOR UPDATE"
_UNDER_WAY: Final = "SELECT run FROM runs WHERE crawl_id = $1 AND state = 'running'"
_CONFIRM: Final = """
UPDATE runs SET held = NULL, removing = true, confirmed_at = now(), removing_at = now()
WHERE owner = $1 AND crawl_id = $2 AND run = $3
"""


async def begin(
    connection: Any,
    owner: str,
    crawl: Any,
    *,
    trigger: RunTrigger,
    max_open_runs: int,
    force: bool = False,
    traceparent: str | None = None,
) -> int:
    """Begin a run of a crawl whose row the caller has locked; return its number.

    Raises
    ------
    RunInProgressError
        If one is under way.
    TooManyOpenRunsError
        If the owner has as many under way as one may have.
    """
    await connection.execute(_OWNERS_TURN, owner)
    running = await connection.fetchrow(_RUNNING, crawl["id"])
    if running is not None:
        number = running["run"]
        if running["state"] == RunState.RUNNING:
            raise RunInProgressError(f"run {number} has not ended; POST …/runs/{number}/cancel cancels it")
        raise RunInProgressError(
            f"run {number} is removing the documents that were confirmed; POST …/runs/{number}/cancel stops that"
        )
    if await connection.fetchval(_OPEN_RUNS, owner) >= max_open_runs:
        raise TooManyOpenRunsError(
            f"you may have {max_open_runs} runs under way; begin this one when another has ended",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )
    definition = RunDefinition.begun(crawl)
    run: int = await connection.fetchval(
        _BEGIN, owner, crawl["id"], trigger, force, definition.model_dump(mode="json"), traceparent
    )
    seeds = seeds_of(definition, crawl["urls"])
    for at in range(0, len(seeds), SEEDS_AT_ONCE):
        part = seeds[at : at + SEEDS_AT_ONCE]
        await meet(connection, crawl["id"], run, definition, part, found_on=None, depth=0)
    return run


def seeds_of(definition: Definition, urls: list[str]) -> list[Met]:
    """Return where a run begins, each URL once.

    Raises
    ------
    ml_shared.errors.InvalidError
        If nothing can be fetched from one of them.
    """
    scope = RunScope(definition, definition.scope(urls))
    seeds: dict[bytes, Met] = {}
    for url, kind, optional in definition.beginnings(urls):
        met = scope.seed(url) if kind == "page" else to_read(url, optional=optional)
        if met is None:
            raise InvalidError("only http:// and https:// URLs can be fetched", code="blocked_scheme")
        seeds.setdefault(met.url_hash, met)
    return list(seeds.values())


async def find(pool: asyncpg.Pool, owner: str, crawl_id: UUID, run: int) -> RunView:
    """Return a run of an owner's crawl.

    Raises
    ------
    CrawlNotFoundError, RunNotFoundError
        If there is none, or it is another owner's.
    """
    await check_mine(pool, owner, crawl_id)
    row = await pool.fetchrow(f"{_COUNTED} WHERE runs.crawl_id = $1 AND runs.run = $2", crawl_id, run)
    if row is None:
        raise RunNotFoundError
    return (await _views(pool, crawl_id, [row]))[0]


async def snapshots(
    pool: asyncpg.Pool, owners: Sequence[str], crawl_ids: Sequence[UUID], numbers: Sequence[int]
) -> list[tuple[str, RunView, int]]:
    """Return runs as they stand, each with its owner and the number of its last move."""
    rows = await pool.fetch(
        f"""{_COUNTED} JOIN unnest($1::text[], $2::uuid[], $3::integer[]) AS asked(owner, crawl_id, run)
            ON asked.owner = runs.owner AND asked.crawl_id = runs.crawl_id AND asked.run = runs.run""",
        *(owners, crawl_ids, numbers),
    )
    return [(row["owner"], (await _views(pool, row["crawl_id"], [row]))[0], row["moved"]) for row in rows]


async def find_page(pool: asyncpg.Pool, owner: str, crawl_id: UUID, *, limit: int, cursor: str | None) -> RunPage:
    """Return a page of a crawl's runs, newest first.

    Raises
    ------
    CrawlNotFoundError
        If there is no such crawl, or it is another owner's.
    InvalidCursorError
        If the cursor is not one that a page before gave.
    """
    await check_mine(pool, owner, crawl_id)
    last = _CURSORS.read(cursor, {"crawl_id": crawl_id})
    rows = await pool.fetch(
        f"""{_COUNTED} WHERE runs.crawl_id = $1 AND ($3::integer IS NULL OR runs.run < $3)
            ORDER BY runs.run DESC LIMIT $2""",
        *(crawl_id, limit + 1, last),
    )
    shown = rows[:limit]
    more = _CURSORS.write(shown[-1]["run"], {"crawl_id": crawl_id}) if len(rows) > limit else None
    return RunPage(items=await _views(pool, crawl_id, shown), next_cursor=more)


async def cancel(pool: asyncpg.Pool, owner: str, crawl_id: UUID, run: int) -> int:
    """Cancel a run: that it is to be is written first, then its jobs are; return how many of them.

    What is just being written to the corpus, or removed from it, is finished. A pass leaves out the rest of the frontier, and
    lets what was confirmed and is not removed yet stay. Of a run that has nothing under way nothing changes.

    Raises
    ------
    CrawlNotFoundError, RunNotFoundError
        If there is none, or it is another owner's.
    """
    await check_mine(pool, owner, crawl_id)
    if await pool.fetchval(_ASK_CANCEL, owner, crawl_id, run) is None:
        if await pool.fetchval(_IS_THERE, owner, crawl_id, run) is None:
            raise RunNotFoundError
        return 0
    cancelled: int = await pool.fetchval(_CANCEL_JOBS, owner, crawl_id, run, FIRST.stage)
    return cancelled


async def confirm(pool: asyncpg.Pool, owner: str, crawl_id: UUID, run: int) -> None:
    """Let a run remove what it held back.

    Raises
    ------
    CrawlNotFoundError, RunNotFoundError
        If there is none, or it is another owner's.
    NotHeldError
        If it holds nothing back, or a later run knows better.
    RunInProgressError
        If a later run is just finding out: what it has indexed already, and not told yet, would be removed.
    """
    async with pool.acquire() as connection, connection.transaction():
        if await connection.fetchval(_LOCK_CRAWL, owner, crawl_id) is None:
            raise CrawlNotFoundError
        row = await connection.fetchrow(_HELD, owner, crawl_id, run)
        if row is None:
            raise RunNotFoundError
        if row["held"] is None:
            raise NotHeldError("this run holds nothing back, or a later one knows better; GET it, and see `held`")
        later = await connection.fetchval(_UNDER_WAY, crawl_id)
        if later is not None:
            raise RunInProgressError(
                f"run {later} is under way and will know better what is gone; confirm when it has ended and run {run} is still "
                f"`held`, or cancel it with POST …/runs/{later}/cancel first"
            )
        await connection.execute(_CONFIRM, owner, crawl_id, run)


async def check_mine(pool: asyncpg.Pool, owner: str, crawl_id: UUID) -> None:
    """Refuse a crawl that is none of an owner's.

    Raises
    ------
    CrawlNotFoundError
        If there is none, or it is another owner's.
    """
    if await pool.fetchval(_IS_MINE, owner, crawl_id) is None:
        raise CrawlNotFoundError


async def _views(pool: asyncpg.Pool, crawl_id: UUID, rows: list[Any]) -> list[RunView]:
    by_run: dict[int, dict[str, dict[str, int]]] = {row["run"]: {} for row in rows}
    for found in await pool.fetch(_OUTCOMES, crawl_id, list(by_run)):
        reasons = by_run[found["run"]].setdefault(found["outcome"], {})
        reasons[found["reason"] or ""] = reasons.get(found["reason"] or "", 0) + found["pages"]
    for row in rows:
        for what, count in row["beyond"]:
            reasons = by_run[row["run"]].setdefault(RunOutcome.SKIPPED.value, {})
            reason = what.partition(":")[2]
            reasons[reason] = reasons.get(reason, 0) + count
    return [_view(row, by_run[row["run"]]) for row in rows]


def _view(row: Any, outcomes: dict[str, dict[str, int]]) -> RunView:
    totals = {outcome: sum(reasons.values()) for outcome, reasons in outcomes.items()}
    told = (RunOutcome.SKIPPED, RunOutcome.FAILED, RunOutcome.REMOVED)
    until: datetime = row["ended_at"] or row["now"]
    seconds = max((until - row["started_at"]).total_seconds(), 1.0)
    minutes = (seconds if row["ended_at"] else min(seconds, RECENT_SECONDS)) / 60
    per_minute = (row["over"] if row["ended_at"] else row["recent"]) / minutes
    left = row["waiting"] + row["open"]
    estimated = None
    if row["ended_at"] is None and per_minute > 0 and left:
        estimated = datetime.fromtimestamp(row["now"].timestamp() + left / per_minute * 60, row["now"].tzinfo)
    unchanged = totals.get(RunOutcome.UNCHANGED, 0)
    return RunView(
        crawl_id=str(row["crawl_id"]),
        run=row["run"],
        state=RunState(row["state"]),
        trigger=RunTrigger(row["trigger"]),
        force=row["force"],
        held=HELD if row["held"] else None,
        held_documents=row["held_documents"],
        pages=row["pages"],
        waiting=row["waiting"],
        open=row["open"],
        outcomes=OutcomeCounts(**totals),
        reasons={outcome: outcomes[outcome] for outcome in told if outcome in outcomes},
        bytes=row["bytes"],
        saved=Saved(
            requests=row["not_asked"],
            bodies=row["not_sent"],
            bytes=row["saved_bytes"],
            embeddings=0 if row["force"] else unchanged,
            chunks=row["saved_chunks"],
        ),
        pages_per_minute=round(per_minute, 2) if row["over"] else None,
        estimated_end_at=estimated,
        warnings=[RunWarning(code=code, message=message, url=url) for code, message, url in row["warnings"]],
        cancel_asked_at=row["cancel_asked_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )
