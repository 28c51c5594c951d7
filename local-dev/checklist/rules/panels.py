"""Every metric is on some panel of the dashboards."""

from collections.abc import Iterator

from boards.expressions import family, panel_expressions, parse, selectors
from boards.metric_table import GATEWAY, gateway_metrics

from checklist.counting import metric_places, place_of
from checklist.findings import Finding, held
from checklist.fleet import Fleet

FOLDER = "local-dev/observe/grafana-provisioning/dashboards"


def check(fleet: Fleet) -> Iterator[Finding]:
    """Compare what the services and the gateway count with what the panels ask for."""
    shown = set()
    for one in panel_expressions(fleet.root / FOLDER):
        if one.language == "promql":
            for selector in selectors(parse(one)):
                shown |= {selector.metric, family(selector.metric)}
    places = metric_places(fleet)
    for name in sorted({name for app in fleet.apps for name, *_ in app.metrics}):
        yield held(name in shown, *place_of(places, name), name, _wrong(name))
    for metric in gateway_metrics(fleet.root):
        yield held(metric.name in shown, GATEWAY, 0, metric.name, _wrong(metric.name))


def _wrong(name: str) -> str:
    return f"{name} is on no panel: nobody will see it; put it on a board in local-dev/boards, then `make boards`"
