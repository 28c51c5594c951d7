"""Contracts are unchanged or versioned: each service's OpenAPI document is the stored one, and nothing in it broke."""

import json
import tomllib
from collections.abc import Iterator
from typing import Any

from checklist.apps import App
from checklist.changes import compare, render
from checklist.findings import Finding, failed, passed, review
from checklist.fleet import Fleet

DOCUMENT = "openapi.json"
PROJECT = "pyproject.toml"
STORE = "`make openapi` stores it"
SHOWN = 6


def published(fleet: Fleet, app: App) -> dict[str, Any]:
    """Return what a service publishes; its version is the project's, since a running one says its commit there."""
    project = tomllib.loads(fleet.tree.text(f"{app.service}/{PROJECT}"))["project"]
    return {**app.openapi, "info": {**app.openapi["info"], "version": project["version"]}}


def stored(fleet: Fleet, service: str) -> dict[str, Any] | None:
    """Return the document that stands in a service's folder; `None` where there is none."""
    path = f"{service}/{DOCUMENT}"
    if not fleet.tree.has(path):
        return None
    document: dict[str, Any] = json.loads(fleet.tree.text(path))
    return document


def check(fleet: Fleet) -> Iterator[Finding]:
    """Compare what each service publishes with what it published."""
    for app in fleet.apps:
        path = f"{app.service}/{DOCUMENT}"
        before, now = stored(fleet, app.service), published(fleet, app)
        if before is None:
            yield failed(path, 0, f"no document of {app.service}'s contract is stored; {STORE}")
            continue
        changes = compare(before, now)
        broken = [change for change in changes if change.breaking]
        for change in broken:
            says = f"{change.operation}: {change.says}"
            if _breaking_version(before) != _breaking_version(now):
                yield review(path, 0, f"{says}; breaking, in a new version: do all who call it know? Then {STORE}")
            else:
                remedy = f"leave the old beside the new, or raise the version in {app.service}/{PROJECT}; then"
                yield failed(path, 0, f"{says}; breaking: {remedy} {STORE}")
        if not broken and render(before) != render(now):
            what = [f"{change.operation}: {change.says}" for change in changes]
            more = f" and {len(what) - SHOWN} more" if len(what) > SHOWN else ""
            yield failed(path, 0, f"the contract changed ({'; '.join(what[:SHOWN])}{more}); {STORE}")
        elif not broken:
            yield passed(path, 0, f"{len(now['paths'])} paths")


def _breaking_version(document: dict[str, Any]) -> str:
    """Return the part of a version that says what may break, as Semantic Versioning has it: 1 of 1.4.2, 0.3 of 0.3.1."""
    major, minor, *_ = [*str(document["info"]["version"]).split("."), ""]
    return f"{major}.{minor}" if major == "0" else major
