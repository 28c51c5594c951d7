"""Ends what a test process started, however that process ends: a child that waits for its pipe to close.

Fixtures clean up after themselves; this is for SIGKILL, SIGTERM and a crash, after which no fixture runs. Run as a
script, it reads lines from standard input and acts on them when the other end is gone.
"""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO

REMOVE_ATTEMPTS = 50
REMOVE_PAUSE_SECONDS = 0.1
# children of a killed server write into its folder until they notice

_lock = threading.Lock()
_pipe: IO[str] | None = None
_owner = 0


def _send(line: str) -> None:
    global _pipe, _owner
    with _lock:
        if _pipe is None or _owner != os.getpid():
            child = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__], stdin=subprocess.PIPE, text=True, start_new_session=True
            )
            child.returncode = 0  # never waited for: it outlives us by design, and Popen would warn of that
            _pipe, _owner = child.stdin, os.getpid()
            if _pipe is not None:
                atexit.register(_pipe.close)
        if _pipe is not None:
            _pipe.write(f"{line}\n")
            _pipe.flush()


def watch_process(pid: int) -> None:
    """End this process (with SIGKILL) when the calling process is gone."""
    _send(f"+pid {pid}")


def forget_process(pid: int) -> None:
    """The process has ended: its number may belong to another one soon."""
    _send(f"-pid {pid}")


def watch_folder(folder: Path) -> None:
    """Remove this folder when the calling process is gone."""
    _send(f"+dir {folder}")


def forget_folder(folder: Path) -> None:
    """The folder has been removed."""
    _send(f"-dir {folder}")


def _main() -> None:
    pids: set[int] = set()
    folders: set[str] = set()
    for line in sys.stdin:
        verb, _, value = line.rstrip("\n").partition(" ")
        if verb == "+pid":
            pids.add(int(value))
        elif verb == "-pid":
            pids.discard(int(value))
        elif verb == "+dir":
            folders.add(value)
        elif verb == "-dir":
            folders.discard(value)
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    for _ in range(REMOVE_ATTEMPTS):
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        if not any(os.path.exists(folder) for folder in folders):
            return
        time.sleep(REMOVE_PAUSE_SECONDS)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _main()
