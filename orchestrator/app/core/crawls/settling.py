"""What became of pages whose jobs have ended: a page's outcome is read from its job's row, and from no report of it."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from ml_shared.contracts.crawls import RunOutcome, SkipReason

DETAIL_MOST: Final = 500
# characters of what went wrong; the job has all of it

# A site that says 404 or 410 says so in the job's message: its code is that of every status.
_SETTLE: Final = f"""
WITH over AS MATERIALIZED (
    SELECT page.url_hash, page.kind, page.reason, page.not_modified, page.content_hash, jobs.ended_at, jobs.status,
        jobs.outcome AS indexed, jobs.error_code, jobs.error_message, jobs.kind = 'remove' AS removal,
        coalesce(jobs.superseded, false) AS superseded, jobs.saved_bytes, jobs.saved_chunks, coalesce((jobs.look->>'by_lastmod')::boolean, false) AS not_asked,
        known.url_hash IS NOT NULL AS known, known.content_hash AS known_hash
    FROM run_pages page
    LEFT JOIN jobs ON jobs.owner = $3 AND jobs.id = page.job_id
    LEFT JOIN crawl_documents known ON known.crawl_id = page.crawl_id AND known.url_hash = page.url_hash
    WHERE page.crawl_id = $1 AND page.run = $2 AND page.state = 'open' AND (jobs.id IS NULL OR jobs.placement = 'ended')
), told AS (
    SELECT over.*,
        CASE
            WHEN status IS NULL THEN 'failed'
            WHEN removal THEN CASE status WHEN 'completed' THEN 'removed' WHEN 'cancelled' THEN 'unchanged' ELSE 'failed' END
            WHEN status = 'cancelled' THEN 'skipped'
            WHEN status = 'failed' AND error_code IN ('robots_disallowed', 'noindex', 'unsupported_content_type') THEN 'skipped'
            WHEN status = 'failed' THEN 'failed'
            WHEN reason IS NOT NULL THEN 'skipped'
            WHEN superseded THEN 'unchanged'
            WHEN indexed IN ('new', 'changed', 'unchanged') THEN indexed
            WHEN not_modified OR (known AND known_hash = content_hash) THEN 'unchanged'
            WHEN known THEN 'changed'
            ELSE 'new'
        END AS came_to,
        CASE
            WHEN removal AND status = 'completed' THEN reason
            WHEN status IS NULL THEN 'job_forgotten'
            WHEN status = 'cancelled' THEN 'cancelled'
            WHEN status = 'failed' AND error_code = 'unsupported_content_type' THEN 'unsupported'
            WHEN status = 'failed' AND error_code = 'http_status' AND error_message ~ '\\m(404|410)\\M' THEN 'gone'
            WHEN status = 'failed' THEN error_code
            WHEN reason IS NULL AND superseded THEN 'superseded'
            WHEN reason IS NULL AND not_asked THEN 'lastmod'
            ELSE reason
        END AS because
    FROM over
)
UPDATE run_pages SET
    state = 'ended', ended_at = coalesce(told.ended_at, now()), outcome = came_to, reason = because,
    saved_bytes = told.saved_bytes, saved_chunks = told.saved_chunks, detail = coalesce(left(told.error_message, {DETAIL_MOST}), run_pages.detail)
FROM told WHERE run_pages.crawl_id = $1 AND run_pages.run = $2 AND run_pages.url_hash = told.url_hash
RETURNING run_pages.url, run_pages.url_hash, run_pages.depth, run_pages.kind, outcome, run_pages.reason, run_pages.detail, optional,
    run_pages.not_modified, run_pages.job_id, told.removal,
    CASE WHEN NOT told.superseded THEN run_pages.content_hash END AS content_hash
"""  # noqa: S608
# An unchanged page that was not sent keeps the hash of what it was; so does one of which somebody wrote another text meanwhile.
_KEEP: Final = """
INSERT INTO crawl_documents AS d (crawl_id, url_hash, url, content_hash, last_run)
SELECT $1, url_hash, url, content_hash, $2
FROM unnest($3::bytea[], $4::text[], $5::text[]) AS kept(url_hash, url, content_hash) ORDER BY url_hash
ON CONFLICT (crawl_id, url_hash) DO UPDATE SET
    content_hash = coalesce(excluded.content_hash, d.content_hash), last_run = excluded.last_run, fetched_at = now(),
    missed = 0, gone_reason = NULL
"""
_FORGET: Final = "DELETE FROM crawl_documents WHERE crawl_id = $1 AND url_hash = ANY($2)"
_WARN: Final = """
INSERT INTO run_warnings (crawl_id, run, code, url_hash, url, message)
SELECT $1, $2, code, url_hash, url, message
FROM unnest($3::text[], $4::bytea[], $5::text[], $6::text[]) AS told(code, url_hash, url, message)
WHERE (SELECT count(*) FROM run_warnings WHERE crawl_id = $1 AND run = $2 AND ($8::text[] IS NULL OR code = ANY($8))) < $7
ON CONFLICT DO NOTHING
"""
WARNINGS_MOST: Final = 100
SITEMAP_GONE: Final = "sitemap_gone"
SITEMAP_UNTIDY: Final = "sitemap_untidy"
NOTES: Final = (SITEMAP_GONE, SITEMAP_UNTIDY)
# what a run says that has met everything all the same
GONE_MESSAGE: Final = "it was read in a run before, and is not there any more: what it alone named is not met"
_NO_LIST: Final = frozenset({"not_a_list", SkipReason.ROBOTS_DISALLOWED, SkipReason.NOINDEX, SkipReason.UNSUPPORTED})
# reasons of a guess that was wrong; so is a 401 or 403, which is how stores of files answer for a name that they do not have
_BAD_LISTS: Final = """
SELECT url, url_hash, reason, detail, coalesce(reason = 'http_status' AND detail ~ '\\m(401|403)\\M', false) AS refused,
    optional AND NOT EXISTS (
        SELECT 1 FROM run_tallies WHERE crawl_id = $1 AND run = $2 AND what = 'named:' || encode(page.url_hash, 'hex')) AS guessed,
    EXISTS (
        SELECT 1 FROM run_pages earlier
        WHERE earlier.crawl_id = $1 AND earlier.url_hash = page.url_hash AND earlier.run < $2
          AND (earlier.outcome = 'new' OR NOT earlier.optional)) AS known
FROM run_pages page
WHERE crawl_id = $1 AND run = $2 AND kind = 'links' AND outcome IN ('failed', 'skipped') AND reason IS DISTINCT FROM 'trap'
ORDER BY url_hash
"""
# a run that was stopped is not whole anyhow
_MISSED_GUESSES: Final = """
UPDATE run_pages SET outcome = 'skipped' WHERE crawl_id = $1 AND run = $2 AND url_hash = ANY($3)
"""
# no failure: the run's state comes from rows
_LOST_LISTS: Final = "UPDATE run_pages SET optional = false WHERE crawl_id = $1 AND run = $2 AND url_hash = ANY($3)"
# so that the next runs know, however long it lasts and however few runs are kept
IN_CORPUS: Final = frozenset({RunOutcome.NEW, RunOutcome.CHANGED, RunOutcome.UNCHANGED})


@dataclass(frozen=True, slots=True)
class Warned:
    """What a reader of a run should know."""

    code: str
    message: str
    url: str | None = None
    url_hash: bytes = b""


async def settle(connection: Any, owner: str, crawl_id: UUID, run: int, *, dry_run: bool) -> list[Any]:
    """Give pages of a run their outcomes, where their jobs have ended; return them.

    What is in the corpus now is noted with the crawl at once, so that it is known however the run ends.
    """
    ended: list[Any] = await connection.fetch(_SETTLE, crawl_id, run, owner)
    pages = [page for page in ended if page["kind"] == "page"]
    # a document whose removal was cancelled was there before, and was not looked at
    kept = [page for page in pages if page["outcome"] in IN_CORPUS and not page["removal"]]
    if kept and not dry_run:
        columns = [[page[name] for page in kept] for name in ("url_hash", "url", "content_hash")]
        await connection.execute(_KEEP, crawl_id, run, *columns)
    removed = [page["url_hash"] for page in pages if page["outcome"] == RunOutcome.REMOVED]
    if removed:
        await connection.execute(_FORGET, crawl_id, removed)
    # what a run only guessed at something may name still: of that it is told when the run ends
    failed = [page for page in ended if page["kind"] == "links" and page["outcome"] == RunOutcome.FAILED]
    await warn(connection, crawl_id, run, [_unread(page) for page in failed if not page["optional"]])
    return pages


async def tell_of_lists(connection: Any, crawl_id: UUID, run: int) -> None:
    """Warn of the lists that a run could not read: it has not met everything then.

    A list that the run guessed at and that is not there is no such thing, unless something names it. One that was read in a run
    before and is gone now is as a page that is gone: what it alone named is not met any more, and a note says why.

    Parameters
    ----------
    connection
        In the transaction of the pass that ends the run: nothing is open.
    """
    warned: list[Warned] = []
    missed: list[bytes] = []
    lost: list[bytes] = []
    for found in await connection.fetch(_BAD_LISTS, crawl_id, run):
        is_gone = found["reason"] == "gone"
        is_no_list = is_gone or (not found["known"] and (found["refused"] or found["reason"] in _NO_LIST))
        if not (found["guessed"] and is_no_list):
            warned.append(_unread(found))
        else:
            missed.append(found["url_hash"])
            if found["known"]:
                warned.append(Warned(SITEMAP_GONE, GONE_MESSAGE, found["url"], found["url_hash"]))
        if found["known"] and not is_gone:
            lost.append(found["url_hash"])
    if missed:
        await connection.execute(_MISSED_GUESSES, crawl_id, run, missed)
    if lost:
        await connection.execute(_LOST_LISTS, crawl_id, run, lost)
    await warn(connection, crawl_id, run, warned)


def _unread(found: Any) -> Warned:
    return Warned(found["reason"] or "unread", found["detail"] or "could not be read", found["url"], found["url_hash"])


async def warn(connection: Any, crawl_id: UUID, run: int, warnings: list[Warned]) -> None:
    """Keep warnings of a run, a bounded number of them; notes leave room for those that say that it is not whole."""
    notes = [one for one in warnings if one.code in NOTES]
    others = [one for one in warnings if one.code not in NOTES]
    for kept, most, counted in ((others, WARNINGS_MOST, None), (notes, WARNINGS_MOST // 2, list(NOTES))):
        if kept:
            columns = [[getattr(one, name) for one in kept] for name in ("code", "url_hash", "url", "message")]
            await connection.execute(_WARN, crawl_id, run, *columns, most, counted)
