"""What a sync route answers at its deadline names the async route that has none."""

import re
from collections.abc import Iterator

from checklist.findings import Finding, failed, held, passed, review
from checklist.fleet import Fleet
from checklist.rules.deadlines import routes_with_deadline
from checklist.sources import argument

ROUTE = re.compile(r"\b(?:GET|POST|PUT) (/[\w/{}-]*)")
ACCEPTED = 202


def check(fleet: Fleet) -> Iterator[Finding]:
    """Compare what each deadline names with the routes that there are."""
    paths = {route.path: route.status for app in fleet.apps for route in app.routes if "POST" in route.methods}
    later = {path for path, status in paths.items() if status == ACCEPTED}
    for title, module, call in routes_with_deadline(fleet):
        says = fleet.tree.string(module, argument(call, 2, "alternative")) or ""
        named = ROUTE.findall(says)
        unknown = [path for path in named if path not in paths]
        if unknown:
            wrong = f"{title} sends its callers on to {', '.join(unknown)}, which is no route; name one that is"
            yield failed(module.path, call.lineno, wrong)
        elif set(named) & later:
            yield passed(module.path, call.lineno, f"{title}: {says}")
        elif says:
            yield review(
                module.path, call.lineno, f"{title} has no async route to name; is {says!r} what a caller can do?"
            )
        else:
            wrong = (
                f"{title} does not say in the source what to call instead; give within_deadline a text or a constant"
            )
            yield failed(module.path, call.lineno, wrong)
    place = fleet.shared("http/sync.py")
    for app in fleet.apps:
        wrong = f"in {app.service} the 504 leaves out what it was told to name; see ml_shared.http.sync"
        line = place.functions["within_deadline"].lineno
        yield held(bool(app.deadline["names_alternative"]), place.path, line, f"{app.service}'s 504 names it", wrong)
