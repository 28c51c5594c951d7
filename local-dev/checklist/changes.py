"""What differs between two OpenAPI documents of a service, and what of it breaks a client that was written for the first.

A request may come to take more, and an answer to say more; not the other way round. Conservative where it can't be
told: what was one of several alternatives has to have its like among the new ones.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Schema = Mapping[str, Any]
METHODS: Final = ("get", "put", "post", "patch", "delete", "head", "options")
PROBLEM: Final = "Problem"
# the one schema of all errors; compared once, and not at each operation
DOCUMENT: Final = "the document"
_UPPER: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_LOWER: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_EXACT: Final = ("pattern", "format", "multipleOf")
_SUCCESS: Final = ("1", "2", "3")


@dataclass(frozen=True)
class Change:
    """One difference: of which operation, what, and whether a client may break."""

    operation: str
    says: str
    breaking: bool


def render(document: Schema) -> str:
    """Return a document as it is stored: one that a diff can be read of."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def compare(stored: Schema, current: Schema) -> list[Change]:
    """Return all differences, those that break something first within each operation."""
    found: list[Change] = []
    before, after = _operations(stored), _operations(current)
    for name, operation in before.items():
        if name not in after:
            found.append(Change(name, "is gone", True))
        else:
            found += _of_operation(name, operation, after[name], stored, current)
    found += [Change(name, "is new", False) for name in after if name not in before]
    old_problem, new_problem = (_named(document, PROBLEM) for document in (stored, current))
    if old_problem is not None and new_problem is not None:
        answers = _Answer(stored, current)
        found += [Change("errors", says, True) for says in answers.reasons(old_problem, new_problem, "problem")]
    if not found and render(stored) != render(current):
        found.append(Change(DOCUMENT, "texts, versions or what is optional changed", False))
    return found


def _operations(document: Schema) -> dict[str, Schema]:
    paths = document.get("paths", {})
    return {
        f"{method.upper()} {path}": {
            **item[method],
            "parameters": [*item.get("parameters", ()), *item[method].get("parameters", ())],
        }
        for path, item in paths.items()
        for method in METHODS
        if method in item
    }


def _named(document: Schema, name: str) -> Schema | None:
    found: Schema | None = document.get("components", {}).get("schemas", {}).get(name)
    return found


def _of_operation(name: str, old: Schema, new: Schema, stored: Schema, current: Schema) -> Iterator[Change]:
    asked, told = _Request(stored, current), _Answer(stored, current)
    for says in [*_parameters(old, new, asked), *_body(old, new, asked), *_answers(old, new, told), *_keys(old, new)]:
        yield Change(name, says, True)
    had = {(one["in"], one["name"]) for one in old["parameters"]}
    for one in new["parameters"]:
        if (one["in"], one["name"]) not in had and not one.get("required"):
            yield Change(name, f"{one['in']} parameter {one['name']} is new", False)


def _parameters(old: Schema, new: Schema, asked: "_Request") -> Iterator[str]:
    before = {(one["in"], one["name"]): one for one in old["parameters"]}
    after = {(one["in"], one["name"]): one for one in new["parameters"]}
    for (place, name), one in before.items():
        where = f"{place} parameter {name}"
        now = after.get((place, name))
        if now is None:
            yield f"{where}: is gone, so that who sends it gets another answer"
            continue
        if now.get("required") and not one.get("required"):
            yield f"{where}: was optional, is required"
        yield from asked.reasons(one.get("schema", {}), now.get("schema", {}), where)
    for (place, name), one in after.items():
        if (place, name) not in before and one.get("required"):
            yield f"{place} parameter {name}: is new and required"


def _body(old: Schema, new: Schema, asked: "_Request") -> Iterator[str]:
    before, after = old.get("requestBody"), new.get("requestBody")
    if after and after.get("required") and not (before and before.get("required")):
        yield "request: a body is required now"
    if before and not after:
        yield "request: a body is no longer taken"
    if before and after:
        for kind, content in before.get("content", {}).items():
            if kind not in after.get("content", {}):
                yield f"request: {kind} is no longer taken"
            else:
                yield from asked.reasons(content.get("schema", {}), after["content"][kind].get("schema", {}), "request")


def _answers(old: Schema, new: Schema, told: "_Answer") -> Iterator[str]:
    for status, answer in old.get("responses", {}).items():
        if not status.startswith(_SUCCESS):
            continue  # errors are one schema
        now = new.get("responses", {}).get(status)
        if now is None:
            yield f"response {status}: is gone"
            continue
        for kind, content in answer.get("content", {}).items():
            if kind not in now.get("content", {}):
                yield f"response {status}: {kind} is gone"
            else:
                where = f"response {status}"
                yield from told.reasons(content.get("schema", {}), now["content"][kind].get("schema", {}), where)
    for status in new.get("responses", {}):
        if status.startswith(_SUCCESS) and status not in old.get("responses", {}):
            yield f"response {status}: is new, and no client expects it"


def _keys(old: Schema, new: Schema) -> Iterator[str]:
    if new.get("security") and not old.get("security"):
        yield "a key is needed now"


class _Comparison:
    """Compares schemas of two documents; `is_request` says which of them has to take all that the other allows."""

    is_request: bool

    def __init__(self, stored: Schema, current: Schema) -> None:
        self._stored = stored
        self._current = current
        self._under_way: set[tuple[str, str]] = set()

    def reasons(self, old: Schema, new: Schema, where: str) -> Iterator[str]:
        """Yield why a client that knows the old schema breaks on the new one."""
        references = (old.get("$ref", ""), new.get("$ref", ""))
        if any(references):
            if references in self._under_way:
                return  # a schema that contains itself
            self._under_way.add(references)
        try:
            yield from self._between(_alternatives(old, self._stored), _alternatives(new, self._current), where)
        finally:
            self._under_way.discard(references)

    def _between(self, old: Sequence[Schema], new: Sequence[Schema], where: str) -> Iterator[str]:
        narrow, wide = (old, new) if self.is_request else (new, old)
        for one in narrow:
            tried = [list(self._simple(*((one, other) if self.is_request else (other, one)), where)) for other in wide]
            if all(tried):
                alike = [why for why, other in zip(tried, wide, strict=True) if other.get("type") == one.get("type")]
                if len(alike) == 1:
                    yield from alike[0]
                else:
                    yield f"{where}: was {_kinds(old)}, is {_kinds(new)}"

    def _simple(self, old: Schema, new: Schema, where: str) -> Iterator[str]:
        narrow, wide = (old, new) if self.is_request else (new, old)
        if not _is_type_within(narrow.get("type"), wide.get("type")):
            yield f"{where}: was {old.get('type', 'anything')}, is {new.get('type', 'anything')}"
            return
        yield from self._values(old, new, where)
        if old.get("properties") or new.get("properties"):
            yield from self._members(old, new, where)
        if "items" in old or "items" in new:
            yield from self.reasons(old.get("items", {}), new.get("items", {}), f"{where}[]")
        if isinstance(old.get("additionalProperties"), Mapping) and isinstance(
            new.get("additionalProperties"), Mapping
        ):
            yield from self.reasons(old["additionalProperties"], new["additionalProperties"], f"{where}.*")

    def _values(self, old: Schema, new: Schema, where: str) -> Iterator[str]:
        narrow, wide = (old, new) if self.is_request else (new, old)
        allowed, given = _values_of(wide), _values_of(narrow)
        if allowed is not None and (given is None or not given <= allowed):
            yield f"{where}: was {_shown(_values_of(old))}, is {_shown(_values_of(new))}"
        for names, sign in ((_UPPER, 1), (_LOWER, -1)):
            for name in names:
                limit, reached = wide.get(name), narrow.get(name)
                if limit is not None and (reached is None or sign * reached > sign * limit):
                    yield f"{where}: {name} was {old.get(name, 'none')}, is {new.get(name, 'none')}"
        for name in _EXACT:
            if wide.get(name) is not None and wide.get(name) != narrow.get(name):
                yield f"{where}: {name} was {old.get(name, 'none')}, is {new.get(name, 'none')}"

    def _members(self, old: Schema, new: Schema, where: str) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        for name, schema in before.items():
            if name in after:
                yield from self.reasons(schema, after[name], f"{where}.{name}")
            else:
                yield f"{where}.{name}: is gone"
        needed, was_needed = set(new.get("required", ())), set(old.get("required", ()))
        if self.is_request:
            for name in sorted(needed - was_needed):
                yield f"{where}.{name}: {'was optional, is required' if name in before else 'is new and required'}"
        else:
            for name in sorted((was_needed - needed) & set(after)):
                yield f"{where}.{name}: was always there, may be missing"


class _Request(_Comparison):
    is_request = True


class _Answer(_Comparison):
    is_request = False


def _alternatives(schema: Schema, document: Schema) -> list[Schema]:
    """Return what a schema may be, one by one, references followed."""
    for _ in range(8):  # a reference to a reference
        reference = schema.get("$ref", "")
        target = _named(document, reference.rpartition("/")[2]) if reference else None
        if target is None:
            break
        schema = target
    if len(schema.get("allOf", ())) == 1:
        return _alternatives({**schema["allOf"][0]}, document)
    several = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if several:
        return [one for inner in several for one in _alternatives(inner, document)]
    if isinstance(schema.get("type"), list):
        return [{**schema, "type": kind} for kind in schema["type"]]
    return [schema]


def _is_type_within(narrow: str | None, wide: str | None) -> bool:
    return wide is None or narrow == wide or (narrow, wide) == ("integer", "number")


def _values_of(schema: Schema) -> frozenset[str] | None:
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    return None if values is None else frozenset(json.dumps(value, sort_keys=True) for value in values)


def _shown(values: frozenset[str] | None) -> str:
    return "anything" if values is None else " | ".join(sorted(values))


def _kinds(schemas: Sequence[Schema]) -> str:
    return " or ".join(dict.fromkeys(str(one.get("title") or one.get("type", "anything")) for one in schemas))
