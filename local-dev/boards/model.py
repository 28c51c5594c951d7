"""What a dashboard is made of, and Grafana's JSON for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

SCHEMA_VERSION: Final = 42
WIDTH: Final = 24
# of Grafana's grid
TAG: Final = "cloudcix-ml"

Kind = Literal["timeseries", "stat", "logs"]


@dataclass(frozen=True)
class Query:
    """A query, and what its series are called: `{{label}}` stands for a label's value."""

    expression: str
    legend: str = ""
    exemplars: bool = False


@dataclass(frozen=True)
class Panel:
    """A chart, a number or a list of log lines.

    Parameters
    ----------
    unit
        As Grafana names it: `reqps`, `s`, `bytes`, `percentunit`, `short`.
    red_above
        Where a number becomes worth a look.
    """

    title: str
    queries: Sequence[Query]
    unit: str = "short"
    about: str = ""
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 8
    red_above: float | None = None


@dataclass(frozen=True)
class Row:
    """A heading, and the panels below it, from left to right."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Board:
    """A dashboard. Its `uid` is its address, and never changes."""

    uid: str
    title: str
    rows: Sequence[Row]

    def render(self) -> dict[str, Any]:
        """Return Grafana's JSON."""
        panels: list[dict[str, Any]] = []
        top = 0
        for row in self.rows:
            panels.append({**_place(0, top, WIDTH, 1), "type": "row", "title": row.title, "collapsed": False})
            top += 1
            left, height = 0, 0
            for panel in row.panels:
                if left + panel.width > WIDTH:
                    left, top, height = 0, top + height, 0
                panels.append({**_place(left, top, panel.width, panel.height), **_panel(panel)})
                left, height = left + panel.width, max(height, panel.height)
            top += height
        for number, each in enumerate(panels, start=1):
            each["id"] = number
        return {
            "uid": self.uid,
            "title": self.title,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "editable": False,
            "graphTooltip": 1,  # one crosshair for all panels
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "links": [{"type": "dashboards", "title": "Boards", "tags": [TAG], "asDropdown": True, "keepTime": True}],
            "templating": {"list": []},
            "panels": panels,
        }


def _place(left: int, top: int, width: int, height: int) -> dict[str, Any]:
    return {"gridPos": {"x": left, "y": top, "w": width, "h": height}}


def _panel(panel: Panel) -> dict[str, Any]:
    source = {"type": "loki", "uid": "loki"} if panel.kind == "logs" else {"type": "prometheus", "uid": "prometheus"}
    rendered: dict[str, Any] = {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": source,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": source,
                "expr": query.expression,
                "legendFormat": query.legend,
                "exemplar": query.exemplars,
            }
            for number, query in enumerate(panel.queries)
        ],
    }
    if panel.kind == "logs":
        return {**rendered, "options": {"showTime": True, "wrapLogMessage": True, "enableLogDetails": True}}
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_above is not None:
        steps.append({"color": "red", "value": panel.red_above})
    custom = {"fillOpacity": 10, "showPoints": "never"} if panel.kind == "timeseries" else {}
    if panel.red_above is not None and panel.kind == "timeseries":
        custom["thresholdsStyle"] = {"mode": "line"}
    defaults = {"unit": panel.unit, "min": 0, "custom": custom, "thresholds": {"mode": "absolute", "steps": steps}}
    return {**rendered, "fieldConfig": {"defaults": defaults, "overrides": []}}
