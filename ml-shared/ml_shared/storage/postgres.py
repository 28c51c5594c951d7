"""Pools of PostgreSQL connections, shared out among who asks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

import asyncpg

from ml_shared.errors import UnavailableError
from ml_shared.shares import Places
from ml_shared.storage.pools import counted_postgres, database_of

COMMAND_TIMEOUT_SECONDS = 30.0
# longer than any statement of ours, short enough that a stuck server does not hold a request for ever
CONNECT_TIMEOUT_SECONDS = 5.0
CLOSE_TIMEOUT_SECONDS = 5.0
CALLERS_SHARE = 3
# one caller has at most a third of the connections
RESERVED_SHARE = 4
# and a quarter is kept for what no caller asked for: workers' reports, passes, health checks
MOST_WAITING = 256
# requests of one caller that wait for one; a statement takes milliseconds
RETRY_AFTER_SECONDS = 5.0
# a server that is restarted, or whose successor takes over, is back about then

_GONE = (
    OSError,  # a TimeoutError is one: connecting, or a statement, took too long
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.exceptions.InsufficientResourcesError,  # too many connections, a full disk
    asyncpg.exceptions.OperatorInterventionError,  # it stops, or a statement took longer than `statement_timeout`
    asyncpg.exceptions.TransactionRollbackError,  # a deadlock, or two that can't be put in any order
    asyncpg.exceptions.LockNotAvailableError,  # somebody else had it locked for longer than one waits
    asyncpg.exceptions.ReadOnlySQLTransactionError,  # after a failover: this server is not the one that writes any more
)


class StoreUnavailableError(UnavailableError):
    """PostgreSQL does not answer, or can't do it now."""

    code = "store_unavailable"


@contextmanager
def store_errors(what: str = "the database") -> Iterator[None]:
    """Turn what another try may mend (no connection, a restart, a failover, a deadlock) into `StoreUnavailableError`."""
    try:
        yield
    except _GONE as error:
        raise unavailable(error, what) from error


def unavailable(error: BaseException, what: str = "the database") -> StoreUnavailableError:
    """Return what a caller is told of an error that another try may mend."""
    return StoreUnavailableError(
        f"{what} did not answer ({type(error).__name__})", retry_after_seconds=RETRY_AFTER_SECONDS
    )


class LeanConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that goes back to its pool without a word to the server.

    asyncpg's own undoes what may outlive a transaction: session settings, advisory locks of a session, LISTEN, cursors. That is
    a round trip and four statements each time, and our pools' users do none of it (a test holds them to it). A transaction that
    is still open is rolled back all the same.
    """

    def get_reset_query(self) -> str:
        """asyncpg's hook: what is said to the server on the way back."""
        return ""


class _Held:
    """A connection, held within a block: two generators and a task a statement less than with asyncpg's and `contextlib`'s."""

    __slots__ = ("_caller", "_connection", "_places", "_pool")

    def __init__(self, pool: asyncpg.Pool, places: Places) -> None:
        self._pool = pool
        self._places = places

    async def __aenter__(self) -> Any:
        self._caller = await self._places.take()
        try:
            self._connection = await self._pool.acquire()
        except _GONE as error:
            self._places.leave(self._caller)
            raise unavailable(error) from error
        except BaseException:
            self._places.leave(self._caller)
            raise
        return self._connection

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        try:
            if isinstance(error, asyncpg.exceptions.ReadOnlySQLTransactionError):
                self._connection.terminate()  # a new one reaches the server that writes now
            await _give_back(self._pool, self._connection)
        finally:
            self._places.leave(self._caller)
        if isinstance(error, _GONE):
            raise unavailable(error) from error


async def _give_back(pool: asyncpg.Pool, connection: Any) -> None:
    """Give a connection back to its pool.

    asyncpg makes a task of it, so that a cancellation can't come between. Where nothing is said to the server it never waits, so
    that none can.
    """
    if _has_to_wait(connection):
        await pool.release(connection)
        return
    holder = connection._holder
    connection._con._on_release()
    await holder.release(holder._timeout)


def _has_to_wait(connection: Any) -> bool:
    raw, holder = connection._con, connection._holder
    return (
        raw is None
        or raw.is_closed()
        or raw.is_in_transaction()
        or raw._protocol._is_cancelling()
        or raw._protocol.queries_count >= holder._max_queries
        or holder._generation != holder._pool._generation
    )


class SharedPool:
    """A pool of asyncpg's, of which each caller gets its share.

    It has those of the pool's methods that are used here, and each takes a connection as `acquire` does.
    """

    def __init__(self, pool: asyncpg.Pool, places: Places) -> None:
        self._pool = pool
        self._places = places

    def acquire(self) -> AbstractAsyncContextManager[Any]:
        """Hold a connection within the block.

        Raises
        ------
        ShareTakenError, PlacesTakenError
            As `ml_shared.shares.Places` does.
        StoreUnavailableError
            If there is none, or what was done within the block failed for a reason that another try may mend.
        """
        return _Held(self._pool, self._places)

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        """Return a statement's rows."""
        async with self.acquire() as connection:
            rows: list[Any] = await connection.fetch(query, *arguments)
            return rows

    async def fetchrow(self, query: str, *arguments: Any) -> Any:
        """Return a statement's first row, or `None`."""
        async with self.acquire() as connection:
            return await connection.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        """Return the first value of a statement's first row, or `None`."""
        async with self.acquire() as connection:
            return await connection.fetchval(query, *arguments)

    async def executemany(self, query: str, arguments: Iterable[Sequence[Any]]) -> None:
        """Run a statement once for each set of arguments."""
        async with self.acquire() as connection:
            await connection.executemany(query, arguments)

    async def execute(self, query: str, *arguments: Any) -> str:
        """Run a statement, and return what PostgreSQL says of it."""
        async with self.acquire() as connection:
            status: str = await connection.execute(query, *arguments)
            return status


def session_limits(statement_seconds: float) -> dict[str, str]:
    """Return the settings of a session that no statement, and no transaction that was left open, outlives for long."""
    return {
        "statement_timeout": str(int(statement_seconds * 1000)),
        "idle_in_transaction_session_timeout": str(int(statement_seconds * 2000)),
    }


@asynccontextmanager
async def open_pool(
    dsn: str,
    *,
    min_size: int = 1,
    max_size: int = 10,
    init: Callable[[Any], Awaitable[None]] | None = None,
    command_timeout_seconds: float = COMMAND_TIMEOUT_SECONDS,
) -> AsyncIterator[SharedPool]:
    """Open a pool on the running loop (a pool of one loop fails on another) and close it at the end.

    Parameters
    ----------
    dsn
        As `ml_shared.settings.postgres_dsn` gives it.
    init
        Called with each new connection, to register codecs.
    command_timeout_seconds
        Longest that a statement takes: the server ends it then, whatever has become of its client.

    Raises
    ------
    OSError, asyncpg.PostgresError
        If the server cannot be reached or refuses.
    """
    pool = await asyncpg.create_pool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        init=init,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=command_timeout_seconds,
        max_inactive_connection_lifetime=300.0,
        connection_class=LeanConnection,
        server_settings=session_limits(command_timeout_seconds),
    )
    places = Places(
        f"connections to {database_of(dsn)}",
        max_size,
        share=max_size // CALLERS_SHARE,
        reserve=max_size // RESERVED_SHARE,
        waiting=MOST_WAITING,
    )
    try:
        async with places.opened():
            with counted_postgres(dsn, pool):
                yield SharedPool(pool, places)
    finally:
        try:
            await _close(pool)
        except TimeoutError:
            pool.terminate()


async def _close(pool: asyncpg.Pool) -> None:
    async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
        await pool.close()
