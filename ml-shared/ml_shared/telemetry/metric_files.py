"""The files of Prometheus' multi-process mode: what ended processes leave behind.

A worker that recycles its children every few hundred tasks would leave two files a child, for ever, each read at every
scrape; and an API process that was killed would stay in the gauges of what is alive. Their counts have to stay (a
counter that falls is a reset), so they are added up in the file of a process that can't exist.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.mmap_dict import MmapedDict

FOLDED_PID: Final = 0
_ADDED_UP: Final = ("counter", "histogram")


def _files(folder: Path) -> list[tuple[Path, str, int]]:
    found = []
    for path in folder.glob("*.db"):
        kind, _, pid = path.stem.rpartition("_")
        if pid.isdigit():
            found.append((path, kind, int(pid)))
    return found


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process and thread that asks for it out of a folder. One that dies holding it lets go."""
    with (folder / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:  # closing does not do: a child that was forked meanwhile has the file open, as long as it lives
            fcntl.flock(file, fcntl.LOCK_UN)


def remove_other_processes(folder: Path) -> None:
    """Remove every file but this process' own, which are open."""
    for path, _, pid in _files(folder):
        if pid != os.getpid():
            path.unlink(missing_ok=True)


def fold_dead_processes(folder: Path) -> None:
    """Add the counts of processes that have ended to the folded file, and remove theirs and their gauges.

    One process at a time may do this in a folder, and nobody else may read it meanwhile: see `locked`.
    """
    for path, kind, pid in _files(folder):
        if pid == FOLDED_PID or _runs(pid):
            continue
        if kind in _ADDED_UP and path.stat().st_size:  # empty: killed just as it made the file
            _add(path, folder / f"{kind}_{FOLDED_PID}.db")
        path.unlink(missing_ok=True)


def _add(source: Path, target: Path) -> None:
    with contextlib.closing(MmapedDict(str(target))) as folded:  # type: ignore[no-untyped-call]
        for key, value, _, _ in MmapedDict.read_all_values_from_file(str(source)):  # type: ignore[no-untyped-call]
            former, _ = folded.read_value(key)  # type: ignore[no-untyped-call]
            folded.write_value(key, former + value, 0.0)  # type: ignore[no-untyped-call]
