"""Fetches what the bench needs besides torch and numpy, as wheels for a machine with a card and no package index.

    python -m bench.gpu.wheels FOLDER [--python 3.12]

What is fetched are this environment's versions. There, with the checkout and the folder:

    python3 -m pip install --no-index --no-deps --target /tmp/site FOLDER/*.whl
    cd local-dev && PYTHONPATH=/tmp/site:../ml-shared python3 -m bench.gpu
"""

import argparse
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOTS: Final = (
    "ml-shared",
    "cloudcix-ml-embedding",
    "httpx",
    "orjson",
    "psutil",
    "starlette",
    "tokenizers",
    "uvicorn[standard]",
)
THERE: Final = frozenset({"torch", "numpy", "ml-shared", "cloudcix-ml-embedding", "pip", "setuptools"})
# with the card's Python, or in the checkout
PLATFORMS: Final = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def needed(roots: tuple[str, ...] = ROOTS, python: str = "3.12") -> dict[str, str]:
    """Return the names and versions of the packages that these need, themselves included, as they are installed here."""
    environment = dict[str, Any](default_environment()) | {
        "python_version": python,
        "python_full_version": f"{python}.0",
    }
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(root) for root in roots]
    while waiting:
        one = waiting.pop()
        key = canonicalize_name(one.name), frozenset(one.extras)
        if key in seen:
            continue
        seen.add(key)
        try:
            installed = distribution(one.name)
        except PackageNotFoundError:  # what another system or Python needs
            continue
        found[key[0]] = installed.version
        for line in installed.requires or ():
            requirement = Requirement(line)
            extras = one.extras or {""}
            if requirement.marker is None or any(
                requirement.marker.evaluate({**environment, "extra": extra}) for extra in extras
            ):
                waiting.append(requirement)
    return {name: version for name, version in sorted(found.items()) if name not in THERE}


def main() -> int:
    """Fetch, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu.wheels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="of that machine")
    arguments = parser.parse_args()
    wanted = [f"{name}=={version}" for name, version in needed(python=arguments.python).items()]
    platforms = [f"--platform={platform}" for platform in PLATFORMS]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *platforms]
    command += [f"--python-version={arguments.python}", "--implementation=cp", "--dest", str(arguments.folder), *wanted]
    return subprocess.run(command).returncode


if __name__ == "__main__":
    sys.exit(main())
