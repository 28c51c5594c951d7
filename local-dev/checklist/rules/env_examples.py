"""`.env.example` and `Settings` have the same names, and what has no default has none in the example either."""

import re
from collections.abc import Iterator

from checklist.findings import Finding, failed, passed
from checklist.fleet import Fleet

LINE = re.compile(r"^(?P<off>#?)(?P<name>[A-Z][A-Z0-9_]*)=(?P<value>.*)$")
COMPOSE = re.compile(r"\$\{([A-Z0-9_]+)")
PROFILES, PROFILED = "COMPOSE_PROFILES", re.compile(r"^\s+profiles:", re.MULTILINE)
# Compose reads it for itself
NOT_EVERYWHERE = {
    "chunking": frozenset(
        {
            *("INTERNAL_CALLER_IDS", "LEASE_RENEW_SECONDS", "MAX_QUEUE_DEPTH", "ORCHESTRATOR_URL", "REDIS_URL"),
            *("RESULTS_MAX_BYTES", "SERVICE_API_KEY", "WORKER_METRICS_PORT"),
        }
    )
}
# of the common settings, those that a service without Redis, worker and callers of its own has no use for


def check(fleet: Fleet) -> Iterator[Finding]:
    """Compare both ways; compose's own variables count as settings."""
    for app in fleet.apps:
        path = f"{app.service}/.env.example"
        written = _lines(fleet.tree.text(path))
        needed = {one["name"]: one["required"] for one in app.settings}
        for name in NOT_EVERYWHERE.get(app.service, frozenset()):
            needed.pop(name, None)
        file = fleet.tree.text(f"{app.service}/docker-compose.yml")
        composed = set(COMPOSE.findall(file)) | ({PROFILES} if PROFILED.search(file) else set())
        for name in sorted(set(needed) - set(written)):
            yield failed(path, 0, f"{name} is a setting that the example does not name; add a line for it")
        for name, (line, off) in written.items():
            if name not in needed and name not in composed:
                yield failed(
                    path, line, f"{name} is read by nobody: neither Settings nor docker-compose.yml has it; remove it"
                )
            elif needed.get(name) and off:
                yield failed(path, line, f"{name} has no default, and is commented out; write it with a <placeholder>")
            else:
                yield passed(path, line, name)


def _lines(text: str) -> dict[str, tuple[int, bool]]:
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if match := LINE.match(line):
            found[match["name"]] = (number, bool(match["off"]))
    return found
