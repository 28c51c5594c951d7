"""Internal routes are in nginx's allow list and behind the internal check: both ways, as nginx chooses locations."""

import re
from collections.abc import Iterator

from checklist.apps import Route
from checklist.findings import Finding, failed, held
from checklist.fleet import Fleet
from checklist.nginx import Location, chosen, locations

TEMPLATE = "gateway-vm/nginx/nginx.conf.template"
METRICS = "/metrics"
# open to whoever reaches the service, so that at the gateway it is for the fleet's scrapers


def check(fleet: Fleet) -> Iterator[Finding]:
    """Ask for every route's path at the gateway, and for every guarded location's routes."""
    found = locations(fleet.tree.text(TEMPLATE))
    guarded = [one for one in found if one.denies_strangers]
    reached: set[int] = set()
    for app in fleet.apps:
        for route in app.routes:
            location = chosen(found, _path(route))
            internal = route.admits is not None or route.path == METRICS
            if internal and location is not None:
                reached.add(location.line)
            yield _verdict(fleet, route, location, internal=internal)
    for location in guarded:
        wrong = (
            f"no internal route is behind `{location.pattern}`; remove the location, or put internal_only on its route"
        )
        yield held(location.line in reached, TEMPLATE, location.line, location.pattern, wrong)


def _path(route: Route) -> str:
    return f"/api/{route.service}" + re.sub(r"\{[^}]*\}", "0a1b2c", route.path)


def _verdict(fleet: Fleet, route: Route, location: Location | None, *, internal: bool) -> Finding:
    line = fleet.line(route)
    if location is None:
        return failed(route.file, line, f"{route.title}: no location of the gateway serves it; add one to {TEMPLATE}")
    guarded = location.denies_strangers and location.admits_the_fleet
    if internal:
        wrong = (
            f"{route.title} is internal, and the gateway serves it to everybody (line {location.line} of {TEMPLATE}); "
            "put it into the location of internal routes"
        )
        return held(guarded, route.file, line, f"{route.title} is internal at both", wrong)
    wrong = (
        f"{route.title} is closed at the gateway (line {location.line} of {TEMPLATE}), and the service admits everybody "
        "with a key; put internal_only(...) on it"
    )
    return held(not location.denies_strangers, route.file, line, route.title, wrong)
