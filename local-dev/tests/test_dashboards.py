"""The dashboards: what their files are made from, and that their queries are queries of series that there are."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from boards.exported import EXPORTED, SCRAPE_LABELS
from boards.expressions import Expression, family, panel_expressions, parse, selectors, stream_labels
from boards.files import FOLDER, render_all
from boards.logql import logql_errors
from boards.metric_table import written

from ml_shared.testing.plugin import require

OBSERVE = Path(__file__).parents[1] / "observe"
TITLES = {"Fleet", "Pipeline", "Gateway", "Embedding and GPU endpoint", "Redis and Postgres", "SLO"}
STREAM_LABELS = {"service", "process", "level", "log", "vm"}
"""As every Alloy puts them on (`tests/alloy`)."""


def boards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]


def documented() -> dict[str, set[str]]:
    """The metrics of the table, with their labels."""
    rows = [line.split("|") for line in written().splitlines()[2:]]
    return {row[1].strip(" `"): set(re.findall(r"`(\w+)`", row[4])) for row in rows}


def promql() -> list[Expression]:
    return [one for one in panel_expressions() if one.language == "promql"]


def test_the_files_are_what_is_described() -> None:
    rendered = render_all()
    assert {path.name: path.read_text() for path in FOLDER.glob("*.json")} == rendered, "`make boards` writes them"


def test_there_is_a_board_for_each_part_of_the_fleet_at_an_address_of_its_own() -> None:
    assert {board["title"] for board in boards()} == TITLES
    assert len({board["uid"] for board in boards()}) == len(TITLES)
    for board in boards():
        ids = Counter(panel["id"] for panel in board["panels"])
        assert set(ids.values()) == {1}


def test_no_panel_lies_on_another() -> None:
    for board in boards():
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, panel["title"]
            assert place["x"] + place["w"] <= 24
            taken |= cells


def test_every_query_goes_to_a_data_source_that_is_provisioned() -> None:
    text = (OBSERVE / "grafana-provisioning" / "datasources" / "datasources.yaml").read_text()
    provisioned = {source["uid"]: source["type"] for source in yaml.safe_load(text)["datasources"]}
    for board in boards():
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                assert provisioned[target["datasource"]["uid"]] == target["datasource"]["type"]


@pytest.mark.parametrize("expression", promql(), ids=lambda one: one.place)
def test_a_panels_query_parses_and_asks_for_series_that_there_are(expression: Expression) -> None:
    ours = documented()
    wanted = list(selectors(parse(expression)))
    assert wanted
    for selector in wanted:
        name = selector.metric if selector.metric in ours else family(selector.metric)
        if name in ours:
            extra = {"le"} if name != selector.metric else set()
            assert set(selector.labels) <= ours[name] | SCRAPE_LABELS | extra, selector
        else:
            assert selector.metric in EXPORTED, f"{selector.metric}: neither in README's table nor of an exporter"


@pytest.mark.parametrize("expression", promql(), ids=lambda one: one.place)
def test_a_legend_names_labels_that_the_query_keeps(expression: Expression) -> None:
    kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", expression.text))))
    assert set(re.findall(r"\{\{(\w+)\}\}", expression.legend)) <= kept


def test_a_query_that_is_none_is_found() -> None:
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        parse(Expression("here", "promql", "sum(rate(x[5m])"))


def test_every_log_query_parses_and_selects_by_labels_that_alloy_puts_on() -> None:
    queries = [one.text for one in panel_expressions() if one.language == "logql"]
    assert len(queries) >= 4
    broken = require(lambda: logql_errors([*queries, '{service="x" | json']))
    assert broken[:-1] == [[] for _ in queries]
    assert broken[-1], "the grammar finds what is none"
    for query in queries:
        assert stream_labels(query) <= STREAM_LABELS, query


def test_every_metric_of_ours_is_on_some_panel() -> None:
    shown = {
        name
        for one in promql()
        for selector in selectors(parse(one))
        for name in (selector.metric, family(selector.metric))
    }
    assert set(documented()) - shown == set()


def test_a_provider_reads_the_folder_that_compose_mounts() -> None:
    (provider,) = yaml.safe_load((FOLDER / "provider.yaml").read_text())["providers"]
    compose = (OBSERVE.parent / "docker-compose.observe.yml").read_text()
    mounted = re.search(r"observe/grafana-provisioning:(\S+?):ro", compose)
    assert mounted
    assert provider["options"]["path"] == f"{mounted.group(1)}/dashboards"
