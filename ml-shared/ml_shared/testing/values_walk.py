"""Every value of every route of a service, with each nasty one in its place: nothing is a 5xx, each refusal a problem.

What there is to be replaced is what the application declares, so that a new parameter or field is walked too.
"""

import copy
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import httpx

from ml_shared.testing.models_walk import Schema, alternatives
from ml_shared.testing.nasty import HEADERS, NAMES, OF_ANY_KIND, PARAMETERS, RAW_QUERY, kind_of
from ml_shared.testing.routes_walk import HAND_OUTS, Operation, RouteWalk, operations

Step = str | int

_HEADER_NAMES: Final = ("X-Request-Id", "Prefer", "Idempotency-Key", "traceparent", "Accept", "Last-Event-ID")
# read somewhere, or some day, declared or not


def _places(value: Any, at: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """Yield every place in a body, and what stands there."""
    yield at, value
    if isinstance(value, dict):
        for name, held in value.items():
            yield from _places(held, (*at, name))
    elif isinstance(value, list):
        for index, held in enumerate(value):
            yield from _places(held, (*at, index))


def _replaced(value: Any, at: tuple[Step, ...], by: Any) -> Any:
    if not at:
        return by
    whole = copy.deepcopy(value)
    holder = whole
    for step in at[:-1]:
        holder = holder[step]
    holder[at[-1]] = by
    return whole


def _left_out(schema: Schema, sample: Any, root: Schema, at: str) -> Iterator[str]:
    """Yield the fields that a schema declares and a sample body does not have."""
    for one in alternatives(schema, root):
        if isinstance(sample, dict):
            for name, below in one.get("properties", {}).items():
                if name in sample:
                    yield from _left_out(below, sample[name], root, f"{at}.{name}")
                else:
                    yield f"{at}.{name}"
        elif isinstance(sample, list) and "items" in one and sample:
            yield from _left_out(one["items"], sample[0], root, f"{at}.0")


@dataclass
class ValuesWalk(RouteWalk):
    """A walk with every nasty value, in every place where a caller may put one.

    Attributes
    ----------
    bodies
        A body that is taken, with every field, by `"POST /jobs"`.
    known
        Names and ids of what is there, by the name of the parameter: beyond a 404 there is more to stumble over.
    unavailable
        Codes of 5xx answers that are right here: of what is asked by the service, and not there in the test.
    asked
        How many requests were sent.
    """

    bodies: Mapping[str, Any] = field(default_factory=dict)
    known: Mapping[str, str] = field(default_factory=dict)
    unavailable: Collection[str] = ()
    asked: int = field(init=False, default=0)

    def every_value(self) -> int:
        """Walk, and return how many requests that were.

        Raises
        ------
        AssertionError
            Naming the place and the value, and what was answered.
        """
        found = [operation for operation in operations(self.app) if not operation.public]
        with_bodies = {str(operation) for operation in found if operation.takes_body}
        assert with_bodies == self.bodies.keys(), "a sample is needed of each body, and of nothing else"
        for operation in found:
            self._parameters(operation)
            self._headers(operation)
            if operation.takes_body:
                self._bodies(operation)
        return self.asked

    def _parameters(self, operation: Operation) -> None:
        for parameter in operation.declared.get("parameters", ()):
            if parameter["in"] in ("path", "query"):
                for text in [*(quote(text, safe="") for text in PARAMETERS), *RAW_QUERY]:
                    self._ask(operation, {parameter["name"]: text}, f"{parameter['name']}={text[:80]}")

    def _headers(self, operation: Operation) -> None:
        declared = {one["name"] for one in operation.declared.get("parameters", ()) if one["in"] == "header"}
        for name in sorted({name.title() for name in declared} | {name.title() for name in _HEADER_NAMES}):
            for value in HEADERS if name.lower() in {one.lower() for one in declared} else HEADERS[::3]:
                self._ask(operation, {}, f"{name}: {value[:80]!r}", headers={name.encode(): value})

    def _bodies(self, operation: Operation) -> None:
        document = self.app.openapi()
        sample = self.bodies[str(operation)]
        schema = operation.declared["requestBody"]["content"]["application/json"]["schema"]
        missing = list(_left_out(schema, sample, document, "body"))
        assert not missing, f"{operation}: the sample lacks {missing}"
        taken = self._ask(operation, {}, "the sample", body=sample)
        assert taken.status_code < 400 or taken.status_code in (404, 409), f"{operation}: {taken.text}"
        for name in NAMES if isinstance(sample, dict) else ():
            self._ask(operation, {}, f"a field {name!r:.80}", body={**sample, name: 1})
        for at, held in _places(sample):
            for kind, values in OF_ANY_KIND.items():
                # of another kind one is enough: `models_walk` holds each field to its kind
                for value in values if kind == kind_of(held) else values[:1]:
                    shown = f"{'.'.join(map(str, at))} = {value!r:.80}"
                    self._ask(operation, {}, shown, body=_replaced(sample, at, value))

    def _ask(
        self,
        operation: Operation,
        given: Mapping[str, str],
        shown: str,
        *,
        headers: Mapping[bytes, bytes] | None = None,
        body: Any = None,
    ) -> httpx.Response:
        """Ask with some parameters as given, percent-encoded, and the others as they are known."""
        url, query = operation.path, list[str]()
        known: Mapping[str, str] = {} if operation.method == "DELETE" else self.known  # what is there has to stay
        for parameter in operation.declared.get("parameters", ()):
            name = parameter["name"]
            value = given.get(name, quote(known.get(name, _any_of(parameter["schema"])), safe=""))
            if parameter["in"] == "path":
                url = url.replace(f"{{{name}}}", value)
            elif parameter["in"] == "query" and (name in given or parameter.get("required")):
                query.append(f"{name}={value}")
        if body is None and operation.takes_body:
            body = self.bodies[str(operation)]
        content = None if body is None else json.dumps(body).encode()
        place = f"{operation} with {shown}"
        answer = self._as_one_who_may(operation, httpx.URL(f"{url}?{'&'.join(query)}"), content, headers or {})
        self.asked += 1
        if answer.status_code >= 400:
            self._document(answer.status_code, answer.headers, answer.content, answer.status_code, None, place)
            body_of_error = answer.json()
            code = body_of_error["error"]["code"] if self._as_openai(operation) else body_of_error["code"]
            assert answer.status_code < 500 or code in self.unavailable, f"{place}: {answer.text}"
            assert code not in {"rate_limited", "rate_limit_exceeded"}, (
                f"{place}: the walk needs a service without limits"
            )
        return answer

    def _as_one_who_may(
        self, operation: Operation, url: httpx.URL, content: bytes | None, headers: Mapping[bytes, bytes]
    ) -> httpx.Response:
        handed_out = operation.path in HAND_OUTS and self.internal_keys  # so that internal fields are looked at, too
        for key in self.internal_keys if operation.internal or handed_out else (self.user_key,):
            sent = {b"X-API-Key": key.encode(), b"Content-Type": b"application/json", **headers}
            answer = self.client.request(operation.method, url, content=content, headers=sent)
            if answer.status_code not in (401, 403):
                break
        return answer


def _any_of(schema: Schema) -> str:
    """Return a text that a parameter's schema takes."""
    for one in schema.get("anyOf", [schema]):
        if one.get("type") == "integer":
            return "1"
        if "enum" in one:
            return str(one["enum"][0])
    return "00000000-0000-4000-8000-000000000000"
