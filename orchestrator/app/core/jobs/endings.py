"""Waiting for jobs to end: any number of requests of this process, with one look at the database for all of them.

It looks when it hears that a job has ended, and every two seconds whatever it hears. Who waits holds no connection.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final
from uuid import UUID

import asyncpg
from opentelemetry.instrumentation.utils import suppress_instrumentation

from ml_shared.errors import ServiceError

MOST: Final = 200
# that wait in one process
SHARE: Final = 20
# of one owner
POLL_SECONDS: Final = 2.0
REST_SECONDS: Final = 0.02
# between two looks, however many ends are heard of

logger = logging.getLogger(__name__)

_ENDED = "SELECT id FROM jobs WHERE id = ANY($1) AND placement = 'ended'"


class Endings:
    """Who waits for which job."""

    def __init__(self, pool: asyncpg.Pool, *, most: int = MOST, share: int = SHARE) -> None:
        self._pool = pool
        self._most = most
        self._share = share
        self._waiting: dict[UUID, set[asyncio.Future[None]]] = {}
        self._by_owner: Counter[str] = Counter()
        self._look = asyncio.Event()
        self._somebody = asyncio.Event()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Endings"]:
        """Look for ends within the block."""
        looking = asyncio.create_task(self._keep_looking(), name="endings")
        try:
            yield self
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking

    @property
    def anybody(self) -> bool:
        """Whether anybody waits."""
        return self._somebody.is_set()

    async def until_anybody_waits(self) -> None:
        """Return once somebody does."""
        await self._somebody.wait()

    def hear(self, moved: UUID, *, ended: bool = True) -> None:
        """Take a word that a job has moved, or ended. Whether that is so, the database says."""
        if ended and moved in self._waiting:
            self._look.set()

    async def wait(self, owner: str, job_id: UUID, seconds: float) -> bool | None:
        """Wait until a job has ended, at most so long; say whether it has.

        Returns
        -------
        bool or None
            `None` without having waited, where as many wait as may.
        """
        if self._by_owner.total() >= self._most or self._by_owner[owner] >= self._share:
            return None
        with self._waits(owner, job_id) as ended:
            self._look.set()  # it may have ended before
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await ended
            return ended.done() and not ended.cancelled()

    @contextmanager
    def _waits(self, owner: str, job_id: UUID) -> Iterator[asyncio.Future[None]]:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(job_id, set()).add(ended)
        self._by_owner[owner] += 1
        self._somebody.set()
        try:
            yield ended
        finally:
            self._by_owner[owner] -= 1
            self._by_owner += Counter()  # forgets who waits for nothing
            waiting = self._waiting.get(job_id, set())
            waiting.discard(ended)
            if not waiting:
                self._waiting.pop(job_id, None)
            if not self._waiting:
                self._somebody.clear()

    async def _keep_looking(self) -> None:
        while True:
            await self._somebody.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._look.wait()
            self._look.clear()
            try:
                await self._tell()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ServiceError) as error:
                logger.warning("endings_not_read", extra={"reason": type(error).__name__})
            await asyncio.sleep(REST_SECONDS)

    async def _tell(self) -> None:
        with suppress_instrumentation():
            rows = await self._pool.fetch(_ENDED, list(self._waiting))
        for row in rows:
            for ended in self._waiting.get(row["id"], ()):
                if not ended.done():
                    ended.set_result(None)
