"""How much memory each container takes, as the engine counts it, and whom the kernel kills for it."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from compose_engine import EngineError, docker

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
PAUSE_SECONDS = 0.3


class Peaks:
    """The most that a container was seen to take, in bytes, by name: without the pages of files that it would give back."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}
        self.limits: dict[str, int] = {}

    def look(self) -> None:
        lines = docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}").splitlines()
        for name, used, _, limit in (line.split() for line in lines):
            self.seen[name] = max(self.seen.get(name, 0), size(used))
            self.limits[name] = size(limit)


def size(written: str) -> int:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", written).groups()  # type: ignore[union-attr]
    return round(float(number) * UNITS[unit])


@contextmanager
def watched() -> Iterator[Peaks]:
    """Look again and again, until the block ends."""
    peaks, over = Peaks(), threading.Event()

    def look() -> None:
        while not over.wait(PAUSE_SECONDS):
            try:
                peaks.look()
            except (EngineError, ValueError):
                continue  # a container that was just being made or removed

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def engine_events(since: datetime, kind: str) -> list[str]:
    """Return the names of the containers to which it has happened since then, once for each time."""
    now = datetime.now(UTC)
    window = ("--since", since.isoformat(), "--until", now.isoformat())
    said = docker("events", *window, "--filter", f"event={kind}", "--format", "{{.Actor.Attributes.name}}")
    return said.splitlines()
