"""The window of a run: a bounded number of its pages are jobs at any time, and the rest is frontier."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from app.core.crawls.definition import RunDefinition
from app.core.crawls.frontier import RunScope, all_met, meet
from app.core.crawls.taking import remembered
from app.core.jobs.ids import new_ids
from app.core.jobs.inserting import Asked, NewJob, OfRun, insert_jobs
from app.core.jobs.roots import open_roots
from app.core.jobs.touching import insert_touches
from app.core.jobs.validators import unmodified
from ml_shared.contracts.crawls import SkipReason

LOOK_AHEAD: Final = 4
# times the room: pages of the frontier among which those of different hosts are picked
HOST_SHARE: Final = 50
# of a window that one host's pages take, while there are others: it is asked one at a time
STALE_MOST: Final = 200
# pages in a row that links led to and that gave nothing new, after which a run follows no more of them

_STANDING: Final = """
SELECT host, pattern, count(*) AS open FROM run_pages WHERE crawl_id = $1 AND run = $2 AND state = 'open' GROUP BY 1, 2
"""
_ASKED: Final = "SELECT coalesce(max(nth), 0) FROM run_pages WHERE crawl_id = $1 AND run = $2 AND nth IS NOT NULL"
_ROOM_OF_OWNER: Final = "SELECT open_jobs FROM owners WHERE owner = $1"
_NEXT: Final = """
SELECT page.url_hash, page.url, page.host, page.kind, page.depth, page.pattern, page.pattern_most, page.patience,
    CASE WHEN known.missed = 0 THEN page.lastmod END AS lastmod,
    $4 AND NOT EXISTS (SELECT 1 FROM crawl_links WHERE crawl_id = page.crawl_id AND url_hash = page.url_hash AND run >= $6) AS unread
FROM run_pages page
LEFT JOIN crawl_documents known ON known.crawl_id = page.crawl_id AND known.url_hash = page.url_hash
WHERE page.crawl_id = $1 AND page.run = $2 AND page.state = 'waiting'
  AND (NOT $5 OR page.kind = 'links' OR page.pattern = pattern_of_listed(page.url_hash))
ORDER BY page.depth, page.url_hash LIMIT $3 FOR UPDATE OF page SKIP LOCKED
"""
_NOTHING_NEW: Final = "count(*) = {most} AND bool_and(outcome = 'skipped' AND reason IN ('duplicate_content', 'canonical_elsewhere', 'trap'))"
_PATTERNS: Final = f"""
SELECT asked.pattern,
    CASE WHEN asked.most IS NOT NULL THEN (SELECT count(*) FROM (
        SELECT 1 FROM run_pages WHERE crawl_id = $1 AND run = $2 AND pattern = asked.pattern AND nth IS NOT NULL
        LIMIT asked.most) few) ELSE 0 END AS asked,
    (SELECT {_NOTHING_NEW.format(most="asked.patience")} FROM (
        SELECT outcome, reason FROM run_pages
        WHERE crawl_id = $1 AND run = $2 AND pattern = asked.pattern AND nth IS NOT NULL AND state = 'ended'
        ORDER BY nth DESC LIMIT asked.patience) lately) AS stale
FROM unnest($3::bigint[], $4::integer[], $5::integer[]) AS asked(pattern, most, patience)
"""  # noqa: S608
_STALE: Final = f"""
SELECT {_NOTHING_NEW.format(most="$3")} AND bool_and(pattern <> pattern_of_listed(url_hash)) FROM (
    SELECT outcome, reason, pattern, url_hash FROM run_pages
    WHERE crawl_id = $1 AND run = $2 AND nth IS NOT NULL AND state = 'ended'
    ORDER BY nth DESC LIMIT $3) lately
"""  # noqa: S608
# What somebody listed has an end, and so have lists: these are asked for still, and what they say is nothing against links.
_HAS_LISTED: Final = """
SELECT EXISTS (SELECT 1 FROM run_pages WHERE crawl_id = $1 AND run = $2 AND state = 'open'
        AND (kind = 'links' OR pattern = pattern_of_listed(url_hash)))
    OR EXISTS (SELECT 1 FROM run_pages WHERE crawl_id = $1 AND run = $2 AND state = 'waiting'
        AND (kind = 'links' OR pattern = pattern_of_listed(url_hash)))
"""
_LISTED: Final = "SELECT urls FROM crawls WHERE owner = $1 AND id = $2"
_OPEN: Final = """
UPDATE run_pages SET state = 'open', job_id = given.job_id, nth = given.nth
FROM unnest($3::bytea[], $4::uuid[], $5::integer[]) AS given(url_hash, job_id, nth)
WHERE crawl_id = $1 AND run = $2 AND run_pages.url_hash = given.url_hash
"""
_END: Final = """
UPDATE run_pages SET state = 'ended', outcome = $4, reason = $5, ended_at = now()
WHERE crawl_id = $1 AND run = $2 AND url_hash = ANY($3)
"""
_TOUCH: Final = """
UPDATE run_pages SET state = 'open', job_id = given.job_id, not_modified = true
FROM unnest($3::bytea[], $4::uuid[]) AS given(url_hash, job_id)
WHERE crawl_id = $1 AND run = $2 AND run_pages.url_hash = given.url_hash
"""


@dataclass(frozen=True, slots=True)
class Window:
    """How much of a run is under way at a time.

    Attributes
    ----------
    most
        Its jobs.
    max_open_jobs
        Its owner's, all together.
    lastmod_trust
        For how long what a sitemap says of a page is believed, since it was looked at last.
    """

    most: int
    max_open_jobs: int
    lastmod_trust: timedelta


@dataclass(frozen=True, slots=True)
class Filled:
    """What was taken out of a frontier.

    Attributes
    ----------
    jobs
        Those that fetch a page.
    touches
        Those that touch the document of one that need not be fetched.
    others
        Pages that were left out.
    exhausted
        Whether there was room, and nothing to be asked for.
    stale
        Whether the last pages gave nothing new, so that there is no point in asking for more: all that is left is what links
        led to.
    """

    jobs: int = 0
    touches: int = 0
    others: int = 0
    exhausted: bool = False
    stale: bool = False


async def fill(connection: Any, run: Any, crawl: Any, definition: RunDefinition, window: Window) -> Filled:
    """Make jobs of pages of a run's frontier, as many as its window has room for.

    Parameters
    ----------
    run, crawl
        Their rows, the run's locked by the caller, who is one of a run at a time.
    """
    key = (run["crawl_id"], run["run"])
    standing = await connection.fetch(_STANDING, *key)
    room = window.most - sum(row["open"] for row in standing)
    room = min(room, window.max_open_jobs - (await connection.fetchval(_ROOM_OF_OWNER, run["owner"]) or 0))
    if room <= 0:
        return Filled()
    listed_only = bool(await connection.fetchval(_STALE, *key, STALE_MOST))
    if listed_only and not await connection.fetchval(_HAS_LISTED, *key):
        return Filled(stale=True)
    asked = await connection.fetchval(_ASKED, *key)
    # a run that began before its crawl was widened has the links of its own scope
    links_from = crawl["links_from"] if crawl["links_from"] <= run["run"] else 0
    found = await connection.fetch(_NEXT, *key, room * LOOK_AHEAD, definition.follow_links, listed_only, links_from)
    unchanged = await _unmodified(connection, run, crawl, definition, found, window)
    choice = _Choice(standing, room, definition.max_pages - asked, unchanged)
    await _judge(connection, key, found, choice)
    picked = choice.picked(found)
    to_touch = [page for page in picked if page["url"] in choice.old]
    await _open(connection, run, crawl, definition, [page for page in picked if page["url"] not in choice.old], asked)
    await connection.execute(_END, *key, [page["url_hash"] for page in choice.traps], "skipped", SkipReason.TRAP)
    touches = await _touch(connection, run, crawl, definition, to_touch)
    exhausted = not picked and not choice.traps
    return Filled(len(picked) - len(to_touch), touches, others=len(choice.traps), exhausted=exhausted)


class _Choice:
    """Which pages of a frontier become jobs now."""

    def __init__(self, standing: Sequence[Any], room: int, left: int, old: set[str]) -> None:
        self._room = room
        self._left = left
        self.old = old
        self._hosts: Counter[str] = Counter()
        self._patterns: Counter[int] = Counter()
        for row in standing:
            self._hosts[row["host"]] += row["open"]
            self._patterns[row["pattern"]] += row["open"]
        self.asked: Counter[int] = Counter()
        self.stale: set[int] = set()
        self.traps: list[Any] = []

    def picked(self, found: Sequence[Any]) -> list[Any]:
        """Return those that are to be asked for; `traps` has those that never are."""
        chosen: list[Any] = []
        later: list[Any] = []
        for pages in (found, later):
            for page in pages:
                if not self._may_be_asked_for(page):
                    continue
                if pages is not later and self._hosts[page["host"]] >= HOST_SHARE:
                    later.append(page)
                elif len(chosen) < self._room:
                    self._take(page)
                    chosen.append(page)
        return chosen

    def _may_be_asked_for(self, page: Any) -> bool:
        if page["kind"] != "page":
            return True
        if self._is_trap(page):
            self.traps.append(page)
            return False
        # what those of its pattern give that are under way says whether there are to be more
        return self._left > 0 and self._patterns[page["pattern"]] < page["patience"] // 2

    def _take(self, page: Any) -> None:
        self._hosts[page["host"]] += 1
        if page["kind"] == "page":
            self._patterns[page["pattern"]] += 1
            self.asked[page["pattern"]] += 1
            self._left -= page["url"] not in self.old

    def _is_trap(self, page: Any) -> bool:
        most = page["pattern_most"]
        return page["pattern"] in self.stale or (most is not None and self.asked[page["pattern"]] >= most)


async def _unmodified(
    connection: Any, run: Any, crawl: Any, definition: RunDefinition, found: Sequence[Any], window: Window
) -> set[str]:
    """Return which pages need not be asked for, because of what their sitemap says of them."""
    lastmods = {page["url"]: page["lastmod"] for page in found if page["lastmod"] is not None and not page["unread"]}
    if not lastmods or run["force"] or definition.dry_run:
        return set()
    return await unmodified(
        connection,
        run["owner"],
        crawl["corpus_name"],
        lastmods,
        _asked(crawl, definition).chunking,
        trust=window.lastmod_trust,
    )


async def _judge(connection: Any, key: tuple[UUID, int], found: Sequence[Any], choice: _Choice) -> None:
    """See how many pages of these patterns were asked for, and whether the last of them gave anything new."""
    patterns: dict[int, int | None] = {}
    patience: dict[int, int] = {}
    for page in found:
        if page["kind"] == "page":
            patterns[page["pattern"]] = page["pattern_most"] or patterns.get(page["pattern"])
            patience[page["pattern"]] = page["patience"]
    rows = await connection.fetch(_PATTERNS, *key, list(patterns), list(patterns.values()), list(patience.values()))
    for row in rows:
        choice.asked[row["pattern"]] = row["asked"]
        if row["stale"]:
            choice.stale.add(row["pattern"])


def _asked(crawl: Any, definition: RunDefinition, *, force: bool = False) -> Asked:
    """Return what is asked of each page of a run."""
    metadata = crawl["metadata"] if definition.metadata is None else definition.metadata
    chunking = crawl["chunking"] if definition.chunking is None else definition.chunking
    return Asked(crawl["corpus_name"], metadata, chunking, definition.render, force)


async def _open(
    connection: Any, run: Any, crawl: Any, definition: RunDefinition, pages: Sequence[Any], asked: int
) -> None:
    """Make jobs of pages.

    What is known of a page may be of another crawl, or of a job, or of this one while less belonged to it: where such a page leads
    now it does not know, and asks for it as if nothing were known of it.
    """
    if not pages:
        return
    pages = sorted(pages, key=lambda page: bool(page["unread"]))
    jobs = list(zip(new_ids(len(pages)), [page["url"] for page in pages], strict=True))
    async with open_roots(jobs, crawl["corpus_name"]) as traceparents:
        made = [
            NewJob(job_id, page["url"], page["host"], traceparent, document_url=page["url"], kind=page["kind"])
            for (job_id, _), page, traceparent in zip(jobs, pages, traceparents, strict=True)
        ]
        of_run = OfRun(run["crawl_id"], run["run"])
        read = sum(not page["unread"] for page in pages)
        for part, force in ((made[:read], run["force"]), (made[read:], True)):
            if part:
                options = _asked(crawl, definition, force=force)
                # the room was counted without locking the owner: who took some of it since had it first, and no harm
                await insert_jobs(connection, run["owner"], part, options, max_open_jobs=2**31 - 1, of_run=of_run)
        numbers = []
        for page in pages:
            asked += page["kind"] == "page"
            numbers.append(asked if page["kind"] == "page" else None)
        hashes = [page["url_hash"] for page in pages]
        await connection.execute(_OPEN, run["crawl_id"], run["run"], hashes, [job_id for job_id, _ in jobs], numbers)


async def _touch(connection: Any, run: Any, crawl: Any, definition: RunDefinition, pages: Sequence[Any]) -> int:
    """Touch the documents of pages of which their sitemap says that they are as they were; return how many.

    Nothing is fetched. But whether a document is there still, and made as it would be now, the last stage alone knows.
    """
    if not pages:
        return 0
    key = (run["crawl_id"], run["run"])
    jobs = dict(zip(new_ids(len(pages)), pages, strict=True))
    asked = _asked(crawl, definition)
    async with open_roots([(job_id, page["url"]) for job_id, page in jobs.items()], asked.corpus_name) as traceparents:
        made = [
            NewJob(job_id, page["url"], page["host"], traceparent)
            for (job_id, page), traceparent in zip(jobs.items(), traceparents, strict=True)
        ]
        taken = await insert_touches(connection, run["owner"], made, asked, OfRun(*key))
    touched = {job_id: page for job_id, page in jobs.items() if job_id in taken}
    await connection.execute(_TOUCH, *key, [page["url_hash"] for page in touched.values()], list(touched))
    await follow_remembered(connection, run, definition, list(touched.values()))
    return len(touched)


async def follow_remembered(connection: Any, run: Any, definition: RunDefinition, pages: Sequence[Any]) -> None:
    """Meet what pages led to when they were sent last: they were not sent now, and may lead there still."""
    if not pages or not definition.follow_links:
        return
    key = (run["crawl_id"], run["run"])
    urls = await connection.fetchval(_LISTED, run["owner"], run["crawl_id"]) if definition.needs_urls else []
    scope = RunScope(definition, definition.scope(urls or []))
    for page in pages:
        links = await remembered(connection, key[0], page["url_hash"])
        met = await all_met(scope, links, depth=page["depth"] + 1)
        await meet(connection, *key, definition, met, found_on=page["url_hash"], depth=page["depth"] + 1)
