"""Where the same work is done within requests and through a queue, metrics tell the two apart by `request_mode`."""

from collections.abc import Iterator

from checklist.apps import MODE_LABEL, App
from checklist.counting import has_pair, metric_places, shared_metrics_have
from checklist.findings import Finding, held, passed, review
from checklist.fleet import Fleet

ASYNC = "async"
SYNC = "sync"
MODES = frozenset({SYNC, ASYNC})


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at the shared metrics, at how each route is counted, and at a paired service's own metrics."""
    yield from shared_metrics_have(fleet, MODE_LABEL)
    for route, module, function in fleet.routes():
        for mode in MODES & set(route.tags):
            counted = {labels.get(MODE_LABEL) for labels in route.counted.values()}
            wrong = f"{route.title} is tagged {mode} and counted as {sorted(map(str, counted))}; see ml_shared.telemetry.metrics.observe_request"
            yield held(counted == {mode}, module.path, function.lineno, f"{route.title}: {mode}", wrong)
    for app in fleet.apps:
        if has_pair(app):
            yield from _of_its_own(fleet, app)


def _of_its_own(fleet: Fleet, app: App) -> Iterator[Finding]:
    places = {name: place for name, place in metric_places(fleet).items() if place[0].folder == app.service}
    without: dict[str, list[str]] = {}
    for name, _, labels, _ in app.metrics:
        found = places.get(name.removesuffix("_total"))
        if found is None:
            continue
        module, call = found
        if MODE_LABEL in labels:
            yield passed(module.path, call.lineno, name)
        else:
            without.setdefault(module.path, []).append(name)
    for path, names in without.items():
        lacking = f"{', '.join(sorted(names))}: no `{MODE_LABEL}`"
        yield review(path, 0, f"{lacking}; is that right, since both requests and tasks come there?")
