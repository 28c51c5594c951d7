"""Checks style, format and types: `python -m chores.lint [FOLDER …]`."""

import contextlib
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from chores.folders import REPOSITORY, SERVICES, chosen, environment

TYPED = {
    "ml-shared": ("ml_shared",),
    **dict.fromkeys(SERVICES, ("app", "instrumentation.py")),
    "scraper": ("app", "instrumentation.py", "renderer"),
    "gateway-vm/client": ("cloudcix_ml",),
    "local-dev": (
        "fleet",
        "traces",
        "standins",
        "demo",
        "chores",
        "alloy_configs",
        "boards",
        "checklist",
        "attack",
        *(f"bench/{name}.py" for name in ("__main__", "client", "counts", "endpoint", "figures")),
        *(f"bench/{name}.py" for name in ("phases", "plain", "processes", "services", "sites", "table")),
        "bench/crawl",
        "bench/extraction",
        "bench/gpu",
        "bench/orchestrator",
        "bench/quality",
    ),
}
# tests are not in here: fixtures would need twice the annotations that they have
AT_ONCE = 2
FIRST = "ml-shared"
CACHE = ".mypy_cache"


@dataclass(frozen=True)
class Check:
    """One command, and the folder that it runs in."""

    name: str
    command: list[str]
    folder: Path


def _checks(folders: list[str]) -> list[Check]:
    ruff = [sys.executable, "-m", "ruff"]
    checks = [
        Check("ruff check", [*ruff, "check", *folders], REPOSITORY),
        Check("ruff format", [*ruff, "format", "--check", *folders], REPOSITORY),
    ]
    for folder, parts in TYPED.items():
        present = [part for part in parts if (REPOSITORY / folder / part).exists()]
        if folder.partition("/")[0] in folders and present:
            command = [sys.executable, "-m", "mypy", "--config-file", str(REPOSITORY / ".mypy.ini"), *present]
            checks.append(Check(f"mypy {folder}", command, REPOSITORY / folder))
    if "local-dev" in folders:
        workflows = [str(Path(sys.executable).with_name("zizmor")), "--offline", "--no-progress", "--quiet", ".github"]
        checks.append(Check("zizmor", workflows, REPOSITORY))
    return checks


def begin_with_what_is_known(folder: Path) -> None:
    """Give a folder's first mypy what ml-shared's found out of the libraries: most of its work, and the same for all.

    It trusts no file of it whose source is another, so that a copy of what is still being written does no harm.
    """
    known, own = REPOSITORY / FIRST / CACHE, folder / CACHE
    if known.is_dir() and not own.exists():
        with contextlib.suppress(shutil.Error):
            shutil.copytree(known, own)


def _run(check: Check) -> bool:
    began = time.monotonic()
    if check.name.startswith("mypy"):
        begin_with_what_is_known(check.folder)
    done = subprocess.run(
        check.command, cwd=check.folder, env=environment(), capture_output=True, text=True, check=False
    )
    verdict = "FAILED" if done.returncode else "ok"
    said = f"\n{done.stdout}{done.stderr}" if done.returncode else ""
    print(f"  {check.name:<22}{time.monotonic() - began:>6.1f} s  {verdict}{said}", flush=True)
    return done.returncode == 0


def main(arguments: list[str]) -> int:
    """Run the checks and return the exit status."""
    print("Lint", flush=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        passed = list(pool.map(_run, _checks(chosen(arguments))))
    print(f"{passed.count(True)} of {len(passed)} checks passed")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
