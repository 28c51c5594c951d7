"""A page's result, taken: its job moves on, and its links are in the frontier, all of it or nothing.

What is to be decided of a link needs no database, so it is decided before the transaction; that holds the job's row, and
for the links' sake its run's rows of these URLs, for as long as two statements take.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg
from pydantic import ValidationError

from app.core.crawls.addresses import HASH_BYTES, hash_of, page_url
from app.core.crawls.definition import Definition, begun_with
from app.core.crawls.frontier import LINKS_MOST, SITEMAPS_DEEP, Link, Met, RunScope, all_met, meet, to_read
from app.core.crawls.settling import SITEMAP_UNTIDY, Warned, warn
from app.core.crawls.traps import listed
from ml_shared.contracts.crawls import CrawlSource, SkipReason
from ml_shared.contracts.links import LISTED_MAX, LinkList, ListKind
from ml_shared.contracts.scraping import ScrapeResult
from ml_shared.web.urls import InvalidUrlError, is_too_long

SITEMAPS_MOST: Final = 1_000
# of a run
LISTED_AT_ONCE: Final = 5_000
WARNING_MOST: Final = 300
# characters of one
FEEDS: Final = frozenset({ListKind.RSS, ListKind.ATOM})
FEED_READ: Final = "feed_read"
# among a run's tallies: one of its lists is a feed

_OF_JOB: Final = """
SELECT jobs.crawl_id, jobs.run, jobs.kind, jobs.url AS job_url, page.url_hash, page.depth, page.url, page.pattern, runs.definition,
    CASE WHEN runs.definition->>'source' = 'list' AND runs.definition->>'sites' IS NULL THEN crawls.urls ELSE '{}' END AS urls, page.kind AS page_kind
FROM jobs
LEFT JOIN run_pages page ON page.crawl_id = jobs.crawl_id AND page.run = jobs.run AND page.job_id = jobs.id
    AND page.state = 'open'
LEFT JOIN runs ON runs.crawl_id = jobs.crawl_id AND runs.run = jobs.run
LEFT JOIN crawls ON crawls.owner = runs.owner AND crawls.id = runs.crawl_id
WHERE jobs.id = $1 AND jobs.crawl_id IS NOT NULL
"""
_REMEMBERED: Final = "SELECT links, unfollowed FROM crawl_links WHERE crawl_id = $1 AND url_hash = $2"
_URLS: Final = """
SELECT known.url, known.lastmod FROM unnest($2::bytea[]) AS linked(url_hash) CROSS JOIN LATERAL (
    SELECT url, lastmod FROM run_pages
    WHERE crawl_id = $1 AND url_hash = linked.url_hash ORDER BY run DESC LIMIT 1) known
"""
_REMEMBER: Final = """
INSERT INTO crawl_links (crawl_id, url_hash, run, links, unfollowed) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (crawl_id, url_hash) DO UPDATE SET
    run = excluded.run, links = excluded.links, unfollowed = excluded.unfollowed
"""
_SITEMAPS: Final = "SELECT count(*) FROM run_pages WHERE crawl_id = $1 AND run = $2 AND kind = 'links'"
# A list that a run guessed at may be under way, or be over: its row is the passes'. That something names it stands beside it.
_NAMED: Final = """
INSERT INTO run_tallies (crawl_id, run, what, count)
SELECT $1, $2, 'named:' || encode(url_hash, 'hex'), 1 FROM run_pages
WHERE crawl_id = $1 AND run = $2 AND url_hash = ANY($3) AND optional ORDER BY url_hash
ON CONFLICT DO NOTHING
"""
_COUNT: Final = """
INSERT INTO run_tallies AS t (crawl_id, run, what, count) VALUES ($1, $2, $3, $4)
ON CONFLICT (crawl_id, run, what) DO UPDATE SET count = t.count + excluded.count
"""


@dataclass(frozen=True, slots=True)
class CrawledPage:
    """What a page of a run came to, before it is taken.

    Attributes
    ----------
    index
        Whether it goes on to be cut and embedded, if nothing else is found to keep it.
    reason, detail
        Why it does not, if that is known already.
    is_listed
        Whether somebody named it, and not links alone.
    elsewhere
        The URL that is the document in its place, if it says so and that belongs to the crawl.
    named
        That URL as the run meets it.
    links
        What it leads to.
    beyond
        How many more links it has than are taken of a page.
    too_long
        How many have more characters than a URL may have: nothing that a run could ask for, so one without them is whole.
    remember
        Whether these links are to be known when it is not sent the next time.
    is_feed
        Whether it is a list that names what is new alone.
    """

    crawl_id: UUID
    run: int
    url_hash: bytes
    depth: int
    definition: Definition
    kind: str
    is_listed: bool = False
    index: bool = False
    reason: SkipReason | None = None
    detail: str | None = None
    elsewhere: str | None = None
    named: Met | None = None
    content_hash: str | None = None
    not_modified: bool = False
    links: tuple[Met, ...] = ()
    beyond: int = 0
    too_long: int = 0
    remember: bool = False
    is_feed: bool = False
    warnings: tuple[Warned, ...] = ()


async def read_page(
    pool: asyncpg.Pool, job_id: UUID, read_body: Callable[[], Awaitable[bytes | None]], *, not_modified: bool
) -> CrawledPage | None:
    """Return what a job's result means for the run that it is of, or `None` if it is of none.

    Parameters
    ----------
    read_body
        Reads what the scraper made of the page, as it is kept; none of a page that was not sent.
    """
    row = await pool.fetchrow(_OF_JOB, job_id)
    if row is None or row["url_hash"] is None:
        return None
    body = await read_body()
    definition = begun_with(row)
    scope = RunScope(definition, definition.scope(row["urls"]))
    found = CrawledPage(
        *(row["crawl_id"], row["run"], row["url_hash"], row["depth"], definition, row["page_kind"]),
        is_listed=row["pattern"] == listed(row["url_hash"]).pattern,
    )
    try:
        if found.kind == "links":
            return await _listed(found, scope, LinkList.model_validate_json(body or b""))
        if not_modified:
            links = await remembered(pool, found.crawl_id, found.url_hash)
            met = await all_met(scope, links, depth=found.depth + 1) if definition.follow_links else []
            return _with(found, index=not definition.dry_run, not_modified=True, links=tuple(met))
        if body is None:
            return _with(found, index=not definition.dry_run)
        return await _page(found, scope, row["url"], ScrapeResult.model_validate_json(body))
    except ValidationError:
        if found.kind == "links":
            lost = Warned("sitemap_incomplete", "what was read of it was not kept", row["url"], found.url_hash)
            return _with(found, warnings=(lost,))
        # the next stage finds it spoilt, and says so
        return _with(found, index=not definition.dry_run)


def _with(page: CrawledPage, **more: Any) -> CrawledPage:
    fields = {name: getattr(page, name) for name in page.__slots__}
    return CrawledPage(**{**fields, **more})


async def _page(found: CrawledPage, scope: RunScope, url: str, page: ScrapeResult) -> CrawledPage:
    definition = scope.definition
    reason, detail, elsewhere = None, None, None
    final = _form(page.final_url, definition)
    if final not in (None, url):
        reason = scope.scope.refusal(final)
        detail, elsewhere = (final, None) if reason is not None else (None, final)
    canonical = _form(page.canonical_url, definition)
    if reason is None and canonical is not None and scope.scope.refusal(canonical) is None:
        elsewhere = None if canonical == url else canonical
    if definition.source is CrawlSource.LIST:
        elsewhere = None  # its pages, and no others
    links: list[Met] = []
    beyond, too_long = 0, 0
    if reason is None:
        reason = scope.scope.refusal(url)  # where a run begins is read for its links, whatever is asked for
        elsewhere = None if reason is not None else elsewhere
    if definition.follow_links and detail is None:
        refused = set(page.nofollow_links)
        given = [Link(link, nofollow=page.nofollow or link in refused) for link in page.links[:LINKS_MOST]]
        links = await all_met(scope, given, depth=found.depth + 1)
        too_long = sum(is_too_long(link.url) for link in given) + page.links_too_long
        beyond = len(page.links) - len(given) + page.links_left_out
    return _with(
        found,
        index=not definition.dry_run,
        reason=reason,
        detail=detail,
        elsewhere=elsewhere,
        named=None if elsewhere is None else scope.met(Link(elsewhere), depth=found.depth, is_listed=found.is_listed),
        content_hash=page.content_hash,
        links=tuple(links),
        beyond=beyond,
        too_long=too_long,
        remember=not definition.dry_run,
    )


def _form(url: str | None, definition: Definition) -> str | None:
    try:
        return None if url is None else page_url(url, keep_query=definition.keep_query)
    except InvalidUrlError:
        return None


async def _listed(found: CrawledPage, scope: RunScope, told: LinkList) -> CrawledPage:
    """Return what a sitemap, a feed or a robots.txt leads to."""
    links = [Link(link.url, link.lastmod) for link in told.links[:LISTED_MAX]]
    pages = await all_met(scope, links, depth=0, are_listed=True)
    further = [met for met in map(to_read, told.sitemaps[:SITEMAPS_MOST]) if met is not None]
    deep = found.depth >= SITEMAPS_DEEP
    warned = [("sitemap_incomplete", text[:WARNING_MOST]) for text in told.warnings[:1]]
    if told.notes:
        warned.append((SITEMAP_UNTIDY, "; ".join(told.notes)[:WARNING_MOST]))
    if told.truncated:
        warned.append(("sitemap_truncated", "it names more than is read of one list"))
    if deep and further:
        warned.append(("sitemap_too_deep", f"lists of lists are read {SITEMAPS_DEEP} deep"))
    warnings = tuple(Warned(code, message, told.url, found.url_hash) for code, message in warned)
    return _with(found, links=(*pages, *([] if deep else further)), warnings=warnings, is_feed=told.kind in FEEDS)


async def remembered(connection: Any, crawl_id: UUID, url_hash: bytes) -> list[Link]:
    """Return where the links of a page led when it was sent last."""
    row = await connection.fetchrow(_REMEMBERED, crawl_id, url_hash)
    if row is None:
        return []
    return [
        *await _linked(connection, crawl_id, row["links"], nofollow=False),
        *await _linked(connection, crawl_id, row["unfollowed"], nofollow=True),
    ]


async def _linked(connection: Any, crawl_id: UUID, packed: bytes, *, nofollow: bool) -> list[Link]:
    if not packed:
        return []
    hashes = [packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES)]
    return [Link(row["url"], nofollow=nofollow) for row in await connection.fetch(_URLS, crawl_id, hashes)]


async def take_links(connection: Any, page: CrawledPage) -> None:
    """Put into the frontier what a page leads to, as a part of the transaction that takes its result."""
    pages = [met for met in page.links if met.kind == "page"]
    for at in range(0, len(pages), LISTED_AT_ONCE):
        part = pages[at : at + LISTED_AT_ONCE]
        depth = page.depth + 1 if page.kind == "page" else 0
        await meet(connection, page.crawl_id, page.run, page.definition, part, found_on=page.url_hash, depth=depth)
    if page.named is not None and page.named.reason is None:
        await meet(
            connection, page.crawl_id, page.run, page.definition, [page.named], found_on=page.url_hash, depth=page.depth
        )
    sitemaps = [met for met in page.links if met.kind == "links"]
    if sitemaps:
        room = SITEMAPS_MOST - await connection.fetchval(_SITEMAPS, page.crawl_id, page.run)
        if room < len(sitemaps):
            text = f"a run reads {SITEMAPS_MOST} sitemaps at most"
            await warn(connection, page.crawl_id, page.run, [Warned("too_many_sitemaps", text)])
        await meet(
            connection,
            page.crawl_id,
            page.run,
            page.definition,
            sitemaps[: max(room, 0)],
            found_on=page.url_hash,
            depth=page.depth + 1,
        )
        await connection.execute(_NAMED, page.crawl_id, page.run, [met.url_hash for met in sitemaps])
    for reason, links in ((SkipReason.OVER_LIMIT, page.beyond), (SkipReason.UNSUPPORTED, page.too_long)):
        if links:
            await connection.execute(_COUNT, page.crawl_id, page.run, f"skipped:{reason}", links)
    if page.is_feed:
        await connection.execute(_COUNT, page.crawl_id, page.run, FEED_READ, 1)
    if page.remember:
        within = [met for met in pages if met.reason is not SkipReason.OUT_OF_SCOPE]
        followed = b"".join(met.url_hash for met in within if met.reason is not SkipReason.NOFOLLOW)
        unfollowed = b"".join(met.url_hash for met in within if met.reason is SkipReason.NOFOLLOW)
        await connection.execute(_REMEMBER, page.crawl_id, page.url_hash, page.run, followed, unfollowed)
    await warn(connection, page.crawl_id, page.run, list(page.warnings))


def hash_elsewhere(page: CrawledPage) -> bytes | None:
    """Return what the page that is the document in this one's place is found by."""
    return None if page.elsewhere is None else hash_of(page.elsewhere)
