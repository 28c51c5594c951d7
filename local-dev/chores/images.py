"""Builds the services' images and starts a Python in each: `python -m chores.images [SERVICE …]`, behind `make images`.

That the whole runs in containers is another command's business: `make test-compose`.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from chores.containers import BUILD_TIMEOUT_SECONDS, Command, compose, laid_out, run_all, services_of
from chores.folders import SERVICES

PROJECT = "ml-images"
SMOKE = (
    "import importlib, os, pathlib, app.main; "
    "assert os.getuid(), 'it runs as root'; "
    "pathlib.Path('app/worker').is_dir() and importlib.import_module('app.worker.tasks'); "
    "print(app.main.app.title)"
)
"""Run with all that compose says of the container: its user, its read-only files, its settings."""


def commands(folder: Path, services: tuple[str, ...]) -> Iterator[Command]:
    """Yield the build, and the smoke test of each container that is made from the image."""
    for service in services:
        yield Command(f"{service}: build", compose("build", service), service, BUILD_TIMEOUT_SECONDS)
        for name, container in services_of(folder / service / "docker-compose.yml").items():
            if container["image"].startswith("cloudcix/"):
                words = compose("-p", PROJECT, "run", "--rm", "--no-deps", "-T", name, "python", "-c", SMOKE)
                yield Command(f"{service}: {name} imports what it runs", words, service)


def main(arguments: list[str]) -> int:
    """Build and try them, and return the exit status."""
    unknown = sorted(set(arguments) - set(SERVICES))
    if unknown:
        print(f"no image of ours: {', '.join(unknown)}; there are {', '.join(SERVICES)}", file=sys.stderr)
        return 1
    chosen = tuple(service for service in SERVICES if not arguments or service in arguments)
    with laid_out() as folder:
        try:
            return run_all("Images", commands(folder, chosen), folder)
        finally:
            for service in chosen:
                words = compose("-p", PROJECT, "down", "--volumes", "--timeout", "5")
                subprocess.run(words, cwd=folder / service, capture_output=True, check=False, timeout=120)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
