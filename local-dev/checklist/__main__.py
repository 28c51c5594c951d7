"""Answers the checklist: `python -m checklist [--since REV] [--markdown]`, behind `make checklist`."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from chores.changed import RevisionError, changed_paths
from chores.folders import REPOSITORY

from checklist.apps import DescriptionError
from checklist.findings import Status
from checklist.fleet import Fleet
from checklist.items import ITEMS, RULES, differences
from checklist.report import Answer, answer, markdown, text

FAILED = 1
UNUSABLE = 2


def main(arguments: list[str] | None = None) -> int:
    """Run every rule; the exit status is 1 when something fails, 2 when nothing could be said."""
    parser = argparse.ArgumentParser(prog="make checklist", description="Answers the pull-request checklist.")
    parser.add_argument("--since", metavar="REV", help="keep to what was changed since a branch left this revision")
    parser.add_argument("--markdown", action="store_true", help="for a pull request")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    if problems := differences(REPOSITORY):
        print("\n".join(problems), file=sys.stderr)
        return UNUSABLE
    fleet = Fleet(REPOSITORY)
    try:
        changed = None if given.since is None else changed_paths(REPOSITORY, given.since, uncommitted=True)
        print("Asking the services what they are made of …", file=sys.stderr, flush=True)
        fleet.start()
        answers: list[Answer] = [answer(item, fleet, changed) for item in (*ITEMS, *RULES)]
    except RevisionError as error:
        print(f"--since: {error}", file=sys.stderr)
        return UNUSABLE
    except (DescriptionError, SyntaxError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)
        return UNUSABLE
    print((markdown if given.markdown else text)(answers))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):  # a page of the run, on GitHub
        with Path(summary).open("a") as file:
            file.write(f"{markdown(answers)}\n")
    print(f"in {time.monotonic() - began:.1f} s", file=sys.stderr)
    return FAILED if any(one.status is Status.FAIL for one in answers) else 0


if __name__ == "__main__":
    sys.exit(main())
