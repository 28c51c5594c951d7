"""A database that is away, full, stuck or not the one that writes any more: said as such within bounds, and gone on from."""

import asyncio
import secrets

import asyncpg
import pytest

from ml_shared.storage.postgres import StoreUnavailableError, open_pool
from ml_shared.testing.servers import PostgresServer


async def test_a_statement_that_takes_too_long_is_ended_by_the_server_too(postgres_database: str) -> None:
    async with open_pool(postgres_database, command_timeout_seconds=4) as pool:
        assert await pool.fetchval("SHOW statement_timeout") == "4s"
        assert await pool.fetchval("SHOW idle_in_transaction_session_timeout") == "8s"
        with pytest.raises(StoreUnavailableError) as raised:
            await pool.execute("SELECT pg_sleep(600)")
        assert (raised.value.status, raised.value.code) == (503, "store_unavailable")
        assert raised.value.retry_after_seconds
        connection = await asyncpg.connect(postgres_database)
        try:
            async with asyncio.timeout(60):
                while await connection.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND state = 'active' "
                    "AND pid <> pg_backend_pid()"
                ):
                    await asyncio.sleep(0.05)
        finally:
            await connection.close()


@pytest.mark.parametrize("waits", ["SET lock_timeout = '1ms'", "SET deadlock_timeout = '1ms'"])
async def test_what_somebody_else_has_locked_for_too_long_is_had_later(postgres_database: str, waits: str) -> None:
    async with open_pool(postgres_database, max_size=4) as pool:
        await pool.execute("CREATE TABLE shared AS SELECT n FROM generate_series(1, 2) n")

        async def take(first: int, then: int, both: asyncio.Barrier) -> None:
            async with pool.acquire() as connection, connection.transaction():
                await connection.execute(waits.replace("SET", "SET LOCAL"))
                for number in (first, then):
                    await connection.execute("UPDATE shared SET n = n WHERE n = $1", number)
                    if number == first:
                        await both.wait()

        both = asyncio.Barrier(2)
        told = await asyncio.gather(take(1, 2, both), take(2, 1, both), return_exceptions=True)
        refused = [one for one in told if one is not None]
        assert refused
        for error in refused:
            assert isinstance(error, StoreUnavailableError), error
            assert (error.status, bool(error.retry_after_seconds)) == (503, True)


async def test_an_error_of_ours_within_a_block_stays_what_it_is(postgres_database: str) -> None:
    async with open_pool(postgres_database) as pool:
        with pytest.raises(asyncpg.UndefinedTableError):
            await pool.execute("SELECT * FROM nothing")
        with pytest.raises(ZeroDivisionError):
            async with pool.acquire():
                raise ZeroDivisionError


async def test_a_server_without_a_free_connection_is_said_to_be_that_and_used_again_when_there_is_one(
    postgres_server: PostgresServer, postgres_database: str
) -> None:
    name, password = f"limited_{secrets.token_hex(4)}", secrets.token_hex(8)
    postgres_server.create_role(name, password)
    postgres_server.sql(f"ALTER ROLE {name} CONNECTION LIMIT 2")
    dsn = postgres_database.replace(f"postgres:{postgres_server.password}@", f"{name}:{password}@")
    assert name in dsn
    async with open_pool(dsn, max_size=5) as pool:
        taken = await asyncpg.connect(dsn)
        try:
            async with pool.acquire() as held:
                assert await held.fetchval("SELECT 1") == 1
                with pytest.raises(StoreUnavailableError, match="TooManyConnections"):
                    await pool.fetchval("SELECT 1")
        finally:
            await taken.close()
        async with pool.acquire(), asyncio.timeout(60):
            while True:
                try:
                    assert await pool.fetchval("SELECT 1") == 1
                    break
                except StoreUnavailableError:
                    await asyncio.sleep(0.05)


async def test_a_connection_to_a_server_that_only_reads_now_is_dropped(postgres_database: str) -> None:
    """A failover behind one name: the old server lives on, read-only, and whoever stays connected never writes again."""
    async with open_pool(postgres_database, max_size=2) as pool:
        await pool.execute("CREATE TABLE written (n integer)")
        await pool.execute("SET default_transaction_read_only = on")
        before = await pool.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(StoreUnavailableError, match="ReadOnly"):
            await pool.execute("INSERT INTO written VALUES (1)")
        await pool.execute("INSERT INTO written VALUES (2)")
        assert await pool.fetchval("SELECT pg_backend_pid()") != before
        assert await pool.fetchval("SELECT sum(n) FROM written") == 2


async def test_a_server_that_restarts_is_used_again(postgres_server: PostgresServer, postgres_database: str) -> None:
    async with open_pool(postgres_database, min_size=2, max_size=3) as pool:
        await pool.fetchval("SELECT 1")
        postgres_server.stop()
        try:
            for _ in range(3):
                async with asyncio.timeout(60):
                    with pytest.raises(StoreUnavailableError):
                        await pool.fetchval("SELECT 1")
        finally:
            postgres_server.start()
        async with asyncio.timeout(60):
            while True:
                try:
                    assert await pool.fetchval("SELECT 1") == 1
                    break
                except StoreUnavailableError:
                    await asyncio.sleep(0.05)
