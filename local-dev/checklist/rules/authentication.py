"""Every route's handler knows who calls: `ctx: CallerContext`, from `validate_api_key` or a guard that builds on it."""

from collections.abc import Iterator

from checklist.findings import Finding, held
from checklist.fleet import Fleet

REMEDY = "give its handler `ctx: CallerContext = Depends(validate_api_key)`, or a guard of ml_shared.auth.guards"


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at every route but the three of ml_shared that are open."""
    for app in fleet.apps:
        for route in app.routes:
            if route.is_open:
                continue
            holds = route.needs_key and route.context
            yield held(
                holds, route.file, fleet.line(route), route.title, f"{route.title} does not know who calls; {REMEDY}"
            )
