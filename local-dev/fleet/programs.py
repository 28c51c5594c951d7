"""What a program of the fleet is, apart from which ones there are."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fleet.layout import Layout, write_private

STATE_VARIABLE = "ML_FLEET_STATE"
PROGRAM_VARIABLE = "ML_FLEET_PROGRAM"
# in the environment of every process of a fleet, so that it can be found when its manager is gone


class Tier(StrEnum):
    """Programs that are stopped together; the tiers are stopped in this order, from the client's side inwards."""

    GATEWAY = "gateway"
    WORKERS = "workers"
    SERVICES = "services"
    STANDINS = "standins"
    DATA = "data"


@dataclass(frozen=True)
class Program:
    """One process of the fleet, with its children.

    Parameters
    ----------
    needs
        Names of the programs that have to be ready before this one is started.
    ready
        Tells whether it can be used; asked again and again until it can.
    after
        Runs once it is ready, before what needs it starts.
    once
        It runs to its end, and is ready when that was a success.
    emptied
        Folders that are emptied each time it starts.
    removed
        Files that are removed each time it starts, when no process of an earlier start is left.
    user
        User and group id to run as, for what refuses to run as root.
    """

    name: str
    tier: Tier
    command: list[str]
    cwd: Path
    environment: Mapping[str, str]
    ready: Callable[[], bool] = lambda: True
    needs: tuple[str, ...] = ()
    after: Callable[[], None] | None = None
    once: bool = False
    emptied: tuple[Path, ...] = ()
    removed: tuple[Path, ...] = ()
    user: tuple[int, int] | None = None
    stop_signal: str = "TERM"
    stop_seconds: int = 10

    def write(self, layout: Layout) -> Path:
        """Write what the launcher needs to run it, and return the file."""
        path = layout.programs / f"{self.name}.json"
        marks = {STATE_VARIABLE: str(layout.state), PROGRAM_VARIABLE: self.name}
        launch = {
            "name": self.name,
            "state": str(layout.state),
            "command": self.command,
            "cwd": str(self.cwd),
            "environment": {**self.environment, **marks},
            "emptied": [str(folder) for folder in self.emptied],
            "removed": [str(file) for file in self.removed],
            "user": self.user,
        }
        write_private(path, json.dumps(launch))
        return path
