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
RENDERER_SMOKE = "import os; from renderer.browsers import find_browser; assert os.getuid(), 'it runs as root'; print(find_browser())"
"""The same for what holds no service of ours, but a browser and who hands it out."""


def commands(folder: Path, services: tuple[str, ...]) -> Iterator[Command]:
    """Yield the build, and the smoke test of each container that is made from the image."""
    for service in services:
        containers = services_of(folder / service / "docker-compose.yml")
        for name, container in containers.items():
            if "build" in container:
                yield Command(f"{name}: build", compose("build", name), service, BUILD_TIMEOUT_SECONDS)
        for name, container in containers.items():
            if container["image"].startswith("cloudcix/"):
                smoke = RENDERER_SMOKE if name.endswith("-renderer") else SMOKE
                words = compose("-p", PROJECT, "run", "--rm", "--no-deps", "-T", name, "python", "-c", smoke)
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
