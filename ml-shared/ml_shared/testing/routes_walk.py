"""Every route of a service, asked wrongly in every way there is: the same test for all four, over real HTTP."""

import http.client
import json
import re
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from ml_shared.http.documentation import DOCS_FILES, DOCS_PATH
from ml_shared.http.problem_documents import PROBLEM_MEDIA_TYPE
from ml_shared.testing.errors_walk import MEMBERS

OPENAI_MEDIA_TYPE: Final = "application/json"
PUBLIC: Final = frozenset({"/health", "/health/live", "/metrics"})
PAGES: Final = frozenset({"/openapi.json", DOCS_PATH, *(f"{DOCS_PATH}/{name}" for name in DOCS_FILES)})
# about the routes; everybody may read them
HAND_OUTS: Final = frozenset({"/enqueue", "/chunk"})
# routes of users that the orchestrator calls, too
TOO_MANY_BYTES: Final = 10**12
TIMEOUT_SECONDS: Final = 10.0
_METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")
_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}")
_PARAMETER: Final = re.compile(r"\{[^}]+\}")


@dataclass(frozen=True)
class Operation:
    """One route with one method, as the OpenAPI document declares it."""

    method: str
    path: str
    declared: Mapping[str, Any]

    @property
    def public(self) -> bool:
        """Whether it is one of the three that need no key."""
        return self.path in PUBLIC

    @property
    def internal(self) -> bool:
        """Whether only the fleet's own services may call it."""
        return "internal" in self.declared.get("tags", ())

    @property
    def takes_body(self) -> bool:
        """Whether it parses a body."""
        return "requestBody" in self.declared

    @property
    def needs_query(self) -> bool:
        """Whether it can't do without a query parameter."""
        parameters = self.declared.get("parameters", ())
        return any(parameter["in"] == "query" and parameter.get("required") for parameter in parameters)

    @property
    def url(self) -> str:
        """The path, its parameters filled in with ids of nothing."""
        return _PARAMETER.sub(str(uuid.uuid4()), self.path)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def operations(app: FastAPI) -> list[Operation]:
    """Return every operation of an application.

    Raises
    ------
    AssertionError
        If a route is not in the OpenAPI document: nobody could know of it, and this walk would miss it.
    """
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    shown = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    served = {
        (method, route.path_format)
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
        if method != "HEAD" and route.path not in PAGES
    }
    assert served == shown, f"routes that the OpenAPI document does not show: {served ^ shown}"
    return [Operation(method, path, paths[path][method.lower()]) for method, path in sorted(shown)]


def _methods_of(url: str, by_path: Mapping[str, set[str]]) -> set[str]:
    """Return the methods of every declared path that a URL matches: `/jobs/batch` is a `/jobs/{job_id}`, too."""
    matching = (methods for path, methods in by_path.items() if re.fullmatch(_PARAMETER.sub("[^/]+", path), url))
    return set().union(*matching)


@dataclass
class RouteWalk:
    """A walk over the routes of a running service; `everything()` is what a service's test calls.

    Attributes
    ----------
    app
        The application, for its OpenAPI document.
    url
        Where it is served.
    user_key
        A key that Membership knows.
    internal_keys
        Keys of the services that this one admits; an internal route is asked with each until one may.
    openai_prefix
        Where errors have OpenAI's shape instead: `400` for `422`, and no list of fields.
    """

    app: FastAPI
    url: str
    user_key: str
    internal_keys: Collection[str] = ()
    openai_prefix: str | None = None
    client: httpx.Client = field(init=False)

    def __enter__(self) -> Self:
        self.client = httpx.Client(base_url=self.url, timeout=TIMEOUT_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def everything(self) -> None:
        """Walk each way in turn.

        Raises
        ------
        AssertionError
            Naming the route, and what it answered.
        """
        found = operations(self.app)
        assert {operation.path for operation in found if operation.public} == PUBLIC
        for operation in found:
            self._without_a_key(operation)
            self._before_the_body(operation)
            self._too_long(operation)
            self._as_it_is_not_taken(operation)
            self._invalid(operation)
            self._declared(operation)
        by_path: dict[str, set[str]] = {}
        for operation in found:
            by_path.setdefault(operation.path, set()).add(operation.method)
        for path in by_path:
            self._wrong_method(path, _methods_of(Operation("GET", path, {}).url, by_path))
            slashed = f"{Operation('GET', path, {}).url}/"
            self._problem(self.client.get(slashed, follow_redirects=False), 404, "not_found", slashed)
        self._problem(self.client.get(f"/no/such/{uuid.uuid4()}"), 404, "not_found", "a path that is not there")

    def _without_a_key(self, operation: Operation) -> None:
        if operation.public:
            answer = self.client.request(operation.method, operation.url)
            assert answer.status_code in (200, 503), f"{operation}: {answer.status_code}"
            self._ids(answer, str(operation))
            return
        for body in (None, b"{", b"[]"):  # what is wrong with a body is told to nobody without a key
            headers = {"Content-Type": "application/json"} if body else {}
            answer = self.client.request(operation.method, operation.url, content=body, headers=headers)
            self._problem(answer, 401, "missing_api_key", operation)
            assert answer.headers["www-authenticate"], operation
        for headers in ({"X-API-Key": "of-nobody-0123"}, {"Authorization": "Bearer of-nobody-0123"}):
            answer = self.client.request(operation.method, operation.url, headers=headers)
            self._problem(answer, 401, "invalid_api_key", operation)
            assert "of-nobody-0123" not in answer.text, operation

    def _before_the_body(self, operation: Operation) -> None:
        """A caller who is not admitted is told so from his headers alone: the body that they announce never comes."""
        if operation.public:
            return
        asked: list[tuple[dict[str, str], int]] = [({}, 401), ({"X-API-Key": "of-nobody-0123"}, 401)]
        if operation.internal:
            asked.append(({"X-API-Key": self.user_key}, 403))
        elif operation.path not in HAND_OUTS:  # a service passes no limit: it may call what it has to, and nothing else
            asked += [({"X-API-Key": key}, 403) for key in self.internal_keys]
        for headers, status in asked:
            for announced in ({"Content-Length": "1000"}, {"Transfer-Encoding": "chunked"}):
                answer = self._only_headers(operation, headers | announced | {"Content-Type": "application/json"})
                self._document(*answer, status, None, f"{operation} with {announced} and nothing else")

    def _only_headers(self, operation: Operation, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], bytes]:
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.putrequest(operation.method, operation.url)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def _as_it_is_not_taken(self, operation: Operation) -> None:
        """Compressed, with a name twice, or with what JSON does not know."""
        if operation.takes_body:
            answer = self._as_somebody_who_may(operation, b"x" * 10, {"Content-Encoding": "gzip"})
            self._problem(answer, 415, "unsupported_content_encoding", operation)
            for content in (
                b'{"a": 1, "a": 1}',
                b'{"a": NaN}',
                b'{"a": 1e999}',
                b'{"a": -Infinity}',
            ):
                answer = self._as_somebody_who_may(operation, content)
                self._problem(answer, 422, None, f"{operation} with {content!r}")
                if not self._as_openai(operation):
                    [error] = answer.json()["errors"]
                    assert error["type"] in {"duplicate_name", "json_refused"}, f"{operation} with {content!r}: {error}"
        if not operation.public:
            answer = self._as_somebody_who_may(operation, b"{}", query="?limit=1&limit=2")
            self._problem(answer, 422, None, f"{operation} with a parameter twice")
            if not self._as_openai(operation):
                assert [error["type"] for error in answer.json()["errors"]] == ["repeated"], operation

    def _too_long(self, operation: Operation) -> None:
        """By its declared length: the body itself need never be sent."""
        answer = self._only_headers(operation, {"Content-Length": str(TOO_MANY_BYTES)})
        self._document(*answer, 413, "too_large", operation)

    def _invalid(self, operation: Operation) -> None:
        if not (operation.takes_body or operation.needs_query):
            return
        for content in (b"{", b'"text"', b'{"a": 1}') if operation.takes_body else (b"",):
            answer = self._as_somebody_who_may(operation, content)
            self._problem(answer, 422, None, operation)
            if not self._as_openai(operation):
                errors = answer.json()["errors"]
                assert errors, f"{operation}: a 422 without a word on any field"
                assert all(item.keys() == {"field", "message", "type"} for item in errors), operation
            limited = "ratelimit" in answer.headers and "ratelimit-policy" in answer.headers
            assert limited is not operation.internal, f"{operation}: rate limit headers"

    def _as_somebody_who_may(
        self, operation: Operation, content: bytes, more: Mapping[str, str] | None = None, *, query: str = ""
    ) -> httpx.Response:
        answers = []
        for key in self.internal_keys if operation.internal else (self.user_key,):
            headers = {"X-API-Key": key, "Content-Type": "application/json", **(more or {})}
            url = operation.url + query
            answers.append(self.client.request(operation.method, url, content=content, headers=headers))
            if answers[-1].status_code not in (401, 403):
                return answers[-1]
        raise AssertionError(f"{operation}: no key of the walk's is admitted: {[answer.text for answer in answers]}")

    def _wrong_method(self, path: str, methods: set[str]) -> None:
        """With each method that is not one of the path's; `methods` are those of other paths, too, that match it."""
        for method in set(_METHODS) - methods:
            answer = self.client.request(method, Operation(method, path, {}).url)
            self._problem(answer, 405, "method_not_allowed", f"{method} {path}")
            allowed = set(answer.headers["allow"].split(", "))
            assert allowed == methods, f"{method} {path}: Allow: {allowed}"

    def _declared(self, operation: Operation) -> None:
        """What the walk has seen is in the OpenAPI document, under the media type that it had."""
        responses = operation.declared["responses"]
        wanted = {"default"}
        wanted |= set() if operation.public else {"401", "403", "429", "503"}
        invalid = "400" if self._as_openai(operation) else "422"
        wanted |= {"413", invalid} if operation.takes_body else {invalid} if operation.needs_query else set()
        assert responses.keys() >= wanted, f"{operation} does not declare {wanted - responses.keys()}"
        media_type = OPENAI_MEDIA_TYPE if self._as_openai(operation) else PROBLEM_MEDIA_TYPE
        for status in wanted:
            assert media_type in responses[status]["content"], f"{operation}: {status}"

    def _problem(self, answer: httpx.Response, status: int, code: str | None, place: object) -> None:
        self._document(answer.status_code, answer.headers, answer.content, status, code, place)

    def _document(
        self, got: int, headers: Mapping[str, str], content: bytes, status: int, code: str | None, place: object
    ) -> None:
        named = httpx.Headers(dict(headers))
        if self._as_openai(place):
            _check_openai_error(got, named, content, status, place)
            return
        assert got == status, f"{place}: {got} where {status} was due: {content[:500]!r}"
        assert named["content-type"] == PROBLEM_MEDIA_TYPE, place
        body = json.loads(content)
        assert body.keys() >= set(MEMBERS), f"{place} lacks {set(MEMBERS) - body.keys()}"
        assert body["status"] == status, place
        assert code in (None, body["code"]), f"{place}: {body['code']} where {code} was due"
        assert body["request_id"] == named["x-request-id"], place
        assert body["trace_id"] == named["x-trace-id"], place
        assert _TRACE_ID.fullmatch(body["trace_id"]), place

    def _as_openai(self, place: object) -> bool:
        return self.openai_prefix is not None and self.openai_prefix in str(place).split(" with ")[0]

    def _ids(self, answer: httpx.Response, place: str) -> None:
        assert answer.headers["x-request-id"], place
        assert _TRACE_ID.fullmatch(answer.headers["x-trace-id"]), place


def _check_openai_error(got: int, headers: httpx.Headers, content: bytes, status: int, place: object) -> None:
    assert got == (400 if status == 422 else status), f"{place}: {got} where {status} was due: {content[:500]!r}"
    assert headers["content-type"] == OPENAI_MEDIA_TYPE, place
    body = json.loads(content)
    assert body.keys() == {"error"}, place
    assert body["error"].keys() == {"message", "type", "param", "code"}, place
    assert body["error"]["message"], place
    assert headers["x-request-id"], place
    assert _TRACE_ID.fullmatch(headers["x-trace-id"]), place
