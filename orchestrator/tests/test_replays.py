"""What is sent again: in which order, and how soon after an attempt that fails."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from conftest import Core
from pydantic import SecretStr

from app.core.notices import deliveries, webhooks
from app.core.notices.courier import JITTER, RETRY_SECONDS, Courier
from app.core.notices.sealing import Sealer
from app.core.notices.sending import Attempt, Message
from ml_shared.contracts.webhooks import ReplayRequest, WebhookEvent, WebhookRequest

SEALER = Sealer([SecretStr("k" * 32)])
OWNER = "key:a"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Sender:
    """Notes what it is to send, and answers as it is told to."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.answer = Attempt(None, 0.1, 200, "thanks")

    async def send(self, url: str, message: Message, secrets: list[str]) -> Attempt:
        self.sent.append(message.data.get("n"))
        return self.answer


@pytest.fixture
async def webhook_id(core: Core) -> UUID:
    made = await webhooks.create(
        core.pool,
        OWNER,
        WebhookRequest(url="http://receiver.test/", events=[WebhookEvent.RUN_ENDED]),
        SEALER,
        max_webhooks=20,
    )
    return UUID(made.webhook_id)


async def failed(core: Core, webhook_id: UUID, count: int, attempts: int) -> None:
    """Have deliveries in the log that failed, the last first."""
    await core.pool.execute(
        """INSERT INTO webhook_deliveries (owner, webhook_id, type, data, status, attempts, ended_at, created_at)
           SELECT $1, $2, 'run.ended', jsonb_build_object('n', n), 'failed', $4, now(),
               now() - interval '1 hour' + make_interval(secs => n)
           FROM generate_series($3::integer, 1, -1) n ORDER BY n * 7919 % 101""",
        *(OWNER, webhook_id, count, attempts),
    )


@pytest.mark.parametrize("alone", [True, False], ids=["one", "all"])
async def test_what_is_sent_again_waits_as_if_it_had_not_failed_before(
    core: Core, webhook_id: UUID, alone: bool
) -> None:
    await failed(core, webhook_id, 1, attempts=12)
    if alone:
        delivery_id = await core.pool.fetchval("SELECT id FROM webhook_deliveries")
        await deliveries.replay(core.pool, OWNER, webhook_id, delivery_id)
    else:
        await deliveries.replay_since(core.pool, OWNER, webhook_id, ReplayRequest(since=LONG_AGO))
    sender = Sender()
    sender.answer = Attempt("http_status", 0.1, 503, "warming up")
    courier = Courier(core.pool, sender, SEALER)  # type: ignore[arg-type]
    for step, attempts in ((0, 13), (1, 14)):
        assert await courier.take() == 1
        await courier.settled()
        row = await core.pool.fetchrow("SELECT attempts, next_at - last_attempt_at AS wait FROM webhook_deliveries")
        assert row["attempts"] == attempts, "the log counts on"
        usual = timedelta(seconds=RETRY_SECONDS[step])
        assert usual * (1 - JITTER) <= row["wait"] < timedelta(hours=1), "and not four hours, as after twelve"
        await core.pool.execute("UPDATE webhook_deliveries SET next_at = now()")
        await core.pool.execute("UPDATE webhooks SET not_before = now()")


async def test_what_is_sent_again_since_a_time_is_sent_oldest_first(core: Core, webhook_id: UUID) -> None:
    await failed(core, webhook_id, 60, attempts=3)
    await deliveries.replay_since(core.pool, OWNER, webhook_id, ReplayRequest(since=LONG_AGO))
    sender = Sender()
    courier = Courier(core.pool, sender, SEALER)  # type: ignore[arg-type]
    while await courier.take():
        await courier.settled()
    assert sender.sent == list(range(1, 61))
