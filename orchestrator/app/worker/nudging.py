"""Asking for a pass of a stage: one task, however many ask."""

import asyncio
import logging

from kombu.exceptions import OperationalError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ml_shared.names import Queue, Stage

NUDGE_KEPT_SECONDS = 5
# a nudge that was lost with its message holds the next ones back no longer than this
SEND_TIMEOUT_SECONDS = 2.0

logger = logging.getLogger(__name__)


class Nudger:
    """Sends a dispatch task unless one is on its way already.

    Losing a nudge loses nothing: beat makes a pass of every stage within seconds.
    """

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis

    @staticmethod
    def _key(stage: Stage) -> str:
        return f"ml:nudge:{stage}"

    async def nudge(self, stage: Stage, *, delay_seconds: float = 0.0) -> None:
        """Ask for a pass of a stage, now or after a short delay."""
        from app.worker.tasks import dispatch  # the task's module needs the app, which needs this one

        if self._redis is None:
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                key = self._key(stage) + (":later" if delay_seconds else "")
                kept_ms = int((NUDGE_KEPT_SECONDS + delay_seconds) * 1000)
                if await self._redis.set(key, 1, nx=True, px=kept_ms):
                    await asyncio.to_thread(
                        dispatch.apply_async,
                        args=[stage.value],
                        queue=Queue.ORCHESTRATION.value,
                        countdown=delay_seconds or None,
                        expires=NUDGE_KEPT_SECONDS + delay_seconds,
                    )
        except (RedisError, OperationalError, TimeoutError, OSError) as error:
            logger.warning("nudge_not_sent", extra={"failed_stage": stage, "reason": type(error).__name__})

    async def taken(self, stage: Stage) -> None:
        """Say that a pass begins: whoever asks from now on gets another."""
        if self._redis is None:
            return
        try:
            await self._redis.delete(self._key(stage), self._key(stage) + ":later")
        except (RedisError, OSError) as error:
            logger.warning("nudge_not_cleared", extra={"failed_stage": stage, "reason": type(error).__name__})
