"""Which folders a change has to be checked in: `python -m chores.changed`, behind `make changed`. Python alone is enough.

Prints a JSON list, and tells GitHub's runner of it (`folders`), where there is one.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from chores.folders import ALL, REPOSITORY

TIMEOUT_SECONDS = 60
NOTHING_BEFORE = "0" * 40
# what a runner calls the commit before a branch's first


class RevisionError(Exception):
    """Git can't compare with the revision; the message says why."""


def changed_paths(repository: Path, since: str) -> list[str]:
    """Return what was changed since a branch left a revision; a renamed file counts under both names.

    Raises
    ------
    RevisionError
        If there is no such revision, or nothing in common with it.
    """
    if not since or since.startswith("-"):
        raise RevisionError(f"SINCE={since}: not a revision; a branch, a tag or a commit is")
    command = ["git", "diff", "--name-only", "--no-renames", "-z", f"{since}...HEAD"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    if done.returncode:
        raise RevisionError(f"SINCE={since}: {done.stderr.strip().splitlines()[0]}")
    return [name for name in done.stdout.split("\0") if name]


def concerned(paths: Iterable[str]) -> list[str]:
    """Return the folders to check, in the usual order: those of the files, and those that depend on them."""
    touched = {path.partition("/")[0] for path in paths}
    if not touched:
        return []
    if "ml-shared" in touched or touched - set(ALL):  # what stands at the top is for all of them
        return [*ALL]
    return [name for name in ALL if name in touched or name == "local-dev"]  # it runs them all


def main() -> int:
    """Print the folders and return the exit status."""
    since = os.environ.get("SINCE", "origin/main")
    try:
        folders = [*ALL] if since == NOTHING_BEFORE else concerned(changed_paths(REPOSITORY, since))
    except RevisionError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(folders))
    if outputs := os.environ.get("GITHUB_OUTPUT"):
        with Path(outputs).open("a") as file:
            file.write(f"folders={json.dumps(folders)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
