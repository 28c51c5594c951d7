"""Telling an owner's webhooks of what happened to a crawl, as a part of the transaction in which it happens."""

from typing import Any, Final

_THERE: Final = "SELECT to_regprocedure('announce_event(text, text, jsonb)') IS NOT NULL"
_ANNOUNCE: Final = "SELECT announce_event($1, $2, $3)"


async def announce(connection: Any, owner: str, event: str, data: dict[str, Any]) -> None:
    """Write what webhooks are to be told; nothing while the database has none."""
    if await connection.fetchval(_THERE):
        await connection.execute(_ANNOUNCE, owner, event, data)
