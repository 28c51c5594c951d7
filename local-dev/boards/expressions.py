"""Every query of the dashboards and alerts, and the series that it asks for."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import promql_parser
import yaml  # type: ignore[import-untyped]
from chores.folders import LOCAL_DEV

from boards.files import FOLDER

RULES: Final = LOCAL_DEV / "observe" / "rules" / "alerts.yaml"
VARIABLES: Final = {"$__rate_interval": "5m", "$__range": "1h"}
"""What Grafana puts into a query, and what stands for it here."""
_SUFFIXES: Final = ("_bucket", "_count", "_sum")


@dataclass(frozen=True)
class Expression:
    """One query, and where it stands."""

    place: str
    language: Literal["promql", "logql"]
    text: str
    legend: str = ""


@dataclass(frozen=True)
class Selector:
    """A metric that a query reads, and the labels that it wants."""

    metric: str
    labels: dict[str, str]


def panel_expressions(folder: Path = FOLDER) -> list[Expression]:
    """Return the queries of all panels, as the files have them."""
    found = []
    for path in sorted(folder.glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                language: Literal["promql", "logql"] = "logql" if target["datasource"]["type"] == "loki" else "promql"
                place = f"{path.stem}: {panel['title']} {target['refId']}"
                found.append(Expression(place, language, _filled_in(target["expr"]), target["legendFormat"]))
    return found


def alert_expressions(rules: Path = RULES) -> list[Expression]:
    """Return the expressions of all alerts."""
    groups = yaml.safe_load(rules.read_text())["groups"]
    return [Expression(rule["alert"], "promql", rule["expr"]) for group in groups for rule in group["rules"]]


def _filled_in(text: str) -> str:
    for variable, value in VARIABLES.items():
        text = text.replace(variable, value)
    return text


def parse(expression: Expression) -> Any:
    """Return the syntax tree of a PromQL query.

    Raises
    ------
    ValueError
        If it is not one.
    """
    return promql_parser.parse(expression.text)


def selectors(tree: Any) -> Iterator[Selector]:
    """Return what a query reads."""
    if isinstance(tree, promql_parser.VectorSelector):
        labels = {matcher.name: matcher.value for matcher in tree.matchers.matchers}
        yield Selector(tree.name or labels["__name__"], labels)
    for name in ("lhs", "rhs", "expr", "vector_selector", "args", "param"):
        part = getattr(tree, name, None)
        for child in part if isinstance(part, list) else [part]:
            if isinstance(child, promql_parser.Expr):
                yield from selectors(child)


def family(metric: str) -> str:
    """Return the name under which a series' metric is documented: a histogram's parts belong to it."""
    for suffix in _SUFFIXES:
        if metric.endswith(suffix):
            return metric.removesuffix(suffix)
    return metric


def stream_labels(query: str) -> set[str]:
    """Return the labels in a LogQL query's stream selector."""
    selector = query[query.index("{") : query.index("}")]
    return set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
