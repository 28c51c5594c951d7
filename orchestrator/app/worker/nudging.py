"""Asking for a pass: a word to whoever stands watch, and no task."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ml_shared.names import Stage
from ml_shared.storage.redis_client import open_sibling

CHANNEL: Final = "ml:passes"
SEND_TIMEOUT_SECONDS: Final = 2.0
BETWEEN_SECONDS: Final = 0.015
# from one word of a process to its next: less than passes of a stage keep between them, so that nothing waits for it
CONNECTIONS: Final = 2
# of a process, which says one thing after the other

logger = logging.getLogger(__name__)


class Nudger:
    """Tells which stages have something to do.

    A word that nobody hears loses nothing: beat makes a pass of every stage within seconds.
    """

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis
        self._wanted: set[Stage] = set()
        self._saying: asyncio.Task[None] | None = None

    def nudge_soon(self, *stages: Stage) -> None:
        """Ask for a pass of these stages, and don't wait for the word to be said. What is asked meanwhile is said in one."""
        self._wanted.update(stages)
        if self._wanted and (self._saying is None or self._saying.done()):
            self._saying = asyncio.create_task(self._say())

    async def flush(self) -> None:
        """Wait until all that was asked for is said."""
        if self._saying is not None:
            await self._saying

    async def _say(self) -> None:
        while self._wanted:
            wanted, self._wanted = self._wanted, set()
            await self.nudge(*wanted)
            await asyncio.sleep(BETWEEN_SECONDS)

    async def nudge(self, *stages: Stage) -> None:
        """Ask for a pass of these stages."""
        if self._redis is None or not stages:
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await self._redis.publish(CHANNEL, " ".join(sorted(stages)))
        except (RedisError, TimeoutError, OSError) as error:
            logger.warning("nudge_not_sent", extra={"failed_stage": stages[0], "reason": type(error).__name__})


@asynccontextmanager
async def open_nudger(redis: Redis | None) -> AsyncIterator[Nudger]:
    """Open a nudger with connections of its own to that Redis: one word is not worth a span."""
    if redis is None:
        yield Nudger(None)
        return
    async with open_sibling(redis, max_connections=CONNECTIONS) as own:
        nudger = Nudger(own)
        yield nudger
        await nudger.flush()


async def nudges(redis: Redis) -> AsyncIterator[Stage]:
    """Yield the stages that are asked for, as long as Redis is there.

    Raises
    ------
    redis.exceptions.RedisError, OSError
        When it is not.
    """
    async with redis.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(CHANNEL)
        async for message in channel.listen():
            for word in message["data"].decode().split():
                if word in set(Stage):  # of another version there may be others
                    yield Stage(word)
