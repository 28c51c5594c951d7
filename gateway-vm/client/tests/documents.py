"""The services' stored OpenAPI documents: what a request and an answer have to look like."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

REPOSITORY = Path(__file__).parents[3]
SERVICES = ("orchestrator", "scraper", "chunking", "embedding")


@cache
def document(service: str) -> dict[str, Any]:
    """A service's stored document."""
    found: dict[str, Any] = json.loads((REPOSITORY / service / "openapi.json").read_text())
    return found


@dataclass(frozen=True)
class Route:
    """A route of a service, as its document tells of it."""

    service: str
    method: str
    path: str

    @property
    def operation(self) -> dict[str, Any]:
        found: dict[str, Any] = document(self.service)["paths"][self.path][self.method.lower()]
        return found

    @property
    def internal(self) -> bool:
        return "internal" in self.operation.get("tags", [])

    def matches(self, method: str, path: str) -> bool:
        pattern = re.sub(r"\{\w+\}", "[^/]+", self.path)
        return method == self.method and re.fullmatch(f"/api/{self.service}{pattern}", path) is not None

    def parameters(self, where: str) -> set[str]:
        return {one["name"] for one in self.operation.get("parameters", []) if one["in"] == where}

    def schema_of_body(self) -> dict[str, Any] | None:
        content = self.operation.get("requestBody", {}).get("content", {})
        schema: dict[str, Any] | None = content.get("application/json", {}).get("schema")
        return schema

    def schema_of_answer(self, status: int) -> dict[str, Any] | None:
        content = self.operation["responses"].get(str(status), {}).get("content", {})
        schema: dict[str, Any] | None = content.get("application/json", {}).get("schema")
        return schema

    def wrong(self, schema: dict[str, Any], value: Any) -> str | None:
        """What is wrong with a value, or None."""
        whole = {**schema, "components": document(self.service)["components"]}
        error = next(iter(Draft202012Validator(whole).iter_errors(value)), None)
        return None if error is None else f"{self.method} {self.path}: {error.json_path}: {error.message}"


@cache
def routes() -> tuple[Route, ...]:
    return tuple(_routes())


def _routes() -> Iterator[Route]:
    for service in SERVICES:
        for path, methods in document(service)["paths"].items():
            yield from (Route(service, method.upper(), path) for method in methods)


def route_of(method: str, path: str) -> Route | None:
    """The route that a request goes to; one whose path is written out comes before one with a name in it."""
    found = [route for route in routes() if route.matches(method, path)]
    return min(found, key=lambda route: route.path.count("{")) if found else None


def schema(service: str, name: str) -> Mapping[str, Any]:
    found: dict[str, Any] = document(service)["components"]["schemas"][name]
    return found
