"""Every field of every body of a service: it takes values of its JSON kind alone, and each has a bound."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, get_args

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ValidationError, create_model
from pydantic.fields import FieldInfo

from ml_shared.contracts.base import RequestModel
from ml_shared.testing.nasty import OF_ANY_KIND, TIMES_REFUSED, TIMES_TAKEN

Schema = Mapping[str, Any]

_WRONG_OF_A_KIND: Final[Mapping[str, tuple[Any, ...]]] = {
    "integer": (2**63, -(2**63) - 1, 10**400),
    "number": (float("nan"), float("inf"), -float("inf"), 10**400),
}
_WRONG_JSON: Final = tuple(
    {"a": [value]} for value in (float("nan"), float("inf"), 2**64, "\ud800", "\0", {"\0": 1}, {"\ud800": 1})
)


def alternatives(schema: Schema, root: Schema) -> Iterator[Schema]:
    """Yield what a schema may be, references followed."""
    while "$ref" in schema:
        found: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    if "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from alternatives(one, root)
    else:
        yield schema


def check_models(app: FastAPI) -> int:
    """Check every model of every body: each field refuses what is of another JSON kind, and each value is bounded.

    Returns
    -------
    int
        How many fields there are.

    Raises
    ------
    AssertionError
        Naming the field, and what it took.
    """
    checked = 0
    for model in sorted(_models(app), key=str):
        assert issubclass(model, RequestModel), f"{model.__name__} is part of a request and no RequestModel"
        schema = model.model_json_schema()
        for name, info in model.model_fields.items():
            _check_field(_Field(model, name, info, schema))
            checked += 1
    return checked


def _models(app: FastAPI) -> set[type[BaseModel]]:
    found: set[type[BaseModel]] = set()
    waiting = [
        parameter.field_info.annotation
        for route in iter_route_contexts(app.routes)
        for parameter in getattr(getattr(route.original_route, "dependant", None), "body_params", ())
    ]
    while waiting:
        annotation = waiting.pop()
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if annotation not in found:
                found.add(annotation)
                annotation.model_rebuild()  # names that were not there yet when it was defined
                waiting += [info.annotation for info in annotation.model_fields.values()]
        else:
            waiting += get_args(annotation)
    return found


class _Field:
    """One field, read alone: with its model's configuration, and without what else the model needs."""

    def __init__(self, model: type[BaseModel], name: str, info: FieldInfo, root: Schema) -> None:
        self.place = f"{model.__name__}.{name}"
        self.root = root
        self.schema: Schema = root["properties"][name]
        optional = copy.copy(info)
        optional.default, optional.default_factory = None, None
        field: Any = (info.annotation, optional)
        self._alone: type[BaseModel] = create_model(
            f"{model.__name__}_{name}", __config__=model.model_config, value=field
        )

    def refuses(self, value: Any) -> bool:
        try:
            self._alone.model_validate({"value": value})
        except ValidationError:
            return True
        return False

    def takes_what_can_be_kept(self, value: Any) -> bool:
        try:
            taken = self._alone.model_validate({"value": value})
        except ValidationError:
            return True
        return "\ud800" not in repr(taken) and "\\ud800" not in repr(taken)


def _check_field(one: _Field) -> None:
    kinds = _check_value(one, one.schema, lambda value: value)
    items = [alternative["items"] for alternative in alternatives(one.schema, one.root) if "items" in alternative]
    if items:
        _check_value(one, {"anyOf": items}, lambda value: [value])
    assert kinds, f"{one.place} takes anything"


def _check_value(one: _Field, schema: Schema, around: Callable[[Any], Any]) -> set[str]:
    possible = list(alternatives(schema, one.root))
    kinds = {alternative.get("type", "string" if "const" in alternative else "") for alternative in possible}
    allowed = kinds | ({"integer"} if "number" in kinds else set())
    for kind, values in OF_ANY_KIND.items():
        for value in values if kind not in allowed else ():
            assert one.refuses(around(value)), f"{one.place} is {sorted(kinds)} and took {value!r:.60}"
    for kind in kinds & _WRONG_OF_A_KIND.keys():
        for value in _WRONG_OF_A_KIND[kind]:
            assert one.refuses(around(value)), f"{one.place} took {value!r:.60}"
    for alternative in possible:
        _check_bounds(one, alternative, around)
    return kinds


def _check_bounds(one: _Field, schema: Schema, around: Callable[[Any], Any]) -> None:
    match schema.get("type"):
        case "string":
            if schema.get("format") == "date-time":
                for text in TIMES_REFUSED:
                    assert one.refuses(around(text)), f"{one.place} took {text!r} for a time"
                for text in TIMES_TAKEN:
                    assert not one.refuses(around(text)), f"{one.place} refused the time {text!r}"
                return
            bounded = {"maxLength", "pattern", "enum", "const", "format"} & schema.keys()
            assert bounded, f"{one.place} is a text of any length"
            assert one.takes_what_can_be_kept(around("\ud800")), f"{one.place} took half of a surrogate pair"
        case "integer":
            assert {"maximum", "exclusiveMaximum"} & schema.keys(), f"{one.place} is an integer without a maximum"
            assert {"minimum", "exclusiveMinimum"} & schema.keys(), f"{one.place} is an integer without a minimum"
        case "array":
            assert "maxItems" in schema, f"{one.place} is a list of any length"
        case "object" if "properties" not in schema:
            for value in _WRONG_JSON:
                assert one.refuses(around(value)), f"{one.place} took {value!r}"
