"""The repository's folders, as the chores go through them."""

import os
import sys
from pathlib import Path

LOCAL_DEV = Path(__file__).resolve().parents[1]
REPOSITORY = LOCAL_DEV.parent
SERVICES = ("orchestrator", "scraper", "chunking", "embedding")
ALL = ("ml-shared", *SERVICES, "gateway-vm", "local-dev")


def chosen(names: list[str]) -> list[str]:
    """Return the folders asked for, in the usual order; all of them when none is."""
    unknown = sorted(set(names) - set(ALL))
    if unknown:
        sys.exit(f"no folder of ours: {', '.join(unknown)}; there are {', '.join(ALL)}")
    return [name for name in ALL if not names or name in names]


def environment() -> dict[str, str]:
    """Return an environment in which this virtual environment's commands come first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "VIRTUAL_ENV": str(Path(sys.prefix))}
