"""What is forgotten after a while: ended jobs, what hangs on them, and what was told of them.

Some rows at a time, each time in a transaction of its own, and only rows that nobody has locked: no pass, report or
submission waits for it. What one round does not come to, the next one does, minutes later.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

AT_ONCE: Final = 500
# rows of one transaction: some tens of milliseconds
ROUND: Final = 100_000
# rows of a kind that one round forgets, within the task's limit on time
REST_SECONDS: Final = 0.02
# between two of them, for whoever else wants the disk
_BEFORE_ALL: Final = datetime(2000, 1, 1, tzinfo=UTC)

logger = logging.getLogger(__name__)


async def forget(pool: asyncpg.Pool, *, jobs_ttl: timedelta, keys_ttl: timedelta) -> dict[str, int]:
    """Forget what has ended longer ago than that; return how many rows of what.

    Parameters
    ----------
    jobs_ttl
        For jobs since they ended, batches that have no job any more, and what webhooks were told.
    keys_ttl
        For `Idempotency-Key`s.
    """
    now = datetime.now(UTC)

    async def some(statement: str, *arguments: object) -> int:
        count: int = await pool.fetchval(statement, *arguments, AT_ONCE)
        return count

    forgotten = {
        "jobs": await _all(lambda: some("SELECT forget_jobs($1, $2)", now - jobs_ttl)),
        "deliveries": await _all(lambda: some("SELECT forget_deliveries($1, $2)", now - jobs_ttl))
        + await _all(lambda: some("SELECT forget_strays($1)")),
        "keys": await _all(lambda: some("SELECT forget_keys($1, $2)", now - keys_ttl)),
    }
    await _forget_batches(pool, now - jobs_ttl)
    if any(forgotten.values()):
        logger.info("forgotten", extra=forgotten)
    return forgotten


async def _all(some: Callable[[], Awaitable[int]]) -> int:
    forgotten = 0
    while forgotten < ROUND and (count := await some()):
        forgotten += count
        if count < AT_ONCE:
            break
        await asyncio.sleep(REST_SECONDS)
    return forgotten


async def _forget_batches(pool: asyncpg.Pool, before: datetime) -> None:
    after, looked = _BEFORE_ALL, 0
    while looked < ROUND:
        row = await pool.fetchrow("SELECT * FROM forget_batches($1, $2, $3)", before, after, AT_ONCE)
        looked += row["looked"]
        if row["looked"] < AT_ONCE or row["reached"] == after:
            return
        after = row["reached"]
        await asyncio.sleep(REST_SECONDS)
