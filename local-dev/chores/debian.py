"""Debian's packages, fetched and unpacked without root: Prometheus and exporters for tests, documentation for a bench.

A program is taken from the PATH if it is there.

No package index that Python's or Node's installers know has them, and no test should need an engine for images.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Final

from chores.folders import LOCAL_DEV
from ml_shared.testing.binaries import BinaryMissingError

CACHE: Final = LOCAL_DEV / ".cache" / "debian"
PACKAGES: Final = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "prometheus-redis-exporter": "prometheus-redis-exporter",
    "prometheus-postgres-exporter": "prometheus-postgres-exporter",
    "prometheus-nginx-exporter": "prometheus-nginx-exporter",
    "prometheus-blackbox-exporter": "prometheus-blackbox-exporter",
    "nginx": "nginx",  # with stub_status, which Python's wheel of it has not
}
"""Each program's package."""
FOLDERS: Final = ("usr/bin", "usr/sbin")
ATTEMPTS: Final = 3
FETCH_TIMEOUT_SECONDS: Final = 180


@lru_cache
def find(program: str) -> Path:
    """Return a program of `PACKAGES`.

    Raises
    ------
    BinaryMissingError
        If it is neither on the PATH nor to be had from Debian; the message says how to install it.
    """
    on_path = shutil.which(program)
    if on_path:
        return Path(on_path)
    with alone():
        if _unpacked(program) is None:
            _fetch(PACKAGES[program])
        found = _unpacked(program)
    if found is None:
        raise BinaryMissingError(f"Debian's package {PACKAGES[program]} has no {program}: install it on the PATH")
    return found


def _unpacked(program: str) -> Path | None:
    return next((CACHE / folder / program for folder in FOLDERS if (CACHE / folder / program).exists()), None)


def _fetch(package: str) -> None:
    remedy = f"install it so that it is on the PATH (Debian's package is {package})"
    with tempfile.TemporaryDirectory() as folder:
        try:
            archive = download(package, Path(folder))
        except BinaryMissingError as error:
            raise BinaryMissingError(f"no {package} here: {remedy}\n{error}") from error
        CACHE.mkdir(parents=True, exist_ok=True)
        if said := _run(["dpkg-deb", "--extract", str(archive), str(CACHE)], folder):
            raise BinaryMissingError(f"{archive.name} can't be unpacked: {said}")


def download(package: str, folder: Path) -> Path:
    """Download a package into a folder and return its archive.

    Raises
    ------
    BinaryMissingError
        If it is not to be had.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise BinaryMissingError("Debian's packages take apt-get and dpkg-deb")
    # lists of our own, where the system's are old or not there: without root those can't be brought up to date
    options = [f"Dir::State::lists={folder}/lists", f"Dir::Cache={folder}/cache", "Acquire::Retries=3"]
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    system = ["apt-get", "--quiet"]
    own = [*system, *(word for option in options for word in ("--option", option))]
    said = "not tried"
    for attempt in range(ATTEMPTS):
        time.sleep(2 * attempt)
        said = _run([*system, "download", package], str(folder))
        if said:
            said = _run([*own, "update"], str(folder)) or _run([*own, "download", package], str(folder))
        if not said:
            break
    if said:
        raise BinaryMissingError(f"apt-get did not get {package}:\n{said[-2000:]}")
    (archive,) = folder.glob(f"{package}_*.deb")
    return archive


def _run(command: list[str], folder: str) -> str:
    """Return what a command that failed said, and nothing for one that did not."""
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=FETCH_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{command[0]} took longer than {FETCH_TIMEOUT_SECONDS} s"
    return "" if done.returncode == 0 else (done.stderr or done.stdout or f"status {done.returncode}")


@contextmanager
def alone() -> Iterator[None]:
    """Keep other processes from fetching the same."""
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    with (CACHE.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
