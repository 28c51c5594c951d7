"""Finding and ending processes of a fleet whose manager, or whose parent, was killed."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from fleet.programs import PROGRAM_VARIABLE, STATE_VARIABLE

SERVERS = ("postgres", "redis-server", "nginx")
# these write their title over their environment, so they are known by their working folder
STOP_SECONDS = 4.0
# Celery, whose log the killed manager no longer reads, fails to stop in order; a job that it held is handed out again
POSTGRES_STOP_SECONDS = 15.0
POLL_SECONDS = 0.02


def processes_of(state: Path) -> Iterator[tuple[psutil.Process, str]]:
    """Yield each process that belongs to the fleet of this state folder, with its program's name where it is known.

    The calling process and those that it was started by are left out.
    """
    kept = {process.pid for process in psutil.Process().parents()} | {os.getpid()}
    for process in psutil.process_iter():
        if process.pid in kept:
            continue
        try:
            name = _program_of(process, state)
        except psutil.Error:
            continue  # it ended meanwhile, or is another user's
        if name is not None:
            yield process, name


def _program_of(process: psutil.Process, state: Path) -> str | None:
    if process.status() == psutil.STATUS_ZOMBIE:
        return None
    environment = process.environ()
    if environment.get(STATE_VARIABLE) == str(state):
        return str(environment.get(PROGRAM_VARIABLE, ""))
    if process.name().startswith(SERVERS):
        folder = Path(process.cwd())
        for place in (state / "data", _foreign_data(state)):
            if place is not None and folder.is_relative_to(place):
                return folder.relative_to(place).parts[0] if folder != place else ""
    return None


def _foreign_data(state: Path) -> Path | None:
    """Return the folder outside the state folder where PostgreSQL keeps its data when another user runs it."""
    try:
        return Path((state / "foreign-data").read_text())
    except OSError:
        return None


def end_program(state: Path, name: str) -> None:
    """End whatever is left of one program, at once."""
    left = [process for process, program in processes_of(state) if program == name]
    _signal(left, signal.SIGKILL)
    _wait(left, STOP_SECONDS)


def end_all(state: Path) -> int:
    """End every process of the fleet and return how many there were.

    What keeps data comes last, since the others write to it, and PostgreSQL in order, so that it needs no recovery.
    """
    found = [process for process, _ in processes_of(state)]
    postgres = [process for process in found if _name(process) == "postgres"]
    redis = [process for process in found if _name(process) == "redis-server"]
    others = [process for process in found if process not in postgres + redis]
    for processes, how, seconds in (
        (others, signal.SIGTERM, STOP_SECONDS),
        (redis, signal.SIGTERM, STOP_SECONDS),  # a worker that loses its broker while it stops waits for it
        (postgres, signal.SIGINT, POSTGRES_STOP_SECONDS),
    ):
        own = {process.pid for process in processes}
        # what is a child of another is ended by that one
        _signal([process for process in processes if _parent(process) not in own], how)
        stubborn = _wait(processes, seconds)
        _signal(stubborn, signal.SIGKILL)
        _wait(stubborn, STOP_SECONDS)
    for process, _ in processes_of(state):  # what was born while we looked
        _signal([process], signal.SIGKILL)
    return len(found)


def has_ended(process: psutil.Process) -> bool:
    """Tell whether a process has ended, be it that nobody has asked for its exit status yet.

    In a container nobody may ever ask: the first process, which inherits orphans, is often no init.
    """
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.Error:
        return True


def _wait(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait for processes to end and return those that did not."""
    deadline = time.monotonic() + seconds
    alive = [process for process in processes if not has_ended(process)]
    while alive and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        alive = [process for process in alive if not has_ended(process)]
    return alive


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def _parent(process: psutil.Process) -> int:
    try:
        return int(process.ppid())
    except psutil.Error:
        return 0


def _signal(processes: Iterable[psutil.Process], how: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(how)
        except psutil.Error:
            continue


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let an impatient second Ctrl-C not leave half of the fleet running."""
    try:
        earlier = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not the main thread, which is the only one that a signal reaches
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)
