"""What pages were known by when they were last looked at. Scrapes are told it by their claim; this is what else it is good for."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

FORGET_BATCH: Final = 1_000

# of these URLs of a corpus, looked at lately, and after what their site says was their last change
_UNMODIFIED = """
SELECT asked.url FROM unnest($3::text[], $4::timestamptz[]) AS asked(url, lastmod)
JOIN validators AS v ON v.owner = $1 AND v.corpus_name = $2 AND v.url = asked.url
WHERE asked.lastmod < v.looked_at AND v.looked_at > now() - $5::interval AND v.chunking_hash = chunking_hash_of($6)
"""
_FORGET = """
DELETE FROM validators WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM validators WHERE looked_at < now() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED))
"""


async def unmodified(
    connection: Any,
    owner: str,
    corpus_name: str,
    lastmods: Mapping[str, datetime],
    chunking: Mapping[str, Any],
    *,
    trust: timedelta,
) -> set[str]:
    """Return which pages need no look: their sitemap says that they last changed before we last looked at them.

    A sitemap is believed for a while only: a page that was not looked at for longer than that is to be looked at, whatever is
    said of it. What is found here without a look leaves that time as it is.

    Parameters
    ----------
    connection
        A connection, or a pool.
    lastmods
        By URL in its normal form, when the page last changed. Of a date without a time that is its end: a page that changes
        twice a day is said to have changed on that day.
    chunking
        The settings that the pages are to be cut with, as a job's row has them: under others there is no look that counts.
    trust
        How long a sitemap is believed (`LASTMOD_TRUST_DAYS`).
    """
    rows = await connection.fetch(
        _UNMODIFIED, owner, corpus_name, list(lastmods), list(lastmods.values()), trust, dict(chunking)
    )
    return {row["url"] for row in rows}


async def forget(pool: asyncpg.Pool, age: timedelta) -> int:
    """Forget what pages were known by that nobody has looked at for so long, a batch at a time; return of how many."""
    forgotten = 0
    while True:
        status: str = await pool.execute(_FORGET, age, FORGET_BATCH)
        count = int(status.rpartition(" ")[2])
        forgotten += count
        if count < FORGET_BATCH:
            return forgotten
