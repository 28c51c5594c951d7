"""Webhooks as a resource: where an owner wants to be told. Their secrets come in here, sealed, and go out nowhere."""

import uuid
from typing import Any, Final
from uuid import UUID

import asyncpg
from pydantic import BaseModel

from app.core.errors import TooManyWebhooksError, WebhookNotFoundError
from app.core.jobs.idempotency import claim_key
from app.core.notices.sealing import Sealer, make_secret
from ml_shared.contracts.webhooks import (
    WebhookChange,
    WebhookCreated,
    WebhookList,
    WebhookRequest,
    WebhookRotated,
    WebhookView,
)
from ml_shared.web.urls import host_of, normalise_url

ROUTE: Final = "webhooks"
ROTATE_ROUTE: Final = "webhooks/rotate"
# of the one webhook whose id follows
PREVIOUS_HOURS: Final = 24.0
# that the secret before signs as well: as long as one may take to change it at the receiver's
FORGET_BATCH: Final = 1_000
# deliveries of one statement
ASKED: Final = "asked"
# the reason of a pause that its owner asked for

_LOCK_OWNER: Final = "SELECT pg_advisory_xact_lock(hashtext('webhooks of an owner'), hashtext($1))"
_INSERT: Final = """
INSERT INTO webhooks (owner, id, url, host, events, sealed) SELECT $1, $2, $3, $4, $5, $6
WHERE (SELECT count(*) FROM webhooks WHERE owner = $1) < $7 RETURNING *
"""
_FIND: Final = "SELECT * FROM webhooks WHERE owner = $1 AND id = $2"
# What is changed about the address is a new start. A pause keeps the reason that it has.
_CHANGE: Final = """
UPDATE webhooks SET
    url = coalesce($3, url), host = coalesce($4, host), events = coalesce($5, events),
    paused_at = CASE WHEN $6 THEN coalesce(paused_at, now()) WHEN NOT $6 THEN NULL ELSE paused_at END,
    pause_reason = CASE WHEN $6 THEN coalesce(pause_reason, $7) WHEN NOT $6 THEN NULL ELSE pause_reason END,
    failures = CASE WHEN $3 IS NOT NULL OR NOT $6 THEN 0 ELSE failures END,
    failing_since = CASE WHEN $3 IS NOT NULL OR NOT $6 THEN NULL ELSE failing_since END,
    not_before = CASE WHEN $3 IS NOT NULL OR NOT $6 THEN now() ELSE not_before END
WHERE owner = $1 AND id = $2 RETURNING *
"""
_ROTATE: Final = """
UPDATE webhooks SET previous_sealed = sealed, previous_until = now() + make_interval(hours => $4), sealed = $3
WHERE owner = $1 AND id = $2 RETURNING previous_until
"""
_FORGET_PENDING: Final = """
DELETE FROM webhook_deliveries WHERE (owner, id) IN (
    SELECT owner, id FROM webhook_deliveries WHERE owner = $1 AND webhook_id = $2 LIMIT $3)
"""


class _Made(BaseModel):
    """What is kept of a request with an `Idempotency-Key`."""

    webhook_id: UUID


class _NoBody(BaseModel):
    """What `rotate` is asked with."""


async def create(
    pool: asyncpg.Pool,
    owner: str,
    request: WebhookRequest,
    sealer: Sealer,
    *,
    max_webhooks: int,
    idempotency_key: str | None = None,
) -> WebhookCreated | WebhookView:
    """Make a webhook; the answer alone has its secret.

    A repeat of a request gets the webhook as it stands, and no secret, which would have to be readable for a day. Who lost the
    answer has the webhook's id, and asks for a new secret: that harms nobody, for no receiver has the one before.

    Raises
    ------
    TooManyWebhooksError
        If the owner has `max_webhooks` already.
    WebhookNotFoundError
        If it is a repeat, and the webhook was deleted since.
    IdempotencyKeyReusedError, IdempotencyInProgressError
        As `app.core.jobs.submission.submit` does.
    """
    webhook_id, secret, url = uuid.uuid4(), make_secret(), normalise_url(request.url)
    sealed = sealer.seal(owner, webhook_id, secret)
    async with pool.acquire() as connection, connection.transaction():
        if idempotency_key is not None:
            earlier = await claim_key(connection, owner, ROUTE, idempotency_key, request, _Made(webhook_id=webhook_id))
            if earlier is not None:
                return _view(await connection.fetchrow(_FIND, owner, earlier.webhook_id))
        await connection.execute(_LOCK_OWNER, owner)
        row = await connection.fetchrow(
            _INSERT, owner, webhook_id, url, host_of(url), list(request.events), sealed, max_webhooks
        )
        if row is None:  # within: what was refused leaves no key
            raise TooManyWebhooksError(
                f"you have {max_webhooks} webhooks, which is the most; delete one, or change one"
            )
    return WebhookCreated(**_fields(row), secret=secret)


async def find(pool: asyncpg.Pool, owner: str, webhook_id: UUID) -> WebhookView:
    """Return one webhook of an owner.

    Raises
    ------
    WebhookNotFoundError
        If there is none, or it is another owner's.
    """
    return _view(await pool.fetchrow(_FIND, owner, webhook_id))


async def find_all(pool: asyncpg.Pool, owner: str) -> WebhookList:
    """Return an owner's webhooks, oldest first: a bounded number."""
    rows = await pool.fetch("SELECT * FROM webhooks WHERE owner = $1 ORDER BY created_at, id", owner)
    return WebhookList(items=[_view(row) for row in rows])


async def change(pool: asyncpg.Pool, owner: str, webhook_id: UUID, wanted: WebhookChange) -> WebhookView:
    """Change a webhook, pause it, or resume it.

    What is under way for it when it is paused waits; what happens while it is paused is kept, and sent when somebody asks
    for a replay.

    Raises
    ------
    WebhookNotFoundError
        If there is none, or it is another owner's.
    """
    url = normalise_url(wanted.url) if wanted.url is not None else None
    row = await pool.fetchrow(
        _CHANGE,
        owner,
        webhook_id,
        *(url, host_of(url) if url is not None else None),
        list(wanted.events) if wanted.events is not None else None,
        wanted.paused,
        ASKED,
    )
    return _view(row)


async def rotate(
    pool: asyncpg.Pool, owner: str, webhook_id: UUID, sealer: Sealer, *, idempotency_key: str | None = None
) -> tuple[WebhookRotated, bool]:
    """Give a webhook a new secret. The one before signs as well for a day; one before that does no more.

    A repeat of a request changes nothing, since a second change would silence the secret that the receiver has; nor does it
    show the new secret, as in `create`.

    Returns
    -------
    WebhookRotated, bool
        The answer, and whether there is a new secret.

    Raises
    ------
    WebhookNotFoundError
        If there is none, or it is another owner's.
    IdempotencyInProgressError
        As `app.core.jobs.submission.submit` does.
    """
    secret, made = make_secret(), _Made(webhook_id=webhook_id)
    async with pool.acquire() as connection, connection.transaction():
        if idempotency_key is not None:
            route = f"{ROTATE_ROUTE}/{webhook_id}"
            if await claim_key(connection, owner, route, idempotency_key, _NoBody(), made) is not None:
                row = await connection.fetchrow(_FIND, owner, webhook_id)
                if row is None:
                    raise WebhookNotFoundError
                until = row["previous_until"]
                return WebhookRotated(webhook_id=str(webhook_id), previous_secret_until=until), False
        sealed = sealer.seal(owner, webhook_id, secret)
        until = await connection.fetchval(_ROTATE, owner, webhook_id, sealed, int(PREVIOUS_HOURS))
        if until is None:
            raise WebhookNotFoundError  # within: what was refused leaves no key
    return WebhookRotated(webhook_id=str(webhook_id), secret=secret, previous_secret_until=until), True


async def delete(pool: asyncpg.Pool, owner: str, webhook_id: UUID) -> None:
    """Delete a webhook, and what it was or is to be told. What is just being sent may still arrive.

    Raises
    ------
    WebhookNotFoundError
        If there is none, or it is another owner's.
    """
    deleted = await pool.execute("DELETE FROM webhooks WHERE owner = $1 AND id = $2", owner, webhook_id)
    if deleted == "DELETE 0":
        raise WebhookNotFoundError
    # some at a time; what is left when this process ends, nobody sees, and retention forgets
    while await pool.execute(_FORGET_PENDING, owner, webhook_id, FORGET_BATCH) == f"DELETE {FORGET_BATCH}":
        pass


def _view(row: Any) -> WebhookView:
    return WebhookView(**_fields(row))


def _fields(row: Any) -> dict[str, Any]:
    if row is None:
        raise WebhookNotFoundError
    return {
        "webhook_id": str(row["id"]),
        "url": row["url"],
        "events": row["events"],
        "paused": row["paused_at"] is not None,
        "paused_at": row["paused_at"],
        "pause_reason": row["pause_reason"],
        "failing_since": row["failing_since"],
        "previous_secret_until": row["previous_until"],
        "created_at": row["created_at"],
    }
