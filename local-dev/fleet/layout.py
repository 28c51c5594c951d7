"""Where things are: the repository's folders, and the folder that holds a running fleet's state."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOCAL_DEV = Path(__file__).resolve().parents[1]
REPOSITORY = LOCAL_DEV.parent
DEFAULT_STATE = LOCAL_DEV / ".state"


def make(target: str) -> str:
    """Return the command of a target as it is typed where the user stands."""
    here = Path(os.environ.get("PWD") or Path.cwd())
    return f"make {target}" if here == LOCAL_DEV else f"make -C {os.path.relpath(LOCAL_DEV, here)} {target}"


@dataclass(frozen=True)
class Layout:
    """The state folder of one fleet, and what is where in it. Everything in it is readable by its owner only."""

    state: Path

    @property
    def keys(self) -> Path:
        return self.state / "keys"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    @property
    def data(self) -> Path:
        return self.state / "data"

    @property
    def run(self) -> Path:
        """What exists only while the fleet runs."""
        return self.state / "run"

    @property
    def programs(self) -> Path:
        """One file a program: its command and its environment, keys included."""
        return self.run / "programs"

    @property
    def metrics(self) -> Path:
        """One folder a process group: the files that its processes count in together."""
        return self.run / "metrics"

    @property
    def traces(self) -> Path:
        """Where the sink keeps the last traces, if the fleet has one."""
        return self.data / "traces"

    @property
    def ports(self) -> Path:
        return self.state / "ports.json"

    @property
    def manager(self) -> Path:
        """Which process manager runs this fleet, and where it listens."""
        return self.run / "manager.json"

    @property
    def lock(self) -> Path:
        return self.state / "lock"

    def make(self) -> None:
        """Make the folders that are missing."""
        self.state.mkdir(parents=True, exist_ok=True)
        self.state.chmod(0o700)
        for folder in (self.keys, self.logs, self.data, self.run, self.programs, self.metrics):
            folder.mkdir(mode=0o700, exist_ok=True)

    def log(self, name: str) -> Path:
        """Return the log of one process."""
        return self.logs / f"{name}.log"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, at once or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)


def read_json(path: Path) -> Any:
    """Return what a JSON file holds; None when there is none, or it is damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
