"""Ends a fleet when the process that started it is gone: for tests, which may be killed and then stop nothing."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import psutil

from fleet.cleanup import has_ended
from fleet.layout import LOCAL_DEV, Layout, read_json
from fleet.programs import STATE_VARIABLE, Program, Tier

NAME = "tether"
POLL_SECONDS = 0.5


def tether(layout: Layout) -> Program:
    """Return the program that watches the calling process."""
    owner = psutil.Process()
    return Program(
        name=NAME,
        tier=Tier.STANDINS,
        command=[sys.executable, "-m", "fleet.tether", str(owner.pid), str(owner.create_time())],
        cwd=LOCAL_DEV,
        environment={"PATH": os.environ.get("PATH", os.defpath)},
    )


def main(pid: int, created: float) -> None:
    manager = os.getppid()
    try:
        owner = psutil.Process(pid)
        while abs(owner.create_time() - created) < 1 and not has_ended(owner):
            time.sleep(POLL_SECONDS)
    except psutil.NoSuchProcess:
        pass
    if os.getppid() == manager:
        # nobody will stop this fleet, which is what removes its socket's folder
        note = read_json(Layout(Path(os.environ[STATE_VARIABLE])).manager)
        shutil.rmtree(note["folder"], ignore_errors=True)
        os.kill(manager, signal.SIGTERM)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
