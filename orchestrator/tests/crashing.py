"""A process that dies between two statements: a pool that sends none from the n-th on.

What was not committed is rolled back, as the server does it when a process is killed; nobody is answered.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

STATEMENTS: Final = frozenset({"execute", "executemany", "fetch", "fetchrow", "fetchval"})


class CrashError(BaseException):
    """The process died here: nothing that a use case catches."""


class CrashingPool:
    """A pool for one use case, which dies before its n-th statement; ending a transaction is one, too.

    Parameters
    ----------
    before
        Which statement is not sent any more, from 1. `None`: it never dies.
    """

    def __init__(self, pool: asyncpg.Pool, before: int | None) -> None:
        self._pool = pool
        self._left = before
        self._dead = False

    def count(self) -> None:
        """Count a statement that is about to be sent, or die."""
        if self._left is not None:
            self._left -= 1
            self._dead = self._dead or self._left <= 0
        if self._dead:
            raise CrashError

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator["CrashingConnection"]:
        """As `asyncpg.Pool.acquire`."""
        async with self._pool.acquire() as connection:
            yield CrashingConnection(connection, self.count)

    def __getattr__(self, name: str) -> Any:
        if name not in STATEMENTS:
            raise AttributeError(name)

        async def call(*arguments: Any, **options: Any) -> Any:
            async with self.acquire() as connection:
                return await getattr(connection, name)(*arguments, **options)

        return call


class CrashingConnection:
    """A connection of such a pool."""

    def __init__(self, connection: Any, count: Callable[[], None]) -> None:
        self._connection = connection
        self._count = count

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """As `asyncpg.Connection.transaction`."""
        transaction = self._connection.transaction()
        await transaction.start()
        try:
            yield
            self._count()
        except BaseException:
            await transaction.rollback()
            raise
        await transaction.commit()

    def __getattr__(self, name: str) -> Any:
        if name not in STATEMENTS:
            raise AttributeError(name)

        def call(*arguments: Any, **options: Any) -> Any:
            self._count()
            return getattr(self._connection, name)(*arguments, **options)

        return call
