"""Pins the newest versions and asks for a review of them: `python -m chores.refresh`, behind `make refresh`.

Wants `gh`, logged in, and a remote `origin`. The branch is made anew each time: a request that is open gets the newer pins.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from chores import requirements
from chores.folders import REPOSITORY

BRANCH = "refresh-pins"
BASE = "main"
TITLE = "Pin the newest allowed versions"
BODY = (
    "Made by `make refresh`. Close and reopen this request to have it checked: what a workflow opens starts no other "
    "workflow."
)
AUTHOR = ("-c", "user.name=refresh", "-c", "user.email=refresh@users.noreply.github.com")
PINS = tuple(
    f":(glob){pattern}"
    for pattern in (
        "*/requirements*.txt",
        "*/docker-compose*.yml",
        "*/Dockerfile",
        "*/*/Dockerfile",
        "local-dev/README.md",
    )
)
TIMEOUT_SECONDS = 120


def _said(repository: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout.strip()


def main(repository: Path = REPOSITORY, pin: Callable[[], int] = requirements.main) -> int:
    """Pin, push and ask, and return the exit status."""
    try:
        if _said(repository, "git", "status", "--porcelain", "--", *PINS):
            print("Some file with pins is changed already; commit or undo that first.", file=sys.stderr)
            return 1
        if status := pin():
            return status
        changed = _said(repository, "git", "diff", "--name-only", "--", *PINS).splitlines()
        if not changed:
            print("Every pin is the newest allowed version.")
            return 0
        _said(repository, "git", "switch", "--quiet", "--force-create", BRANCH)
        _said(repository, "git", "add", "--", *changed)
        _said(repository, "git", *AUTHOR, "commit", "--quiet", "--message", TITLE)
        _said(repository, "gh", "auth", "setup-git")
        _said(repository, "git", "push", "--quiet", "--force", "origin", BRANCH)
        number = _said(
            repository,
            "gh",
            "pr",
            "list",
            "--head",
            BRANCH,
            "--state",
            "open",
            "--json",
            "number",
            "--jq",
            ".[].number",
        )
        if number:
            print(f"Request {number} has the new pins.")
        else:
            print(
                _said(
                    repository, "gh", "pr", "create", "--base", BASE, "--head", BRANCH, "--title", TITLE, "--body", BODY
                )
            )
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
