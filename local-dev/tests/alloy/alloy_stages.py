"""The stages of a `loki.process`, run on lines as Alloy v1.18.1 runs them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jmespath
import jmespath.exceptions
from alloy_syntax import Block

Series = tuple[str, frozenset[tuple[str, str]]]


@dataclass
class Entry:
    """A line on its way, and what the stages know of it."""

    line: str
    labels: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    timestamp: datetime | None = None
    extracted: dict[str, Any] = field(default_factory=dict)


class Metrics:
    """What `stage.metrics` counted and observed, by the series' name and labels."""

    def __init__(self) -> None:
        self.counters: dict[Series, float] = {}
        self.observed: dict[Series, list[float]] = {}

    def counter(self, name: str, **labels: str) -> float | None:
        return self.counters.get((name, frozenset(labels.items())))

    def observations(self, name: str, **labels: str) -> list[float]:
        return self.observed.get((name, frozenset(labels.items())), [])

    def names(self) -> set[str]:
        return {name for name, _ in [*self.counters, *self.observed]}


def run(
    process: Block, lines: list[str], labels: Mapping[str, str], written: datetime | None = None
) -> tuple[list[Entry], Metrics]:
    """Return the entries that a `loki.process` hands on, and the metrics that it made of them.

    `written` is when: what Docker says of a line; of a file's nobody does.
    """
    metrics = Metrics()
    entries = []
    for line in lines:
        # stages find the labels that a line comes with among what was extracted
        entry = Entry(line, dict(labels), timestamp=written, extracted=dict(labels))
        for stage in process.blocks:
            if stage.name == "stage.metrics":
                _metrics(stage, entry, metrics)
            elif stage.name == "stage.drop":
                if _is_dropped(stage.attributes, entry):
                    break
            else:
                _STAGES[stage.name](stage.attributes, entry)
        else:
            entries.append(entry)
    return entries, metrics


def _is_dropped(stage: Mapping[str, Any], entry: Entry) -> bool:
    assert stage.keys() == {"older_than", "drop_counter_reason"}
    oldest = datetime.now(UTC) - timedelta(hours=int(stage["older_than"].removesuffix("h")))
    return entry.timestamp is not None and entry.timestamp < oldest


def _json(stage: Mapping[str, Any], entry: Entry) -> None:
    try:
        # every number becomes a float there
        data = json.loads(entry.line, parse_int=float)
    except ValueError:
        return
    if not isinstance(data, dict):
        return
    for name, expression in stage["expressions"].items():
        try:
            found = jmespath.search(expression or name, data)
        except jmespath.exceptions.JMESPathTypeError:
            continue
        simple = found is None or isinstance(found, str | float | bool)
        entry.extracted[name] = found if simple else json.dumps(found)


def _regex(stage: Mapping[str, Any], entry: Entry) -> None:
    if match := re.search(stage["expression"], entry.line):
        entry.extracted.update(match.groupdict())


def _replace(stage: Mapping[str, Any], entry: Entry) -> None:
    """Put the text in the place of every group, not of the match; what stands in a template's braces is not needed here."""
    assert stage.keys() == {"expression", "replace"}
    assert "{{" not in stage["replace"]
    made, behind = "", 0
    for match in re.finditer(stage["expression"], entry.line):
        for begin, end in match.regs[1:]:
            if begin != -1 and behind <= begin:
                made += entry.line[behind:begin] + stage["replace"]
                behind = end
    entry.line = made + entry.line[behind:]


def _labels(stage: Mapping[str, Any], entry: Entry) -> None:
    entry.labels.update(_named(stage["values"], entry))


def _metadata(stage: Mapping[str, Any], entry: Entry) -> None:
    entry.metadata.update(_named(stage["values"], entry))
    for name, source in stage["values"].items():
        if (source or name) in entry.labels:
            entry.metadata[name] = entry.labels.pop(source or name)


def _named(values: Mapping[str, str], entry: Entry) -> dict[str, str]:
    texts = {name: _text(entry.extracted.get(source or name)) for name, source in values.items()}
    return {name: text for name, text in texts.items() if text is not None}


def _static(stage: Mapping[str, Any], entry: Entry) -> None:
    entry.labels.update(stage["values"])


def _drop(stage: Mapping[str, Any], entry: Entry) -> None:
    for name in stage["values"]:
        entry.labels.pop(name, None)


def _timestamp(stage: Mapping[str, Any], entry: Entry) -> None:
    assert (stage["format"], stage["action_on_failure"]) == ("RFC3339", "skip")
    try:
        entry.timestamp = datetime.fromisoformat(entry.extracted[stage["source"]])
    except (KeyError, TypeError, ValueError):
        return


_STAGES: dict[str, Any] = {
    "stage.json": _json,
    "stage.regex": _regex,
    "stage.replace": _replace,
    "stage.labels": _labels,
    "stage.structured_metadata": _metadata,
    "stage.static_labels": _static,
    "stage.label_drop": _drop,
    "stage.timestamp": _timestamp,
}


def _metrics(stage: Block, entry: Entry, metrics: Metrics) -> None:
    for metric in stage.blocks:
        attributes = metric.attributes
        series = (attributes["prefix"] + attributes["name"], frozenset(entry.labels.items()))
        if attributes.get("match_all"):
            assert attributes["action"] == "inc"
            metrics.counters[series] = metrics.counters.get(series, 0.0) + 1
            continue
        number = _number(entry.extracted.get(attributes["source"]))
        if number is None:
            continue
        if metric.name == "metric.histogram":
            metrics.observed.setdefault(series, []).append(number)
        else:
            assert (metric.name, attributes["action"]) == ("metric.counter", "add")
            metrics.counters[series] = metrics.counters.get(series, 0.0) + number


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except ValueError:
        return None
