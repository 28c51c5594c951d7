"""Has each program read its own configuration, on its pinned image: `python -m chores.verify_configs`, behind make."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from stacks.plan import STACKS

from chores.containers import OBSERVE, OBSERVED, Command, compose, laid_out, run_all, services_of

PROJECT = "ml-verify-configs"
RUN = ("-p", PROJECT, "run", "--rm", "--no-deps", "-T")
FILES = (*((stack, "docker-compose.yml") for stack in STACKS), ("local-dev", "docker-compose.observe.yml"))
VERIFIERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "grafana/alloy": (("validate", "/etc/alloy/config.alloy"), ("fmt", "--test", "/etc/alloy/config.alloy")),
    "grafana/loki": (("-verify-config", "-config.file=/etc/loki/local-config.yaml"),),
    "grafana/tempo": (("-config.verify", "-target=all", "-config.file=/etc/tempo/local.yaml"),),
    # it reads the rules that its configuration names, too
    "prom/prometheus": (("check", "config", "/etc/prometheus/prometheus.yml"),),
    # the image's entry point fills the template in first, for a command that begins with `nginx`
    "nginx": (("nginx", "-t"),),
}
"""By image: what says whether its configuration is one, and laid out as it would be."""
ENTRY_POINTS = {"prom/prometheus": "promtool"}
"""What runs that, where it is not the image's own."""


def commands(folder: Path) -> Iterator[Command]:
    """Yield what has to succeed in stacks that were laid out in a folder."""
    for stack in STACKS:
        for file in (None, OBSERVE, OBSERVED):
            title = f"{stack}: compose config" + (f", {file.rpartition('/')[2]}" if file else "")
            more = ("-f", file) if file else ()
            yield Command(title, compose(*more, "config", "--quiet"), stack)
    yield Command(
        "local-dev: compose config", compose("config", "--quiet", file="docker-compose.observe.yml"), "local-dev"
    )
    for stack, file in FILES:
        yield from _verifications(folder, stack, file)


def _verifications(folder: Path, stack: str, file: str) -> Iterator[Command]:
    for name, service in services_of(folder / stack / file).items():
        image = service["image"].partition(":")[0]
        replaced = ("--entrypoint", ENTRY_POINTS[image]) if image in ENTRY_POINTS else ()
        for words in VERIFIERS.get(image, ()):
            yield Command(f"{stack}: {name}: {words[0]}", compose(*RUN, *replaced, name, *words, file=file), stack)


def _clean_up(folder: Path) -> None:
    for stack, file in FILES:
        words = compose("-p", PROJECT, "down", "--volumes", "--remove-orphans", "--timeout", "5", file=file)
        subprocess.run(words, cwd=folder / stack, capture_output=True, check=False, timeout=120)


def main() -> int:
    """Run them all and return the exit status."""
    with laid_out() as folder:
        try:
            return run_all("Configurations, read by the programs that they are for", commands(folder), folder)
        finally:
            _clean_up(folder)


if __name__ == "__main__":
    sys.exit(main())
