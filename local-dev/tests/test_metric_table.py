"""The table of metrics in the README, and what the services' code really has."""

import re

import pytest
from boards.metric_table import Metric, collect, render, written

BOUNDED = {
    *("service", "queue", "task", "stage", "phase", "report", "reason", "status", "state", "code", "kind", "rule"),
    *(
        "route",
        "method",
        "request_mode",
        "operation",
        "outcome",
        "policy",
        "store",
        "mode",
        "model",
        "database",
        "place",
        "relation",
        "part",
    ),
}
"""Labels whose values are of enums, of the code, or of the operator's settings: none is a caller's choice."""
UNITS = ("seconds", "bytes", "ratio")


@pytest.fixture(scope="module")
def metrics() -> list[Metric]:
    return collect()


def test_the_table_is_what_the_code_has(metrics: list[Metric]) -> None:
    assert written() == render(metrics), "`make boards` writes it"


def test_names_are_of_one_form_and_in_base_units(metrics: list[Metric]) -> None:
    for metric in metrics:
        assert re.fullmatch(r"ml_[a-z]+(_[a-z]+)+", metric.name), metric
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|mb|percent)(_|$)", metric.name), metric
        if metric.kind == "histogram":
            assert metric.name.endswith(("_seconds", "_bytes", "_attempts", "_texts")), metric


def test_each_says_in_a_sentence_what_it_is(metrics: list[Metric]) -> None:
    assert [metric.name for metric in metrics if not re.fullmatch(r"[A-Z].{5,}\.", metric.says)] == []


def test_labels_are_of_few_values(metrics: list[Metric]) -> None:
    assert {label for metric in metrics for label in metric.labels} - BOUNDED == set()


def test_what_services_share_says_how_work_was_asked_for_and_on_which_path(metrics: list[Metric]) -> None:
    shared = [
        metric
        for metric in metrics
        if "request_mode" in metric.labels or metric.name.startswith(("ml_http_", "ml_task_"))
    ]
    assert len(shared) > 10
    assert [metric.name for metric in shared if not {"request_mode", "operation"} <= set(metric.labels)] == []
