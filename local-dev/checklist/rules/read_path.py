"""What reads is counted as `operation="read"`, on every metric that the services share."""

from collections.abc import Iterator

from checklist.counting import events_of, shared_metrics_have
from checklist.findings import Finding, held
from checklist.fleet import Fleet

READ = "read"
READING = frozenset({"GET", "HEAD"})
CHANGES = (
    "_DELETED",
    "_ENQUEUED",
    "_SUBMITTED",
    "_STORED",
    "_CANCELLED",
    "_RETRIED",
    "_REPORTED",
    "_STARTED",
    "_ENDED",
)
"""How the names of audit events end that tell of a change."""


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at how each route that reads is counted, and whether what is counted as reading changes nothing."""
    yield from shared_metrics_have(fleet, "operation")
    for route, module, function in fleet.routes():
        for method, labels in route.counted.items():
            reads = method in READING or READ in route.tags
            if not reads:
                continue
            wrong = f"{method} {route.path} reads and is counted as {labels.get('operation')!r}; see ml_shared.telemetry.metrics.observe_request"
            yield held(labels.get("operation") == READ, module.path, function.lineno, f"{method} {route.path}", wrong)
            changing = [event for event in events_of(fleet, module, function) if event.endswith(CHANGES)]
            wrong = f"{method} {route.path} says {', '.join(changing)} and is tagged as reading; leave Operation.READ out of its tags"
            yield held(not changing, module.path, function.lineno, f"{method} {route.path} changes nothing", wrong)
