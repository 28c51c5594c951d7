"""Real Redis and PostgreSQL for tests, on loopback and free ports, gone when the test is.

What it takes to run them (configuration, commands, how root runs PostgreSQL) is in functions of its own, because
`make up` in local-dev runs the same servers under its process manager.
"""

import contextlib
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from ml_shared.store_urls import postgres_url, redis_url
from ml_shared.testing import guard
from ml_shared.testing.postgres_setup import PostgresAccount, initialise, postgres_account, postgres_command
from ml_shared.testing.redis_setup import ping, redis_command, redis_reply, write_redis_config

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 20.0
POLL_SECONDS = 0.01
_PORTS = range(12_000, 30_000)
# below those that Linux and macOS give to outgoing connections
_PORT_ATTEMPTS = 100
_PORTS_KEPT = 256
# of those that a process was given: by the time that so many more were, it listens there or never will
START_ATTEMPTS = 3
# a free port can be taken by another process between our look and the server's start


class ServerError(RuntimeError):
    """A server did not start; the message ends with its log."""


_given: "deque[int]" = deque()


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nothing listens on, and that nobody else is given before it is used.

    No connection going out takes it. That it has been given away is kept by its namesake of UDP, which this process holds
    from then on: others that run beside it look for ports, too.
    """
    for port in random.sample(_PORTS, _PORT_ATTEMPTS):
        with (
            contextlib.suppress(OSError),
            socket.socket() as probe,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as namesake,
        ):
            namesake.bind((host, port))
            probe.bind((host, port))
            _given.append(namesake.detach())
            if len(_given) > _PORTS_KEPT:
                os.close(_given.popleft())
            return port
    raise ServerError(f"no free port on {host} in {_PORT_ATTEMPTS} attempts")


def wait_until(condition: Callable[[], bool], timeout_seconds: float, poll_seconds: float = POLL_SECONDS) -> bool:
    """Poll a condition until it holds; False when the time is up."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll_seconds)
    return True


class _Server(ABC):
    """A server process with a folder and a port of its own, as a context manager."""

    name: str

    def __init__(self) -> None:
        self.port = 0
        self.password = secrets.token_urlsafe(18)
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """The temporary folder that holds its data and its log."""
        if self._folder is None:
            raise ServerError(f"{self.name} is not running")
        return self._folder

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise ServerError(f"{self.name} is not running")
        return self._process.pid

    @abstractmethod
    def _prepare(self) -> Path:
        """Make the folder and what the server needs before its first start."""

    @abstractmethod
    def _launch(self, log: int) -> subprocess.Popen[bytes]: ...

    @abstractmethod
    def _ready(self) -> bool: ...

    _stop_signal = signal.SIGTERM

    def __enter__(self) -> Self:
        try:
            self._folder = self._prepare()
            for attempt in range(1, START_ATTEMPTS + 1):
                self.port = free_port()
                try:
                    self.start()
                    break
                except ServerError:
                    if attempt == START_ATTEMPTS:
                        raise
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._remove()

    def _remove(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            guard.forget_folder(self._folder)
            self._folder = None

    def start(self) -> None:
        """Start the server on its port and wait until it answers. Its data are those of before a `stop` or `kill`."""
        log_path = self.folder / "log"
        with log_path.open("ab") as log:
            self._process = self._launch(log.fileno())
        guard.watch_process(self._process.pid)
        process = self._process
        answered = wait_until(lambda: process.poll() is not None or self._ready(), START_TIMEOUT_SECONDS)
        if not answered or process.poll() is not None:
            self.kill()
            tail = log_path.read_text(errors="replace")[-2000:]
            raise ServerError(f"{self.name} did not start on port {self.port}:\n{tail}")

    def stop(self) -> None:
        """End the server in order, or by force when that takes too long."""
        self._end(self._stop_signal)

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start on the same port, with the same data."""
        self.stop()
        self.start()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stop the process and its children without closing a connection (SIGSTOP): a server that hangs."""
        server = psutil.Process(self.pid)
        server.suspend()  # first: from now on it has no more children
        processes = [server, *server.children(recursive=True)]
        for process in processes[1:]:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        children: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(how)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_SECONDS)
        # PostgreSQL's children outlive a killed parent for a moment, and it does not start while one of them lives
        _, alive = psutil.wait_procs(children, STOP_TIMEOUT_SECONDS)
        for child in alive:
            child.kill()
        guard.forget_process(process.pid)


class RedisServer(_Server):
    """A Redis with a password, without persistence, that refuses writes when its memory is full.

    Parameters
    ----------
    maxmemory
        As in `redis.conf`.
    """

    name = "redis-server"

    def __init__(self, *, maxmemory: str = "64mb") -> None:
        super().__init__()
        self.maxmemory = maxmemory

    @property
    def url(self) -> str:
        """`redis://:<password>@127.0.0.1:<port>/0`."""
        return redis_url("127.0.0.1", self.port, password=self.password)

    def command(self, *words: str) -> bytes:
        """Run one command and return its raw answer (RESP), for what a test wants to see from outside."""
        return redis_reply(self.port, self.password, *words)

    def flush(self) -> None:
        """`FLUSHALL`."""
        self.command("FLUSHALL")

    def _prepare(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="ml-redis-"))
        guard.watch_folder(folder)
        return folder

    def _launch(self, log: int) -> subprocess.Popen[bytes]:
        config = write_redis_config(self.folder, port=self.port, password=self.password, maxmemory=self.maxmemory)
        return subprocess.Popen(
            redis_command(config), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )

    def _ready(self) -> bool:
        return ping(self.port, self.password)


class PostgresServer(_Server):
    """A PostgreSQL with pgvector and a password, tuned for throw-away data.

    `fsync` is off: what survives `kill` is what survives the death of the process, not of the machine.
    """

    name = "postgres"
    _stop_signal = signal.SIGINT  # "fast": it ends the sessions and then itself, where SIGTERM waits for clients
    _account: PostgresAccount

    @property
    def url(self) -> str:
        """The DSN of the database `postgres`."""
        return self.dsn("postgres")

    def dsn(self, database: str) -> str:
        """Return the DSN of one of its databases."""
        return postgres_url(
            "127.0.0.1", self.port, database, user="postgres", password=self.password, scheme="postgresql"
        )

    def sql(self, *statements: str, database: str = "postgres") -> str:
        """Run statements, each by itself, through `psql` and return the rows as text, fields separated by `|`."""
        binaries = self._account.binaries
        commands = [word for statement in statements for word in ("-c", statement)]
        done = subprocess.run(
            [binaries.psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", *commands],
            env={
                "PATH": os.environ.get("PATH", ""),
                "PGHOST": "127.0.0.1",
                "PGPORT": str(self.port),
                "PGUSER": "postgres",
                "PGPASSWORD": self.password,
                "PGDATABASE": database,
            },
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise ServerError(f"psql: {done.stderr.strip()}")
        return done.stdout.strip()

    def create_role(self, name: str, password: str, *, scram_iterations: int = 1) -> None:
        """Make a role that may log in, its name and password of any characters.

        The iterations are few because the data is thrown away; some drivers refuse fewer than 4,096.
        """
        quoted, literal = name.replace('"', '""'), password.replace("'", "''")
        self.sql(f"SET scram_iterations = {scram_iterations}; CREATE ROLE \"{quoted}\" LOGIN PASSWORD '{literal}'")

    def create_database(self) -> str:
        """Make an empty database with a new name and return that name."""
        (name,) = self.copy_databases("template1")
        return name

    def copy_databases(self, *templates: str) -> list[str]:
        """Make a copy of each of these databases, to which nobody may be connected, and return the copies' names."""
        names = [f"test_{secrets.token_hex(6)}" for _ in templates]
        # by copying files: through the log, which is the default, it takes half as long again
        self.sql(
            *(
                f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"
                for name, template in zip(names, templates, strict=True)
            )
        )
        return names

    def drop_database(self, *names: str) -> None:
        """Drop databases, whoever is still connected to them."""
        self.sql(*(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)" for name in names))

    def _prepare(self) -> Path:
        self._account = postgres_account()
        folder = self._account.make_folder("ml-postgres-")
        guard.watch_folder(folder)
        initialise(self._account, folder / "data", password=self.password, throw_away=True)
        return folder

    def _launch(self, log: int) -> subprocess.Popen[bytes]:
        return self._account.popen(
            postgres_command(self._account.binaries, self.folder / "data", self.port), stdout=log, stderr=log
        )

    def _ready(self) -> bool:
        """Read the server's own note of its state: cheaper than a connection, and it comes as early as possible."""
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # the process id tells a note of ours from one that a killed server left
        return len(lines) >= 8 and lines[0].strip() == str(self.pid) and lines[7].strip() == "ready"
