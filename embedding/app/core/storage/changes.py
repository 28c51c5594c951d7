"""The changes of model that an operator asked for, and how far they are."""

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from app.core.storage.pool import store_errors

LINES_KEPT: Final = 200

ASK: Final = """
INSERT INTO model_changes (model, owner, corpus, min_recall, switch, forget) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT DO NOTHING RETURNING *
"""
READ: Final = "SELECT * FROM model_changes WHERE id = $1"
LATEST: Final = "SELECT * FROM model_changes ORDER BY id DESC LIMIT $1"
OPEN: Final = "SELECT * FROM model_changes WHERE state IN ('waiting', 'running')"
BEGIN: Final = """
UPDATE model_changes SET state = 'running', begun_at = coalesce(begun_at, now())
WHERE id = $1 AND state IN ('waiting', 'running') RETURNING true
"""
SAY: Final = f"""
UPDATE model_changes SET said = (said || $2::text[])[greatest(1, cardinality(said) + cardinality($2::text[]) - {LINES_KEPT - 1}):]
WHERE id = $1 AND state = 'running' RETURNING true
"""  # noqa: S608 - a number of our own
END: Final = "UPDATE model_changes SET state = $2, ended_at = now() WHERE id = $1 AND state = 'running'"
CANCEL: Final = """
UPDATE model_changes SET state = 'cancelled', ended_at = now() WHERE id = $1 AND state IN ('waiting', 'running')
"""


async def ask_for(
    pool: asyncpg.Pool,
    *,
    model: str,
    owner: str | None,
    corpus: str | None,
    min_recall: float,
    switch: bool,
    forget: bool,
) -> dict[str, Any] | None:
    """Note a change that is to be made; return `None` where another is under way."""
    with store_errors():
        row = await pool.fetchrow(ASK, model, owner, corpus, min_recall, switch, forget)
    return None if row is None else dict(row)


async def read_change(pool: asyncpg.Pool, number: int) -> dict[str, Any] | None:
    """Return a change, `None` where there is none of that number."""
    with store_errors():
        row = await pool.fetchrow(READ, number)
    return None if row is None else dict(row)


async def latest_changes(pool: asyncpg.Pool, limit: int) -> list[dict[str, Any]]:
    """Return the latest changes, newest first."""
    with store_errors():
        return [dict(row) for row in await pool.fetch(LATEST, limit)]


async def open_change(pool: asyncpg.Pool) -> dict[str, Any] | None:
    """Return the change that is to be carried out."""
    with store_errors():
        row = await pool.fetchrow(OPEN)
    return None if row is None else dict(row)


async def begin(pool: asyncpg.Pool, number: int) -> bool:
    """Note that a change is being made; return whether it still is to be."""
    with store_errors():
        return await pool.fetchval(BEGIN, number) is not None


async def say(pool: asyncpg.Pool, number: int, lines: Sequence[str]) -> bool:
    """Keep what is to be told of a change, the last lines of it; return whether it is still to be made."""
    with store_errors():
        return await pool.fetchval(SAY, number, list(lines)) is not None


async def end(pool: asyncpg.Pool, number: int, state: str) -> None:
    """Note how a change ended, unless it was cancelled."""
    with store_errors():
        await pool.execute(END, number, state)


async def cancel(pool: asyncpg.Pool, number: int) -> None:
    """Have a change stop; one that has ended stays as it is."""
    with store_errors():
        await pool.execute(CANCEL, number)
