"""Span attributes held to the one vocabulary, `ml_shared.telemetry.attributes`: in the source, and on the spans that tests make."""

import ast
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

from ml_shared.telemetry import attributes
from ml_shared.testing.errors_walk import modules_of

VOCABULARY: Final = {name: value for name, value in vars(attributes).items() if name.isupper()}
"""Constant to attribute."""

_STANDARD: Final = re.compile(
    r"(asgi|celery|client|code|db|error\.type$|exception|http|messaging|net|network|otel|peer|pyroscope|redis|rpc|server"
    r"|thread|url|user_agent)\b"
)
# what OpenTelemetry's conventions, and the instrumentations that we use, have names for
_SETTERS: Final = {"set_attribute": 0, "set_attributes": 0, "add_event": 1}
# by which argument; whatever else takes attributes has them by name


def foreign_attributes(spans: Iterable[ReadableSpan]) -> list[str]:
    """Return what is on spans, and on their events and links, and is neither ours nor OpenTelemetry's."""
    known = set(VOCABULARY.values())
    found = set()
    for span in spans:
        for carried in (
            span.attributes,
            *(event.attributes for event in span.events),
            *(link.attributes for link in span.links),
        ):
            keys = set(carried or ()) - known
            found |= {f"{key} on {span.name}" for key in keys if not _STANDARD.match(key)}
    return sorted(found)


def walk(package: ModuleType, *, without: Collection[str] = ()) -> int:
    """Check every place in a package's source that sets an attribute, and return how many there are.

    Raises
    ------
    AssertionError
        Naming each place whose attribute does not come from the vocabulary, or from OpenTelemetry's, by its constant.
    """
    places = 0
    wrong: list[str] = []
    for module in modules_of(package, without=without):
        source = Path(module.__file__ or "")
        tree = ast.parse(source.read_text(), str(source))
        standard = _standard_names(tree)
        for call, given in _settings(tree):
            places += 1
            wrong += [
                f"{source}:{call.lineno}: {ast.unparse(key)}"
                for key in _keys(given, tree)
                if not _is_known(key, standard)
            ]
    assert not wrong, "attributes that are not constants of ml_shared.telemetry.attributes:\n" + "\n".join(wrong)
    return places


def _settings(tree: ast.AST) -> Iterator[tuple[ast.Call, ast.expr]]:
    """Yield each call that sets attributes, with its key or its mapping of them."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        position = _SETTERS.get(name)
        if position is not None and len(call.args) > position:
            yield call, call.args[position]
        for keyword in call.keywords:
            if keyword.arg == "attributes" or (keyword.arg == "key" and name == "set_attribute"):
                yield call, keyword.value


def _keys(given: ast.expr, tree: ast.AST) -> Iterator[ast.expr]:
    """Yield the keys of what is given: a key itself, a mapping, or a name that a mapping was put into."""
    match given:
        case ast.Constant(value=None):
            return
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                if key is None:  # **other
                    yield from _keys(value, tree)
                else:
                    yield key
        case ast.DictComp(
            key=ast.Name(), generators=[ast.comprehension(iter=ast.Call(func=ast.Attribute(value=source)))]
        ):
            yield from _keys(source, tree)  # {name: value for name, value in source.items() if …}
        case ast.Name(id=name):
            assigned = [
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Assign | ast.AnnAssign)
                and node.value is not None
                and name
                in {ast.unparse(target) for target in getattr(node, "targets", [getattr(node, "target", None)])}
            ]
            if not assigned:
                yield given
            for value in assigned:
                yield from _keys(value, tree) if isinstance(value, ast.Dict) else [value]
        case _:
            yield given


def _standard_names(tree: ast.AST) -> set[str]:
    """Return the names that a module imports from OpenTelemetry's own vocabulary."""
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {
        alias.asname or alias.name
        for node in imports
        if (node.module or "").startswith("opentelemetry.semconv.")
        for alias in node.names
    }


def _is_known(key: ast.expr, standard: Collection[str]) -> bool:
    if isinstance(key, ast.Name):
        return key.id in standard
    return (
        isinstance(key, ast.Attribute)
        and isinstance(key.value, ast.Name)
        and key.value.id == "attributes"
        and key.attr in VOCABULARY
    )
