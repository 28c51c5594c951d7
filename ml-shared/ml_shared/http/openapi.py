"""The published document says how a key is sent and what really comes back: problem documents, not FastAPI's own 422.

Both are written into the finished document, because FastAPI's own way to document a key is a dependency a scheme, which
every request would pay for (7 µs each).
"""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field

from ml_shared.auth.membership import validate_api_key
from ml_shared.http.problem_documents import PROBLEM_MEDIA_TYPE
from ml_shared.names import Header

_SCHEMA: Final = "Problem"
_REFERENCE: Final = {"$ref": f"#/components/schemas/{_SCHEMA}"}
_SCHEMES: Final = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": Header.API_KEY},
    "Bearer": {"type": "http", "scheme": "bearer"},
}
_FASTAPIS_OWN: Final = ("HTTPValidationError", "ValidationError")
_WITH_A_KEY: Final = {
    "401": "No API key, or not a valid one",
    "403": "A valid key that may not do this, or a field that it may not send",
    "429": "Over a limit; Retry-After says when to come back",
    "503": "Something that the service needs does not answer; Retry-After says when to come back, if that is known",
}
_WITH_A_BODY: Final = {"413": "The body is longer than this service takes"}
_WITH_FIELDS: Final = {"422": "A field is wrong; errors says which, and why"}
_OTHERWISE: Final = {"default": "Any other error; 404, 409, 500 and 504 among them"}


class ProblemField(BaseModel):
    """What is wrong with one field; its value is never repeated."""

    field: str = Field(description="where it stands: body.chunks.3.text")
    message: str = Field(description="what would be right")
    type: str = Field(description="stable, for a program to read")


class Problem(BaseModel):
    """An error, as RFC 9457 has it. Some carry further members, which their `code` tells of."""

    model_config = ConfigDict(extra="allow", title=_SCHEMA)

    type: str = Field(description="about:blank: the status and the code say it all")
    title: str = Field(description="the status in words")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what was wrong and what would be right, for a person to read")
    instance: str | None = Field(description="the path that was asked for")
    code: str = Field(description="stable, snake_case, for a program to read")
    request_id: str | None = Field(description="as X-Request-Id; finds the request in the logs")
    trace_id: str | None = Field(description="as X-Trace-Id; finds the trace")
    errors: list[ProblemField] | None = Field(default=None, description="of a 422: each wrong field, at most 100")


def complete_document(app: FastAPI) -> None:
    """Have an application's OpenAPI document declare the keys that its operations need and the problems they answer."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        if _SCHEMA not in document.get("components", {}).get("schemas", {}):  # generated anew, or for the first time
            _declare_keys(document, app)
            _declare_problems(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _declare_keys(document: dict[str, Any], app: FastAPI) -> None:
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route.original_route, "dependant", None)
        operations = document.get("paths", {}).get(route.path_format, {})
        if dependant is None or not _needs_key(dependant):
            continue
        for method in route.methods or ():
            if method.lower() in operations:
                operations[method.lower()]["security"] = [{name: []} for name in _SCHEMES]
                document.setdefault("components", {})["securitySchemes"] = _SCHEMES


def _needs_key(dependant: Dependant) -> bool:
    return dependant.call is validate_api_key or any(map(_needs_key, dependant.dependencies))


def _declare_problems(document: dict[str, Any]) -> None:
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for operation in _operations(document):
        responses: dict[str, Any] = operation.setdefault("responses", {})
        own = responses.get("422", {}).get("content", {}).get("application/json", {})
        if own.get("schema", {}).get("$ref", "").endswith(f"/{_FASTAPIS_OWN[0]}"):
            del responses["422"]
        if "default" in responses:  # a route with errors of another shape than ours declares them all
            continue
        for status, description in _failures(operation).items():
            responses.setdefault(status, {"description": description})
        for status, response in responses.items():
            if status == "default" or status >= "400":
                response.setdefault("content", {PROBLEM_MEDIA_TYPE: {"schema": _REFERENCE}})
    for name in _FASTAPIS_OWN:
        schemas.pop(name, None)
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas[_SCHEMA] = schema


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document.get("paths", {}).values():
        yield from methods.values()


def _failures(operation: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    if "security" in operation:
        found |= _WITH_A_KEY
    if "requestBody" in operation:
        found |= _WITH_A_BODY
    if "requestBody" in operation or "parameters" in operation:
        found |= _WITH_FIELDS
    return found | _OTHERWISE
