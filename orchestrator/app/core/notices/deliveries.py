"""What webhooks are told: the log, tests, and sending again."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.errors import DeliveryNotFoundError, WebhookNotFoundError, WebhookPausedError
from ml_shared.contracts.cursors import Cursors
from ml_shared.contracts.values import Timestamp
from ml_shared.contracts.webhooks import (
    TEST_EVENT,
    DeliveryAccepted,
    DeliveryPage,
    DeliveryStatus,
    DeliveryView,
    ReplayAccepted,
    ReplayRequest,
)

REPLAY_BATCH: Final = 10_000
# deliveries that one request sends again
HOLD_BATCH: Final = 1_000
# of one statement

_CURSORS: Final[Cursors[tuple[datetime, UUID]]] = Cursors("deliveries", tuple[Timestamp, UUID])
# A test comes before all else of its webhook, and there is one at a time.
_TEST: Final = """
WITH waiting AS (
    SELECT id FROM webhook_deliveries WHERE owner = $1 AND webhook_id = $2 AND status = 'pending' AND next_at = '-infinity'
), made AS (
    INSERT INTO webhook_deliveries (owner, webhook_id, type, data, status, next_at)
    SELECT owner, id, $3, jsonb_build_object('webhook_id', id), 'pending', '-infinity'
    FROM webhooks WHERE owner = $1 AND id = $2 AND NOT EXISTS (SELECT 1 FROM waiting)
    RETURNING id
)
SELECT id FROM waiting UNION ALL SELECT id FROM made LIMIT 1
"""
# The same delivery, with the same id: its receiver knows it again. One that is just being sent is sent. Its attempts are
# counted on, but how long it waits after one that fails begins anew.
_REPLAYED: Final = """
status = 'pending', tried_since = NULL, ended_at = NULL, lease = NULL, leased_until = NULL, attempts_before = attempts
"""
_REPLAY_ONE: Final = f"""
UPDATE webhook_deliveries SET {_REPLAYED}, next_at = now()
WHERE owner = $1 AND webhook_id = $2 AND id = $3 AND status IN ('delivered', 'failed', 'held', 'pending')
"""  # noqa: S608
# One transaction's have the same time: at the border some are sent again, none is left out. Their turns are a microsecond apart,
# so that they are sent in the order in which they were made.
_REPLAY_SINCE: Final = f"""
WITH wanted AS MATERIALIZED (
    SELECT id, created_at FROM webhook_deliveries
    WHERE owner = $1 AND webhook_id = $2 AND created_at >= $3 AND status = ANY($4) AND type <> '{TEST_EVENT}'
    ORDER BY created_at, id LIMIT $5
), replayed AS (
    UPDATE webhook_deliveries AS d SET {_REPLAYED}, next_at = now() + turns.turn * interval '1 microsecond'
    FROM (SELECT id, row_number() OVER (ORDER BY created_at, id) AS turn FROM wanted) AS turns
    WHERE d.owner = $1 AND d.status = ANY($4) AND d.id = turns.id
    RETURNING d.id
)
SELECT (SELECT count(*) FROM replayed) AS deliveries,
    (SELECT CASE WHEN count(*) = $5 THEN max(created_at) END FROM wanted) AS next_since
"""  # noqa: S608
_HOLD: Final = """
UPDATE webhook_deliveries SET status = 'held' WHERE owner = $1 AND status = 'pending' AND id IN (
    SELECT id FROM webhook_deliveries
    WHERE owner = $1 AND webhook_id = $2 AND status = 'pending' AND next_at > '-infinity' LIMIT $3)
"""


async def find_page(
    pool: asyncpg.Pool, owner: str, webhook_id: UUID, status: DeliveryStatus | None, *, limit: int, cursor: str | None
) -> DeliveryPage:
    """Return a page of what a webhook was told or is to be told, newest first.

    Raises
    ------
    WebhookNotFoundError
        If there is none, or it is another owner's.
    InvalidCursorError
        If the cursor is not one that a page before gave.
    """
    narrowed = {"webhook_id": webhook_id, "status": status}
    last = _CURSORS.read(cursor, narrowed)
    await _check_there(pool, owner, webhook_id)
    rows = await pool.fetch(
        f"""SELECT * FROM webhook_deliveries WHERE owner = $1 AND webhook_id = $2
            {"AND status = $4" if status else ""}
            {f"AND (created_at, id) < (${5 if status else 4}, ${6 if status else 5}::uuid)" if last else ""}
            ORDER BY created_at DESC, id DESC LIMIT $3""",  # noqa: S608
        *(owner, webhook_id, limit + 1, *([status] if status else []), *(last or ())),
    )
    shown = rows[:limit]
    more = _CURSORS.write((shown[-1]["created_at"], shown[-1]["id"]), narrowed) if len(rows) > limit else None
    return DeliveryPage(items=[_view(row) for row in shown], next_cursor=more)


async def send_test(pool: asyncpg.Pool, owner: str, webhook_id: UUID) -> DeliveryAccepted:
    """Have a test sent: once, before all else that is for the webhook, and to a paused one too.

    Raises
    ------
    WebhookNotFoundError
        If there is none, or it is another owner's.
    """
    made = await pool.fetchval(_TEST, owner, webhook_id, TEST_EVENT)
    if made is None:
        raise WebhookNotFoundError
    return DeliveryAccepted(delivery_id=str(made))


async def replay(pool: asyncpg.Pool, owner: str, webhook_id: UUID, delivery_id: UUID) -> DeliveryAccepted:
    """Have one delivery sent again.

    Raises
    ------
    WebhookNotFoundError, DeliveryNotFoundError
        If there is none, or it is another owner's.
    WebhookPausedError
        If nothing is sent there.
    """
    await _check_sent_to(pool, owner, webhook_id)
    if await pool.execute(_REPLAY_ONE, owner, webhook_id, delivery_id) == "UPDATE 0":
        found = await pool.fetchval(
            "SELECT 1 FROM webhook_deliveries WHERE owner = $1 AND webhook_id = $2 AND id = $3",
            *(owner, webhook_id, delivery_id),
        )
        if found is None:
            raise DeliveryNotFoundError
    return DeliveryAccepted(delivery_id=str(delivery_id))


async def replay_since(pool: asyncpg.Pool, owner: str, webhook_id: UUID, request: ReplayRequest) -> ReplayAccepted:
    """Have sent again, oldest first, what a webhook was told or was not told since a time; at most `REPLAY_BATCH` of it.

    Raises
    ------
    WebhookNotFoundError
        If there is none, or it is another owner's.
    WebhookPausedError
        If nothing is sent there.
    """
    await _check_sent_to(pool, owner, webhook_id)
    wanted = [DeliveryStatus.FAILED, DeliveryStatus.HELD]
    if not request.undelivered_only:
        wanted.append(DeliveryStatus.DELIVERED)
    row = await pool.fetchrow(_REPLAY_SINCE, owner, webhook_id, request.since, wanted, REPLAY_BATCH)
    return ReplayAccepted(deliveries=row["deliveries"], next_since=row["next_since"])


async def hold(pool: asyncpg.Pool, owner: str, webhook_id: UUID) -> None:
    """Keep back what is to be sent to a webhook that is paused, some at a time."""
    while await pool.execute(_HOLD, owner, webhook_id, HOLD_BATCH) == f"UPDATE {HOLD_BATCH}":
        pass


async def _check_there(pool: asyncpg.Pool, owner: str, webhook_id: UUID) -> None:
    if not await pool.fetchval("SELECT 1 FROM webhooks WHERE owner = $1 AND id = $2", owner, webhook_id):
        raise WebhookNotFoundError


async def _check_sent_to(pool: asyncpg.Pool, owner: str, webhook_id: UUID) -> None:
    paused = await pool.fetchval(
        "SELECT paused_at IS NOT NULL FROM webhooks WHERE owner = $1 AND id = $2", owner, webhook_id
    )
    if paused is None:
        raise WebhookNotFoundError
    if paused:
        raise WebhookPausedError


def _view(row: Any) -> DeliveryView:
    status = DeliveryStatus(row["status"])
    waits = status is DeliveryStatus.PENDING and row["type"] != TEST_EVENT
    return DeliveryView(
        delivery_id=str(row["id"]),
        type=row["type"],
        status=status,
        attempts=row["attempts"],
        response_status=row["response_status"],
        response_excerpt=row["response_excerpt"],
        latency_seconds=row["latency_seconds"],
        error_code=row["error_code"],
        data=row["data"],
        created_at=row["created_at"],
        last_attempt_at=row["last_attempt_at"],
        next_attempt_at=row["next_at"] if waits else None,
        ended_at=row["ended_at"],
    )
