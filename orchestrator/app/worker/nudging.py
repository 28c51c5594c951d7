"""Asking for a pass: a word to whoever stands watch, and no task."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Final, Protocol
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ml_shared.contracts.values import uuid_of
from ml_shared.names import Stage
from ml_shared.storage.redis_client import open_sibling

CHANNEL: Final = "ml:passes"
RUNS: Final = "runs"
# beside stages: something may be done for a run of a crawl
SEND_TIMEOUT_SECONDS: Final = 2.0
RECONNECT_SECONDS: Final = 1.0
BETWEEN_SECONDS: Final = 0.015
# from one word of a process to its next: less than passes of a stage keep between them, so that nothing waits for it
COMPANY_SECONDS: Final = 0.06
# that a job has moved waits so long for a word that a pass waits for, to be said with it: who follows a job sees no difference
CONNECTIONS: Final = 16
# of a process, which says most things one after the other

MOVED: Final = "~"
# before an id: it has moved; an id alone has ended

logger = logging.getLogger(__name__)


class Listener(Protocol):
    """Who wants to hear of jobs, from time to time."""

    @property
    def anybody(self) -> bool:
        """Whether it does now."""

    async def until_anybody_waits(self) -> None:
        """Return once it does."""

    def hear(self, moved: UUID, *, ended: bool) -> None:
        """Take a word that a job has moved, or ended; or that all of a batch may have moved."""


class Nudger:
    """Tells which stages have something to do.

    A word that nobody hears loses nothing: beat makes a pass of every stage within seconds.
    """

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis
        self._wanted: set[Stage] = set()
        self._told: set[str] = set()
        self._saying: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def nudge_soon(self, *stages: Stage, moved: Collection[str] = (), ended: Collection[str] = ()) -> None:
        """As `nudge`, and don't wait for the word to be said. What is asked meanwhile is said in one.

        That jobs have moved, and no more, waits a moment for what is more pressing.
        """
        self._wanted.update(stages)
        self._told.update(_words_of(moved, ended))
        if stages or ended:
            self._hurry.set()
        if (self._wanted or self._told) and (self._saying is None or self._saying.done()):
            self._saying = asyncio.create_task(self._say())

    async def flush(self) -> None:
        """Wait until all that was asked for is said."""
        self._hurry.set()
        if self._saying is not None:
            await self._saying

    async def _say(self) -> None:
        while self._wanted or self._told:
            with suppress(TimeoutError):
                async with asyncio.timeout(COMPANY_SECONDS):
                    await self._hurry.wait()
            self._hurry.clear()
            wanted, self._wanted = self._wanted, set()
            told, self._told = self._told, set()
            await self._publish(wanted, told)
            await asyncio.sleep(BETWEEN_SECONDS)

    async def nudge(
        self, *stages: Stage, moved: Collection[str] = (), ended: Collection[str] = (), runs: bool = False
    ) -> None:
        """Ask for a pass of these stages; name jobs and batches that have moved, and jobs that have ended.

        `runs`: runs of crawls have something to do.
        """
        await self._publish(stages, [*_words_of(moved, ended), *([RUNS] if runs else [])])

    async def _publish(self, stages: Collection[Stage], told: Collection[str]) -> None:
        if self._redis is None or not (stages or told):
            return
        try:
            async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                await self._redis.publish(CHANNEL, " ".join([*sorted(stages), *told]))
        except (RedisError, TimeoutError, OSError) as error:
            logger.warning(
                "nudge_not_sent", extra={"failed_stage": next(iter(stages), None), "reason": type(error).__name__}
            )


def _words_of(moved: Collection[str], ended: Collection[str]) -> list[str]:
    return [*(f"{MOVED}{one}" for one in moved if one not in ended), *ended]


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


async def nudges(redis: Redis) -> AsyncIterator[Stage | None]:
    """Yield the stages that are asked for, and `None` for runs of crawls, as long as Redis is there.

    Raises
    ------
    redis.exceptions.RedisError, OSError
        When it is not.
    """
    async for word in _words(redis):
        if word in set(Stage):  # the others name jobs that have ended, or are another version's
            yield Stage(word)
        elif word == RUNS:
            yield None


async def hear_moves(redis: Redis | None, listener: Listener) -> None:
    """Tell a listener what has moved, for as long as it wants to hear; until cancelled.

    It does not: nothing is listened to, for each word costs as much to hear as it did to say.
    """
    if redis is None:
        return
    async with open_sibling(redis, max_connections=1) as own:
        while True:
            await listener.until_anybody_waits()
            try:
                async with aclosing(_words(own)) as words:
                    async for word in words:
                        if not listener.anybody:
                            break
                        moved = uuid_of(word.removeprefix(MOVED))
                        if moved is not None:
                            listener.hear(moved, ended=not word.startswith(MOVED))
            except (RedisError, OSError) as error:
                logger.warning("nudges_not_heard", extra={"reason": type(error).__name__})
                await asyncio.sleep(RECONNECT_SECONDS)


async def _words(redis: Redis) -> AsyncGenerator[str, None]:
    async with redis.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(CHANNEL)
        async for message in channel.listen():
            for word in message["data"].decode().split():
                yield word
