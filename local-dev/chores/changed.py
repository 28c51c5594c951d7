"""Which folders a change has to be checked in: `python -m chores.changed`, behind `make changed`. Python alone is enough.

Prints a JSON list, and tells GitHub's runner of it (`folders`), where there is one.
"""

import json
import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from chores.folders import ALL, REPOSITORY

TIMEOUT_SECONDS = 60
HELD_BY_THE_CLIENT = ("/openapi.json", "/errors.py")
# its tests, in gateway-vm/client, hold it to what the services' documents and error codes say
NOTHING_BEFORE = "0" * 40
# what a runner calls the commit before a branch's first


class RevisionError(Exception):
    """Git can't compare with the revision; the message names it and says why."""


def changed_paths(repository: Path, since: str, *, uncommitted: bool = False) -> list[str]:
    """Return what was changed since a branch left a revision; a renamed file counts under both names.

    Parameters
    ----------
    uncommitted
        Whether what is edited and added, and not committed yet, counts too.

    Raises
    ------
    RevisionError
        If there is no such revision, or nothing in common with it.
    """
    if not since or since.startswith("-"):
        raise RevisionError(f"{since!r} is no revision; a branch, a tag or a commit is")

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(
            command, cwd=repository, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["no commit in common"]
            raise RevisionError(f"{since!r} can't be compared with: {said[0]}")
        return done.stdout

    differing = ("diff", "--name-only", "--no-renames", "-z", git("merge-base", since, "HEAD").strip())
    names = (
        git(*differing) + git("ls-files", "-z", "--others", "--exclude-standard")
        if uncommitted
        else git(*differing, "HEAD")
    )
    return sorted({name for name in names.split("\0") if name})


def concerned(paths: Collection[str]) -> list[str]:
    """Return the folders to check, in the usual order: those of the files, and those that depend on them."""
    touched = {path.partition("/")[0] for path in paths}
    if not touched:
        return []
    if "ml-shared" in touched or touched - set(ALL):  # what stands at the top is for all of them
        return [*ALL]
    if any(path.endswith(HELD_BY_THE_CLIENT) for path in paths):
        touched.add("gateway-vm")
    return [name for name in ALL if name in touched or name == "local-dev"]  # it runs them all


def main() -> int:
    """Print the folders and return the exit status."""
    since = os.environ.get("SINCE", "origin/main")
    try:
        folders = [*ALL] if since == NOTHING_BEFORE else concerned(changed_paths(REPOSITORY, since))
    except RevisionError as error:
        print(f"SINCE: {error}", file=sys.stderr)
        return 1
    print(json.dumps(folders))
    if outputs := os.environ.get("GITHUB_OUTPUT"):
        with Path(outputs).open("a") as file:
            file.write(f"folders={json.dumps(folders)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
