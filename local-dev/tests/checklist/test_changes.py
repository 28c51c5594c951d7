"""What of a contract's changes breaks its clients, in either direction."""

import copy
from typing import Any

import pytest
from checklist.changes import Change, compare


def document(**more: Any) -> dict[str, Any]:
    """A service with one route, whose parts a test may replace."""
    operation = {
        "parameters": more.get("parameters", []),
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": more.get("asked", {"type": "object"})}},
        },
        "responses": more.get(
            "responses", {"200": {"content": {"application/json": {"schema": more.get("told", {"type": "object"})}}}}
        ),
    }
    schemas = more.get("schemas", {})
    return {"info": {"version": "1"}, "paths": {"/jobs": {"post": operation}}, "components": {"schemas": schemas}}


def fields(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required or []}


def broken(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [change.says for change in compare(before, after) if change.breaking]


TEXT = {"type": "string"}
NUMBER = {"type": "number"}
OPTIONAL = {"anyOf": [TEXT, {"type": "null"}]}


@pytest.mark.parametrize(
    ("before", "after", "in_a_request", "in_an_answer"),
    [
        (fields(a=TEXT), fields(["a"], a=TEXT), "request.a: was optional, is required", None),
        (fields(["a"], a=TEXT), fields(a=TEXT), None, "response 200.a: was always there, may be missing"),
        (fields(a=TEXT), fields(), "request.a: is gone", "response 200.a: is gone"),
        (fields(), fields(a=TEXT), None, None),
        (fields(), fields(["a"], a=TEXT), "request.a: is new and required", None),
        (fields(a=TEXT), fields(a=NUMBER), "request.a: was string, is number", "response 200.a: was string, is number"),
        (fields(a={"type": "integer"}), fields(a=NUMBER), None, "response 200.a: was integer, is number"),
        (fields(a=OPTIONAL), fields(a=TEXT), "request.a: was string or null, is string", None),
        (fields(a=TEXT), fields(a=OPTIONAL), None, "response 200.a: was string, is string or null"),
        (
            fields(a={"enum": ["x", "y"]}),
            fields(a={"enum": ["x"]}),
            'request.a: was "x" | "y", is "x"',
            None,
        ),
        (
            fields(a={"enum": ["x"]}),
            fields(a={"enum": ["x", "y"]}),
            None,
            'response 200.a: was "x", is "x" | "y"',
        ),
        (
            fields(a={**TEXT, "maxLength": 9}),
            fields(a={**TEXT, "maxLength": 5}),
            "request.a: maxLength was 9, is 5",
            None,
        ),
        (fields(a=TEXT), fields(a={**TEXT, "pattern": "^a"}), "request.a: pattern was none, is ^a", None),
        (
            fields(a={**NUMBER, "minimum": 1}),
            fields(a={**NUMBER, "minimum": 0}),
            None,
            "response 200.a: minimum was 1, is 0",
        ),
        (
            {"type": "array", "items": fields(a=TEXT)},
            {"type": "array", "items": fields(a=NUMBER)},
            "request[].a: was string, is number",
            "response 200[].a: was string, is number",
        ),
        (fields(a={**TEXT, "description": "x"}), fields(a={**TEXT, "title": "y"}), None, None),
    ],
)
def test_a_schemas_change_breaks_those_who_send_it_or_those_who_read_it(
    before: dict[str, Any], after: dict[str, Any], in_a_request: str | None, in_an_answer: str | None
) -> None:
    assert broken(document(asked=before), document(asked=after)) == ([in_a_request] if in_a_request else [])
    assert broken(document(told=before), document(told=after)) == ([in_an_answer] if in_an_answer else [])


LIMIT = {"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 100}}


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ([LIMIT], [], "query parameter limit: is gone, so that who sends it gets another answer"),
        ([LIMIT], [{**LIMIT, "required": True}], "query parameter limit: was optional, is required"),
        ([], [{**LIMIT, "required": True}], "query parameter limit: is new and required"),
        (
            [LIMIT],
            [{**LIMIT, "schema": {"type": "integer", "maximum": 50}}],
            "query parameter limit: maximum was 100, is 50",
        ),
    ],
)
def test_a_parameter_that_is_wanted_or_narrowed_breaks(before: Any, after: Any, says: str) -> None:
    assert broken(document(parameters=before), document(parameters=after)) == [says]


def test_a_parameter_that_may_be_sent_is_a_change_that_breaks_nothing() -> None:
    assert compare(document(), document(parameters=[LIMIT])) == [
        Change("POST /jobs", "query parameter limit is new", False)
    ]


def test_an_operation_that_is_gone_breaks_and_a_new_one_does_not() -> None:
    other = document()
    other["paths"] = {"/tasks": other["paths"]["/jobs"]}
    assert compare(document(), other) == [Change("POST /jobs", "is gone", True), Change("POST /tasks", "is new", False)]


def test_another_success_breaks_and_another_error_does_not() -> None:
    told = {"200": {"content": {"application/json": {"schema": {}}}}}
    assert broken(document(responses=told), document(responses={"202": told["200"]})) == [
        "response 200: is gone",
        "response 202: is new, and no client expects it",
    ]
    assert broken(document(responses=told), document(responses={**told, "409": {}})) == []


def test_a_key_that_is_needed_now_breaks() -> None:
    closed = document()
    closed["paths"]["/jobs"]["post"]["security"] = [{"ApiKey": []}]
    assert broken(document(), closed) == ["a key is needed now"]


def test_the_schema_of_all_errors_is_compared_once() -> None:
    before = document(schemas={"Problem": fields(["code"], code=TEXT)})
    assert compare(before, document(schemas={"Problem": fields(["code"], code=NUMBER)})) == [
        Change("errors", "problem.code: was string, is number", True)
    ]


def test_a_schema_that_contains_itself_comes_to_an_end() -> None:
    node = fields(next={"$ref": "#/components/schemas/Node"}, name=TEXT)
    before = document(asked={"$ref": "#/components/schemas/Node"}, schemas={"Node": node})
    after = copy.deepcopy(before)
    after["components"]["schemas"]["Node"]["properties"]["name"] = NUMBER
    assert broken(before, after) == ["request.name: was string, is number"]
    assert compare(before, before) == []


def test_other_words_alone_are_a_change_of_the_document() -> None:
    said = document()
    said["paths"]["/jobs"]["post"]["summary"] = "other words"
    [change] = compare(document(), said)
    assert (change.operation, change.breaking) == ("the document", False)
