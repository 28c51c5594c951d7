"""Passes of runs: pages get their outcomes, windows are filled, and runs end, all read from rows.

Whoever makes a pass locks the run's row, so that there is one of a run at a time; a pass that was missed is made by the next.
"""

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.crawls.announcing import announce
from app.core.crawls.definition import RunDefinition, begun_with
from app.core.crawls.filling import Filled, Window, fill, follow_remembered
from app.core.crawls.frontier import SKIPPED_KEPT
from app.core.crawls.gone import HELD, RUNS_IN_A_ROW, RemoveDocuments, count_gone, is_too_many, remove_some
from app.core.crawls.settling import NOTES, settle, tell_of_lists
from app.core.crawls.taking import FEED_READ
from app.core.dispatch.pipeline import FIRST
from ml_shared.contracts.crawls import CrawlSource, OnGone, RunOutcome, RunState, SkipReason

LEFT_OUT_AT_ONCE: Final = 5_000
# pages of one transaction that are not asked for any more
RUNS_AT_ONCE: Final = 100
# passed one after the other; the next ones are those after them, so that none waits for long beyond as many

logger = logging.getLogger(__name__)

# Those in which something can be done: a job has ended, there is room and something to ask for, or nothing is left. In a run that
# has something waiting that is always so, whoever has the room. So they are taken in turns, from where the last pass of all got to.
_TO_DO: Final = """
SELECT started_at, crawl_id, run FROM runs CROSS JOIN LATERAL (
    SELECT count(*) AS open, count(*) FILTER (WHERE jobs.id IS NULL OR jobs.placement = 'ended') AS over
    FROM run_pages LEFT JOIN jobs ON jobs.owner = runs.owner AND jobs.id = run_pages.job_id
    WHERE run_pages.crawl_id = runs.crawl_id AND run_pages.run = runs.run AND run_pages.state = 'open'
) pages
WHERE (state = 'running' OR removing) AND (over > 0 OR open = 0 OR cancel_asked_at IS NOT NULL OR (open < $1 AND EXISTS (
    SELECT 1 FROM run_pages WHERE crawl_id = runs.crawl_id AND run = runs.run AND run_pages.state = 'waiting')))
ORDER BY (started_at, crawl_id, run) <= ($3, $4, $5), started_at, crawl_id, run LIMIT $2
"""
_BEFORE_ALL: Final = (datetime.min.replace(tzinfo=UTC), UUID(int=0), 0)
_ANY: Final = "SELECT EXISTS (SELECT 1 FROM runs WHERE state = 'running' OR removing)"
# What follows in the transaction finds its rows by their keys. Planned for this very crawl, which is new to the statistics, a
# join that compares each of its pages with each looks cheap: it has no pages, they say. `0023_plans_of_runs.sql` has the same.
_LOCK: Final = """
SELECT runs.*, set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
FROM runs WHERE crawl_id = $1 AND run = $2 AND (state = 'running' OR removing) FOR UPDATE SKIP LOCKED
"""
_CRAWL: Final = (
    "SELECT id, corpus_name, metadata, chunking, deleting, links_from FROM crawls WHERE owner = $1 AND id = $2"
)
_OPEN: Final = "SELECT count(*) FROM run_pages WHERE crawl_id = $1 AND run = $2 AND state = 'open'"
_LEAVE_OUT: Final = "SELECT leave_out($1, $2, $3, $4, $5)"
_CANCEL: Final = "SELECT cancel_run_jobs($1, $2, $3, $4)"
_STOP: Final = "UPDATE runs SET stopped = $3 WHERE crawl_id = $1 AND run = $2"
_COUNTS: Final = """
SELECT count(*) FILTER (WHERE kind = 'page' AND outcome IN ('new', 'changed', 'unchanged')) AS good,
    count(*) FILTER (WHERE kind = 'page' AND outcome = 'failed') AS failed,
    count(*) FILTER (WHERE kind = 'page' AND outcome = 'skipped' AND reason = 'over_limit') AS cut,
    count(*) FILTER (WHERE kind = 'links' AND outcome = 'failed') AS unread
FROM run_pages WHERE crawl_id = $1 AND run = $2
"""
# beyond the most that are kept there are counts
_SKIPPED: Final = """
SELECT (SELECT count(*) FROM run_pages WHERE crawl_id = $1 AND run = $2 AND kind = 'page' AND outcome = 'skipped')
    + coalesce((SELECT sum(count) FROM run_tallies WHERE crawl_id = $1 AND run = $2 AND what LIKE 'skipped:%'), 0)::bigint
"""
_FEED_READ: Final = "SELECT EXISTS (SELECT 1 FROM run_tallies WHERE crawl_id = $1 AND run = $2 AND what = $3)"
_WHOLE: Final = """
SELECT NOT EXISTS (SELECT 1 FROM run_tallies WHERE crawl_id = $1 AND run = $2 AND what = 'skipped:over_limit')
   AND NOT EXISTS (SELECT 1 FROM run_warnings WHERE crawl_id = $1 AND run = $2 AND code <> ALL($3))
"""
_END: Final = """
UPDATE runs SET state = $3, ended_at = CASE WHEN state = 'running' THEN now() ELSE ended_at END, held = $4, held_documents = $5,
    removing = $6
WHERE crawl_id = $1 AND run = $2
"""
_OVERTAKE: Final = "UPDATE runs SET held = NULL WHERE crawl_id = $1 AND run < $2 AND held IS NOT NULL"
_MOVED: Final = "UPDATE runs SET moved = moved + 1 WHERE crawl_id = $1 AND run = $2"
_BEGIN_REMOVING: Final = "UPDATE runs SET removing = true, removing_at = now() WHERE crawl_id = $1 AND run = $2"
# else the next run would remove what is few enough by then, and whoever cancelled would not be asked
_KEEP_GONE: Final = "UPDATE crawl_documents SET missed = 0 WHERE crawl_id = $1 AND missed >= $2"
_REMOVED: Final = "UPDATE runs SET removing = false WHERE crawl_id = $1 AND run = $2"


@dataclass
class Passed:
    """What a pass of all runs did, for who counts.

    Attributes
    ----------
    jobs, touches, removals
        Jobs that were made: those of the first stage, and two kinds of the last.
    outcomes
        Pages that came to something: skipped ones when their run ends, since most of them were met by no pass.
    ended
        Runs that ended, by how.
    """

    jobs: int = 0
    touches: int = 0
    removals: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    held: int = 0


class Passes:
    """Makes passes.

    Parameters
    ----------
    remove_documents
        Takes in the removal of documents; `app.core.jobs.removing.remove_documents`.
    """

    def __init__(self, pool: asyncpg.Pool, window: Window, remove_documents: RemoveDocuments) -> None:
        self._pool = pool
        self._window = window
        self._remove_documents = remove_documents
        self._got_to: tuple[datetime, UUID, int] = _BEFORE_ALL

    async def any_open(self) -> bool:
        """Say whether any run is under way."""
        return bool(await self._pool.fetchval(_ANY))

    async def of_all(self) -> Passed:
        """Make a pass of every run in which something can be done, of a bounded number of them: then it is the others' turn."""
        passed = Passed()
        runs = await self._pool.fetch(_TO_DO, self._window.most, RUNS_AT_ONCE, *self._got_to)
        for found in runs:
            self._got_to = (found["started_at"], found["crawl_id"], found["run"])
            try:
                await self.of_run(found["crawl_id"], found["run"], passed)
            except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                # of one run; the others go on, and this one at the next pass
                logger.warning("run_not_passed", extra={"reason": type(error).__name__})
        if len(runs) < RUNS_AT_ONCE:
            self._got_to = _BEFORE_ALL  # the oldest come first wherever there is time for all
        return passed

    async def of_run(self, crawl_id: UUID, run_number: int, passed: Passed) -> bool:
        """Make a pass of a run; say whether another one would find something to do at once."""
        async with self._pool.acquire() as connection, connection.transaction():
            run = await connection.fetchrow(_LOCK, crawl_id, run_number)
            if run is None:
                return False
            crawl = await connection.fetchrow(_CRAWL, run["owner"], crawl_id)
            one = _Pass(connection, run, crawl, self, passed)
            more = await one.make()
            await one.count()
            return more

    @property
    def window(self) -> Window:
        """How much of a run is under way at a time."""
        return self._window

    @property
    def remove_documents(self) -> RemoveDocuments:
        """What takes in removals."""
        return self._remove_documents


class _Pass:
    """One pass of one run, in a transaction that has its row locked."""

    def __init__(self, connection: Any, run: Any, crawl: Any, passes: Passes, passed: Passed) -> None:
        self._connection = connection
        self._run = run
        self._crawl = crawl
        self._passes = passes
        self._passed = passed
        self._key = (run["crawl_id"], run["run"])
        self._definition: RunDefinition = begun_with(run)
        self._moved = False

    async def make(self) -> bool:
        await self._settle()
        if self._run["state"] != RunState.RUNNING:
            return await self._stop_removing() if self._is_to_stop_removing() else await self._remove()
        if self._run["cancel_asked_at"] is not None:
            return await self._cancel()
        if self._run["removing"]:
            return await self._remove()
        filled = Filled(stale=True)
        if self._run["stopped"] is None:
            window = self._passes.window
            filled = await fill(self._connection, self._run, self._crawl, self._definition, window)
            self._passed.jobs += filled.jobs
            self._passed.touches += filled.touches
            self._moved = self._moved or bool(filled.jobs or filled.touches or filled.others)
        if filled.stale and self._run["stopped"] is None:
            await self._connection.execute(_STOP, *self._key, "nothing_new")
        if not (filled.exhausted or filled.stale):
            return filled.others > 0
        if filled.stale and await self._leave_out(SkipReason.TRAP):
            return True
        if await self._open():
            return False
        if await self._leave_out(SkipReason.OVER_LIMIT):
            return True
        return await self._end()

    async def count(self) -> None:
        """Number the pass, if it moved anything: who follows the run is told of it."""
        if self._moved:
            await self._connection.execute(_MOVED, *self._key)

    async def _settle(self) -> None:
        run, definition = self._run, self._definition
        pages = await settle(self._connection, run["owner"], *self._key, dry_run=definition.dry_run)
        self._moved = self._moved or bool(pages)
        self._passed.outcomes.update(page["outcome"] for page in pages if page["outcome"] != RunOutcome.SKIPPED)
        # what they led to may be there still
        unread = [page for page in pages if page["outcome"] == RunOutcome.FAILED and page["reason"] != "gone"]
        if not run["removing"]:  # then they are removals that failed
            await follow_remembered(self._connection, run, definition, unread)
        told = {RunOutcome.CHANGED: "page.changed", RunOutcome.REMOVED: "page.removed"}
        for page in pages:
            if page["outcome"] in told and not definition.dry_run:
                await announce(self._connection, run["owner"], told[page["outcome"]], self._said(url=page["url"]))

    async def _leave_out(self, reason: SkipReason) -> int:
        left: int = await self._connection.fetchval(_LEAVE_OUT, *self._key, reason, SKIPPED_KEPT, LEFT_OUT_AT_ONCE)
        self._moved = self._moved or bool(left)
        return left

    async def _open(self) -> int:
        return int(await self._connection.fetchval(_OPEN, *self._key))

    async def _cancel(self) -> bool:
        await self._connection.execute(_CANCEL, self._run["owner"], *self._key, FIRST.stage)
        await self._settle()
        if await self._leave_out(SkipReason.CANCELLED):
            return True
        if not await self._open():
            await self._close(RunState.CANCELLED)
        return False

    async def _end(self) -> bool:
        await tell_of_lists(self._connection, *self._key)
        counts = await self._connection.fetchrow(_COUNTS, *self._key)
        state = RunState.COMPLETED_WITH_ERRORS if counts["failed"] or counts["unread"] else RunState.COMPLETED
        if not counts["good"]:
            # nothing came of it, so it tells nothing of what is gone either
            await self._close(RunState.FAILED)
            return False
        if self._definition.dry_run:
            await self._close(state)
            return False
        whole = (
            not counts["cut"]
            and self._run["stopped"] is None
            and not await self._is_of_feed()
            and await self._connection.fetchval(_WHOLE, *self._key, list(NOTES))
        )
        documents, gone = await count_gone(self._connection, *self._key, whole=whole)
        if not gone or self._definition.on_gone is OnGone.KEEP:
            await self._close(state)
            return False
        if is_too_many(documents, gone):
            await self._close(state, held=gone)
            return False
        await self._connection.execute(_BEGIN_REMOVING, *self._key)
        return True

    async def _is_of_feed(self) -> bool:
        """Say whether a feed told the run what there is: it names its latest posts, and the older ones are no less there."""
        source = self._definition.source
        if source is not CrawlSource.SITEMAP:
            return source is CrawlSource.FEED
        return bool(await self._connection.fetchval(_FEED_READ, *self._key, FEED_READ))

    async def _remove(self) -> bool:
        """Go on removing documents that are gone; end when all of these jobs have."""
        under_way = await self._open()
        room = self._passes.window.most - under_way
        if room <= 0:
            return False
        # as they stood when that was decided, which many of them are long after
        remove_documents = partial(self._passes.remove_documents, as_of=self._run["removing_at"])
        taken = await remove_some(self._connection, self._run, self._crawl["corpus_name"], remove_documents, room=room)
        self._passed.removals += taken
        self._moved = self._moved or bool(taken)
        if taken or under_way:
            return False
        if self._run["state"] != RunState.RUNNING:
            await self._connection.execute(_REMOVED, *self._key)
            return False
        counts = await self._connection.fetchrow(_COUNTS, *self._key)
        await self._close(
            RunState.COMPLETED_WITH_ERRORS if counts["failed"] or counts["unread"] else RunState.COMPLETED
        )
        return False

    def _is_to_stop_removing(self) -> bool:
        asked, confirmed = self._run["cancel_asked_at"], self._run["confirmed_at"]
        return asked is not None and (confirmed is None or asked >= confirmed)

    async def _stop_removing(self) -> bool:
        """Leave the documents of an ended run that are not removed yet, as if they had never been gone."""
        await self._connection.execute(_CANCEL, self._run["owner"], *self._key, FIRST.stage)
        await self._settle()
        if not await self._open():
            await self._connection.execute(_KEEP_GONE, self._key[0], RUNS_IN_A_ROW)
            await self._connection.execute(_REMOVED, *self._key)
            self._moved = True
        return False

    async def _close(self, state: RunState, *, held: int = 0) -> None:
        await self._connection.execute(_END, *self._key, state, HELD if held else None, held, False)
        if state not in (RunState.CANCELLED, RunState.FAILED) and not self._definition.dry_run:
            await self._connection.execute(_OVERTAKE, *self._key)
        self._moved = True
        self._passed.ended[state] += 1
        self._passed.outcomes[RunOutcome.SKIPPED] += await self._connection.fetchval(_SKIPPED, *self._key)
        self._passed.held += bool(held)
        said = self._said(state=state, held=HELD if held else None)
        await announce(self._connection, self._run["owner"], "run.ended", said)
        logger.info("run_ended", extra={"crawl_id": str(self._key[0]), "run": self._key[1], "status": state})

    def _said(self, **more: Any) -> dict[str, Any]:
        return {"crawl_id": str(self._key[0]), "run": self._key[1], "corpus_name": self._crawl["corpus_name"], **more}


__all__ = ["Passed", "Passes"]
