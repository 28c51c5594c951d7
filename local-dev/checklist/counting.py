"""How requests and work are counted, and where metrics and spans are made: what several rules look at."""

import ast
from collections.abc import Iterator, Mapping

from checklist.apps import App
from checklist.findings import Finding, held
from checklist.fleet import SHARED, Fleet
from checklist.sources import Function, Module, argument

METRIC_CLASSES = frozenset({"Counter", "Gauge", "Histogram", "Summary", "Reading"})
SHARED_LABEL = "service"
# only what every service has in common is told apart by it
EVENTS = "ml_shared.audit.logger.AuditEvent."
EMIT = "ml_shared.audit.logger.emit"


def metric_places(fleet: Fleet) -> dict[str, tuple[Module, ast.Call]]:
    """Return where each metric is made, by its name as Prometheus has it without `_total`."""
    found = {}
    for module in fleet.code():
        for call, name in module.calls():
            if name.rpartition(".")[2] in METRIC_CLASSES:
                title = fleet.tree.string(module, argument(call, 0, "name"))
                if title:
                    found[title.removesuffix("_total")] = (module, call)
    return found


def place_of(places: Mapping[str, tuple[Module, ast.Call]], metric: str) -> tuple[str, int]:
    """Return where a metric is made; ml_shared as a whole, when its sources are not of this tree."""
    found = places.get(metric.removesuffix("_total"))
    return (found[0].path, found[1].lineno) if found else (SHARED, 0)


def shared_metrics_have(fleet: Fleet, label: str) -> Iterator[Finding]:
    """Yield a finding for each metric that all services share: whether it has a label."""
    places = metric_places(fleet)
    shared = {name: labels for app in fleet.apps for name, _, labels, _ in app.metrics if SHARED_LABEL in labels}
    for name, labels in sorted(shared.items()):
        path, line = place_of(places, name)
        wrong = (
            f"{name} is every service's and has no label `{label}`; give it one, with a value at each place that counts"
        )
        yield held(label in labels, path, line, name, wrong)


def events_of(fleet: Fleet, module: Module, function: Function) -> list[str]:
    """Return the audit events that a handler emits, itself or through functions of its service's `app.api` that it calls."""
    known = {
        f"{each.name}.{name}": (each, found)
        for each in fleet.code()
        if each.folder == module.folder and each.name.startswith("app.api.")
        for name, found in each.functions.items()
    }
    reached = {f"{module.name}.{function.name}": (module, function)}
    following = [(module, function)]
    while following:
        where, each = following.pop()
        for _, called in where.calls(each):
            for name in (called, f"{where.name}.{called}"):
                if name in known and name not in reached:
                    reached[name] = known[name]
                    following.append(known[name])
    events = []
    for where, each in reached.values():
        calls = [where.dotted(call.args[0]) for call, name in where.calls(each) if name == EMIT and call.args]
        events += [called.removeprefix(EVENTS) for called in calls if called.startswith(EVENTS)]
    return events


def has_pair(app: App) -> bool:
    """Tell whether a service does the same work within a request and through a queue."""
    return any("sync" in route.tags for route in app.routes) and any(task.is_stage for task in app.tasks)
