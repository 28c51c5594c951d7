"""How a PostgreSQL of ours is made and started, for tests and for the local fleet; by root too.

PostgreSQL refuses to run as root. Root therefore runs it in a user namespace, where it is an ordinary user and its
files stay root's own; where the kernel refuses that, as another user, from a folder under /var/tmp. No permission of
an existing folder is changed.
"""

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ml_shared.testing.binaries import PostgresBinaries, find_postgres

NAMESPACE = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
FOREIGN_ROOT = Path("/var/tmp")
# of the places that every user can reach, the one that is kept over a restart of the machine
UNPRIVILEGED_USERS = ("postgres", "nobody")
INITDB_TIMEOUT_SECONDS = 120.0
CHARACTER_TYPES = ("C.UTF-8", "en_US.UTF-8", "UTF-8", "C")
# which one a system has differs; full-text search needs to know the letters of more than ASCII
THROW_AWAY = {"fsync": "off", "full_page_writes": "off", "scram_iterations": "1"}


class PostgresSetupError(RuntimeError):
    """`initdb` failed, or there is no user to run PostgreSQL as."""


@dataclass(frozen=True)
class PostgresAccount:
    """Who PostgreSQL runs as, and which installation of it that user can read.

    Parameters
    ----------
    prefix
        Words before every command: the user namespace, or nothing.
    user
        The other user's id; None to stay who we are.
    """

    binaries: PostgresBinaries
    prefix: tuple[str, ...] = ()
    user: int | None = None
    group: int | None = None

    def make_folder(self, prefix: str) -> Path:
        """Make a folder of mode 700 that this account can use, in the system's place for temporary files."""
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=None if self.user is None else FOREIGN_ROOT))
        if self.user is not None and self.group is not None:
            os.chown(folder, self.user, self.group)
        return folder

    @contextlib.contextmanager
    def secret_file(self, text: str) -> Iterator[Path]:
        """Yield a file with this text that only the account (and root) can read, for the length of the block."""
        folder = self.make_folder("ml-secret-")
        try:
            path = folder / "secret"
            path.touch(mode=0o600)
            path.write_text(f"{text}\n")
            if self.user is not None and self.group is not None:
                os.chown(path, self.user, self.group)
            yield path
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _identity(self) -> dict[str, Any]:
        return {} if self.user is None else {"user": self.user, "group": self.group, "extra_groups": []}

    def popen(self, command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        """Start a command as this account, in a session of its own."""
        return subprocess.Popen(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=_environment(),
            cwd="/",
            **self._identity(),
            **options,
        )

    def run(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        """Run a command as this account to its end."""
        return subprocess.run(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=_environment(),
            cwd="/",
            timeout=INITDB_TIMEOUT_SECONDS,
            check=False,
            **self._identity(),
        )


def _environment() -> dict[str, str]:
    """Only what the server needs: a PGDATA or PGPORT of the caller's shell is about another server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _namespace_works(binaries: PostgresBinaries) -> bool:
    command = [*NAMESPACE, binaries.postgres, "--version"]
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _other_user() -> pwd.struct_passwd:
    for name in UNPRIVILEGED_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresSetupError("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it")


def _readable_copy(binaries: PostgresBinaries, user: pwd.struct_passwd) -> PostgresBinaries:
    """Return an installation that the other user can run: this one, or a copy of it under /var/tmp."""
    account = PostgresAccount(binaries, user=user.pw_uid, group=user.pw_gid)
    try:
        if account.run([binaries.postgres, "--version"]).returncode == 0:
            return binaries
    except PermissionError:
        pass
    source = binaries.folder.parent
    package = source.parent
    target = FOREIGN_ROOT / f"ml-postgres-{binaries.major}-{int(binaries.folder.stat().st_mtime)}"
    if not target.exists():
        partial = Path(tempfile.mkdtemp(prefix=f"{target.name}-", dir=FOREIGN_ROOT))
        shutil.copytree(source, partial / package.name / source.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():  # a wheel keeps there what it links to, and looks for it by relative path
            shutil.copytree(libraries, partial / libraries.name)
        partial.chmod(0o755)
        partial.rename(target)
    if target.stat().st_uid != os.geteuid():
        raise PostgresSetupError(f"{target} belongs to another user; remove it")
    return PostgresBinaries(target / package.name / source.name / binaries.folder.name, binaries.major)


@lru_cache
def postgres_account() -> PostgresAccount:
    """Return how the caller runs PostgreSQL.

    Raises
    ------
    BinaryMissingError
        When there is no PostgreSQL that will do.
    PostgresSetupError
        When the caller is root and there is no one else to run it as.
    """
    binaries = find_postgres()
    if os.geteuid() != 0:
        return PostgresAccount(binaries)
    if shutil.which("unshare") and _namespace_works(binaries):
        return PostgresAccount(binaries, prefix=tuple(NAMESPACE))
    user = _other_user()
    return PostgresAccount(_readable_copy(binaries, user), user=user.pw_uid, group=user.pw_gid)


def initialise(account: PostgresAccount, data: Path, *, password: str, throw_away: bool) -> None:
    """Make a data folder whose superuser `postgres` has this password; there is no other way in than the password.

    Parameters
    ----------
    data
        A folder that does not exist, in one that the account can write.
    throw_away
        Trade safety against a crash of the machine for speed.
    """
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",  # a socket's path may have 107 bytes, and a checkout lies anywhere
        "timezone": "UTC",
        "log_timezone": "UTC",
        "max_connections": "100",
        "shared_buffers": "64MB",
        "max_wal_size": "256MB",
        "jit": "off",  # costs more than it gives in queries of milliseconds
        **(THROW_AWAY if throw_away else {}),
    }
    words = [account.binaries.initdb, "--pgdata", str(data), "--username=postgres", "--encoding=UTF8", "--no-sync"]
    words += ["--auth=scram-sha-256", "--locale=C"]
    words += [f"--set={name}={value}" for name, value in settings.items()]
    said = ""
    with account.secret_file(password) as password_file:
        for character_type in CHARACTER_TYPES:
            done = account.run([*words, f"--pwfile={password_file}", f"--lc-ctype={character_type}"])
            if done.returncode == 0:
                return
            said = done.stderr.strip()
    raise PostgresSetupError(f"initdb failed in {data}: {said}")


def postgres_command(binaries: PostgresBinaries, data: Path, port: int) -> list[str]:
    """Return the command that runs a PostgreSQL in the foreground."""
    return [binaries.postgres, "-D", str(data), "-p", str(port)]
