"""Stores each service's OpenAPI document: `python -m checklist.openapi`, behind `make openapi`."""

import sys

from chores.folders import REPOSITORY

from checklist.changes import compare, render
from checklist.fleet import Fleet
from checklist.rules.contracts import DOCUMENT, published, stored


def main() -> int:
    """Write the documents, and say what is new in each."""
    fleet = Fleet(REPOSITORY)
    fleet.start()
    for app in fleet.apps:
        path = f"{app.service}/{DOCUMENT}"
        before = stored(fleet, app.service)
        now = published(fleet, app)
        changes = compare(before, now) if before is not None else []
        (REPOSITORY / path).write_text(render(now))
        print(f"  {path}: {len(changes)} changes" if before is not None else f"  {path}: new", flush=True)
        for change in changes:
            print(f"    {'BREAKING  ' if change.breaking else ''}{change.operation}: {change.says}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
