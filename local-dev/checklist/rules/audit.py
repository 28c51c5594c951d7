"""Every handler that changes something writes a line of the audit trail."""

from collections.abc import Iterator

from checklist.counting import events_of
from checklist.findings import Finding, held
from checklist.fleet import Fleet

CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at every route that is not a plain GET."""
    for route, module, function in fleet.routes():
        if CHANGING & set(route.methods):
            events = events_of(fleet, module, function)
            wrong = f"{route.title} leaves no line in the audit trail; emit(AuditEvent.…, ctx, …) once it is done"
            yield held(bool(events), module.path, function.lineno, f"{route.title}: {', '.join(events)}", wrong)
