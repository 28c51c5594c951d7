"""What expressions are worth in a given environment, and what relabelling makes of targets."""

import json
import re
from collections.abc import Mapping
from typing import Any

from alloy_syntax import Block, Call, Reference, Sum

Labels = dict[str, str]


def value_of(expression: Any, environment: Mapping[str, str], exports: Mapping[str, Any] | None = None) -> Any:
    """Return an expression's value; an export that is not given stays a reference."""

    def of(part: Any) -> Any:
        return value_of(part, environment, exports)

    if isinstance(expression, Reference):
        return (exports or {}).get(expression.name, expression)
    if isinstance(expression, Sum):
        return of(expression.left) + of(expression.right)
    if isinstance(expression, list):
        return [of(part) for part in expression]
    if isinstance(expression, dict):
        return {name: of(part) for name, part in expression.items()}
    if isinstance(expression, Call):
        return _FUNCTIONS[expression.function](environment, *map(of, expression.arguments))
    return expression


_FUNCTIONS: dict[str, Any] = {
    "sys.env": lambda environment, name: environment.get(name, ""),
    "coalesce": lambda _, *values: next((value for value in values if value), values[-1]),
    "encoding.from_json": lambda _, text: json.loads(text),
    "encoding.to_json": lambda _, value: _as_go_writes(value),
    "string.replace": lambda _, text, old, new: text.replace(old, new),
    "array.concat": lambda _, *lists: [element for one in lists for element in one],
}


def _as_go_writes(value: Any) -> str:
    """JSON as Go's encoding/json makes it: without spaces, keys in order, and without what HTML would take for its own."""
    assert isinstance(value, dict), "encoding.to_json takes an object only"
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return re.sub("[<>&\u2028\u2029]", lambda one: f"\\u{ord(one[0]):04x}", text)


def relabelled(component: Block, targets: list[Labels], environment: Mapping[str, str]) -> list[Labels]:
    """Return what a `discovery.relabel` lets out: Prometheus' rules, of which `replace` is the default."""
    found = []
    for target in targets:
        labels: Labels | None = dict(target)
        for rule in component.blocks:
            labels = labels and _ruled(labels, value_of(rule.attributes, environment))
        if labels:
            found.append(labels)
    return found


def final(labels: Labels) -> Labels:
    """Return the labels that a series or a stream has in the end."""
    return {name: value for name, value in labels.items() if not name.startswith("__")}


def _ruled(labels: Labels, rule: Mapping[str, Any]) -> Labels | None:
    if rule.get("action") == "labelkeep":
        return {name: value for name, value in labels.items() if re.fullmatch(rule["regex"], name)}
    text = ";".join(labels.get(name, "") for name in rule.get("source_labels", ()))
    match = re.fullmatch(rule.get("regex", "(.*)"), text)
    action = rule.get("action", "replace")
    if action in ("keep", "drop"):
        return labels if bool(match) == (action == "keep") else None
    assert action == "replace"
    if match is None:
        return labels
    new = re.sub(r"\$(\d)", lambda reference: match[int(reference[1])] or "", rule.get("replacement", "$1"))
    others = {name: value for name, value in labels.items() if name != rule["target_label"]}
    return {**others, rule["target_label"]: new} if new else others
