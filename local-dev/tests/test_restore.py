"""`restore.sh` on a real PostgreSQL: what fails on the way leaves the database that was there, whoever looks at it meanwhile."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ml_shared.testing.binaries import find_postgres
from ml_shared.testing.servers import PostgresServer

SCRIPT = Path(__file__).resolve().parents[2] / "orchestrator" / "restore.sh"
PATIENCE_SECONDS = 60.0
# `docker compose` of one VM whose database is the test's: `exec` runs the command here, and `run` what the test calls a migration
DOCKER = """#!/bin/sh
shift # compose
if [ "$1" = --progress ]; then shift 2; fi
action=$1; shift
case $action in
    exec) shift 2; exec "$@" ;;
    ps) cat running ;;
    stop) : >running; echo "stopped $*" >>told ;;
    start) printf '%s\\n' "$@" >running; echo "started $*" >>told ;;
    run) exec sh ./migration ;;
    *) echo "no such action: $action" >&2; exit 9 ;;
esac
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@dataclass(frozen=True)
class Vm:
    """A folder with the script, whose database has one row more than its dump."""

    folder: Path
    server: PostgresServer
    database: str

    def environment(self) -> dict[str, str]:
        """What the container of the database has, and the Makefile gives."""
        return {
            "PATH": f"{self.folder / 'bin'}:{find_postgres().folder}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.server.port),
            "POSTGRES_USER": "postgres",
            "POSTGRES_PASSWORD": self.server.password,
            "DATABASE": self.database,
            "DATABASE_SERVICE": "postgres",
            "MIGRATE_SERVICE": "migrate",
            "SERVICES": "api worker alloy",
            "ROWS": "jobs",
            "FORCE": "1",
        }

    def begin(self, migration: str) -> "subprocess.Popen[str]":
        """Begin a restore whose migration is this line of shell."""
        (self.folder / "migration").write_text(migration)
        return subprocess.Popen(
            ["sh", str(SCRIPT), "dump"],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def restore(self, migration: str = ":") -> tuple[int, str]:
        """Restore, and return the exit status with what was said on standard error."""
        with self.begin(migration) as process:
            _, errors = process.communicate(timeout=PATIENCE_SECONDS)
        return process.returncode, errors

    def psql(self, *arguments: str) -> "subprocess.Popen[str]":
        """Open a session on the database, which stays until it is closed."""
        environment = self.environment() | {"PGUSER": "postgres", "PGPASSWORD": self.server.password}
        environment |= {"PGAPPNAME": "a stranger"}
        command = [find_postgres().psql, "-XqAt", "-d", self.database, *arguments]
        return subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    @contextmanager
    def session(self) -> Iterator[None]:
        """Hold a session open on the database for the length of the block."""
        with self.psql() as stranger:
            assert stranger.stdin is not None
            assert stranger.stdout is not None
            stranger.stdin.write("SELECT 'here';\n")
            stranger.stdin.flush()
            assert stranger.stdout.readline() == "here\n"
            try:
                yield
            finally:
                stranger.kill()

    def rows(self) -> int:
        """How many rows the database has: one is the dump's, two are what was there."""
        return int(self.server.sql("SELECT count(*) FROM jobs", database=self.database))

    def databases(self) -> list[str]:
        """The databases that begin as this one does."""
        return self.server.sql(f"SELECT datname FROM pg_database WHERE datname LIKE '{self.database}%'").split()

    def told(self) -> str:
        """What the engine was told to stop and to start."""
        return (self.folder / "told").read_text() if (self.folder / "told").exists() else ""


@pytest.fixture
def vm(tmp_path: Path, server: PostgresServer) -> Vm:
    vm = Vm(tmp_path, server, server.create_database())
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    (tmp_path / "running").write_text("postgres\napi\nworker\nalloy\n")
    server.sql("CREATE TABLE jobs AS SELECT 1 AS number", database=vm.database)
    environment = vm.environment() | {"PGUSER": "postgres", "PGPASSWORD": server.password}
    dump = [find_postgres().pg_dump, "-Fc", "-f", str(tmp_path / "dump"), vm.database]
    subprocess.run(dump, env=environment, check=True, timeout=PATIENCE_SECONDS)
    server.sql("INSERT INTO jobs VALUES (2)", database=vm.database)
    return vm


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.05)


def test_a_dump_takes_the_place_of_what_is_there(vm: Vm) -> None:
    status, errors = vm.restore()
    assert (status, errors, vm.rows(), vm.databases()) == (0, "", 1, [vm.database])
    assert vm.told() == "stopped api worker alloy\nstarted api worker alloy\n"


def test_a_migration_that_refuses_the_dump_leaves_what_was_there(vm: Vm) -> None:
    status, errors = vm.restore("echo no such schema >&2; exit 3")
    assert (status != 0, vm.rows(), vm.databases()) == (True, 2, [vm.database])
    assert f"failed; {vm.database} is what it was" in errors
    assert "started api worker alloy" in vm.told()


def test_whoever_is_on_the_refused_dump_does_not_keep_it_in_place(vm: Vm) -> None:
    stay = f"PGUSER=postgres PGPASSWORD=$POSTGRES_PASSWORD psql -Xq -d {vm.database} -c"
    status, errors = vm.restore(f"""
        {stay} 'SELECT pg_sleep(120)' >/dev/null 2>&1 &
        until [ "$({stay} "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'" -At)" = 1 ]
        do sleep 0.1; done
        exit 3""")
    assert (status != 0, vm.rows(), vm.databases()) == (True, 2, [vm.database])
    assert f"failed; {vm.database} is what it was" in errors


def test_a_signal_while_the_dump_has_the_name_gives_it_back(vm: Vm) -> None:
    with vm.begin("touch reached; until [ -e sent ]; do sleep 0.05; done") as process:
        wait_until((vm.folder / "reached").exists)
        process.send_signal(signal.SIGTERM)
        (vm.folder / "sent").touch()  # the shell hears it when the migration ends
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, vm.rows(), vm.databases()) == (1, 2, [vm.database])
    assert f"failed; {vm.database} is what it was" in errors


def test_a_session_of_somebody_else_is_named(vm: Vm) -> None:
    with vm.session():
        status, errors = vm.restore()
    assert (status != 0, vm.rows()) == (True, 2)
    assert "1 connections" in errors
    assert "for a stranger at 127.0.0.1" in errors
    assert "started api worker alloy" in vm.told()


def test_what_cannot_be_told_starts_nothing(vm: Vm) -> None:
    # a migration after which even the names can't be asked for: the database's container is gone
    status, errors = vm.restore("printf '#!/bin/sh\\nexit 1\\n' >bin/docker; exit 3")
    assert status != 0
    assert "nothing is started" in errors
    assert f"rename {vm.database}_replaced to {vm.database}" in errors
    assert "started" not in vm.told()
