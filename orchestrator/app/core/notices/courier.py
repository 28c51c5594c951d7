"""Sending what the outbox holds: leased work, a bounded number at a time, for as long as a process lives.

An endpoint that hangs costs its own turns and nobody else's: two at a time a host, ten seconds each, and after a failure
all that is for it waits. Nor do many that hang: of one owner no more is under way than is left free. What this process was sending when it dies is sent again once its lease is over, with the same id.
"""

import asyncio
import logging
import random
from contextlib import suppress
from typing import Any, Final

import asyncpg
from opentelemetry.instrumentation.utils import suppress_instrumentation

from app.core import metrics
from app.core.errors import SecretUnreadableError
from app.core.notices import deliveries
from app.core.notices.sealing import Sealer
from app.core.notices.sending import GONE, SECRET_UNREADABLE, TIMEOUT_SECONDS, Attempt, Message, Sender
from ml_shared.errors import ServiceError

A_HOST: Final = 2
IN_FLIGHT: Final = 64
# of this process; each may hold a thread that looks up a name
LEASE_SECONDS: Final = 3 * TIMEOUT_SECONDS
IDLE_SECONDS: Final = 1.0
# between looks for what is due
REST_SECONDS: Final = 0.05
# between two looks, however many deliveries end
DAY_SECONDS: Final = 86_400.0
RETRY_SECONDS: Final = (5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400)
# after each attempt, the last for all that follow, for a day
JITTER: Final = 0.2
END_SECONDS: Final = 2.5
# for what is under way, when the process is to end

logger = logging.getLogger(__name__)

_CLAIM: Final = "SELECT * FROM claim_deliveries($1, $2, $3)"
_SETTLE: Final = "SELECT settle_delivery($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"


def retry_seconds(attempts: int, asked: float | None, jitter: float) -> float:
    """Return how long after an attempt the next one is due: longer each time, and no sooner than the receiver asks."""
    return max(RETRY_SECONDS[min(attempts, len(RETRY_SECONDS)) - 1] * jitter, asked or 0.0)


class Courier:
    """Sends what is due.

    Parameters
    ----------
    day_seconds
        How long one delivery is tried, and how long an endpoint may fail before it is paused.
    """

    def __init__(self, pool: asyncpg.Pool, sender: Sender, sealer: Sealer, *, day_seconds: float = DAY_SECONDS) -> None:
        self._pool = pool
        self._sender = sender
        self._sealer = sealer
        self._day_seconds = day_seconds
        self._under_way: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()

    async def work(self) -> None:
        """Send what is due until cancelled; then wait a little for what is under way."""
        try:
            while True:
                self._ended.clear()
                await self._look()
                with suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_SECONDS):
                        await self._ended.wait()
                await asyncio.sleep(REST_SECONDS)
        finally:
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=END_SECONDS)

    async def _look(self) -> None:
        try:
            await self.take()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ServiceError) as error:
            logger.warning("webhooks_not_read", extra={"reason": type(error).__name__})

    async def take(self) -> int:
        """Claim what is due, as far as there is room, and begin to send it; return how many deliveries that are."""
        room = IN_FLIGHT - len(self._under_way)
        if room <= 0:
            return 0
        with suppress_instrumentation():
            due = await self._pool.fetch(_CLAIM, A_HOST, room, LEASE_SECONDS)
        for one in due:
            sending = asyncio.create_task(self._deliver(one))
            self._under_way.add(sending)
            sending.add_done_callback(self._forget)
        return len(due)

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _forget(self, sending: "asyncio.Task[None]") -> None:
        self._under_way.discard(sending)
        self._ended.set()

    async def _deliver(self, one: Any) -> None:
        attempt = await self._attempt(one)
        metrics.count_delivery(attempt)
        told = {
            "webhook_id": str(one["webhook_id"]),
            "delivery_id": str(one["id"]),
            "code": attempt.error,
            "status": attempt.status,
        }
        if attempt.error is not None:
            logger.info("webhook_not_delivered", extra=told)
        try:
            if await self._settle(one, attempt):
                logger.warning("webhook_paused", extra=told)
                metrics.WEBHOOKS_PAUSED.inc()
                with suppress_instrumentation():
                    await deliveries.hold(self._pool, one["owner"], one["webhook_id"])
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ServiceError) as error:
            # its lease runs out, and it is sent again
            logger.warning("delivery_not_settled", extra={**told, "reason": type(error).__name__})

    async def _attempt(self, one: Any) -> Attempt:
        try:
            secrets = [self._sealer.open(one["owner"], one["webhook_id"], one["sealed"])]
        except SecretUnreadableError:
            return Attempt(SECRET_UNREADABLE, 0.0)
        secrets += self._previous(one)
        message = Message(one["id"], one["type"], one["created_at"], one["data"])
        return await self._sender.send(one["url"], message, secrets)

    def _previous(self, one: Any) -> list[str]:
        """Return the secret before, where it signs as well; where its key was taken out, the present one signs alone."""
        if one["previous_sealed"] is None:
            return []
        try:
            return [self._sealer.open(one["owner"], one["webhook_id"], one["previous_sealed"])]
        except SecretUnreadableError:
            told = {"webhook_id": str(one["webhook_id"]), "delivery_id": str(one["id"])}
            logger.warning("previous_secret_unreadable", extra=told)
            return []

    async def _settle(self, one: Any, attempt: Attempt) -> bool:
        """Note how an attempt went; say whether its endpoint is paused by it."""
        jitter = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        with suppress_instrumentation():
            paused: bool = await self._pool.fetchval(
                _SETTLE,
                *(one["owner"], one["id"], one["lease"]),
                *(attempt.status, attempt.seconds, attempt.excerpt, attempt.error),
                retry_seconds(one["attempts"], attempt.retry_after_seconds, jitter),
                *(jitter, self._day_seconds, attempt.error == GONE),
            )
        return paused
