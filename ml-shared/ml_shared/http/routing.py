"""The class of a service's routes: the caller is known and counted before a byte of the body is taken, and that is read strictly.

FastAPI parses a body first and asks for the key afterwards. Here the order is: headers, key, limit, body.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, ClassVar, Final, get_args, get_origin
from urllib.parse import parse_qsl

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError

from ml_shared.auth.guards import Admits, admits_of
from ml_shared.auth.membership import validate_api_key
from ml_shared.auth.request import current_request
from ml_shared.errors import ServiceError
from ml_shared.http.documentation import serve_documentation
from ml_shared.http.problems import FieldError, RefusalError, invalid_fields, message_of
from ml_shared.http.strict_json import LARGE_BYTES, parse, parse_in_pieces
from ml_shared.ratelimit.enforcer import enforcer

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

QUERY_MAX_PARAMETERS: Final = 100
ITEMS_AT_ONCE: Final = 200
# of a long list of models: checking one takes some microseconds


class GuardedRoute(APIRoute):
    """A route that admits its caller before anything else: `APIRouter(route_class=GuardedRoute)`.

    What its dependencies ask for (`validate_api_key`, `internal_only(…)`, …) is asked from the headers alone, and the
    request is counted against its caller's limit. Where they are declared again, as dependencies and in the endpoint's
    `enforcer.check`, they cost and change nothing.

    A query parameter that the route does not have is refused, as an unknown field of a body is: `?document=keep` would
    else delete what `?documents=keep` keeps. From a service it is ignored, so that two versions can run side by side.
    """

    refuses_unknown_parameters: ClassVar[bool] = True

    def get_route_handler(self) -> Handler:
        """FastAPI's hook: wrap what reads the body and calls the endpoint."""
        handler = super().get_route_handler()
        admitted = self._handler_of_admitted()
        needs_key, admits = _guards(self.dependant)
        parameters = _parameter_names(self.dependant) if self.refuses_unknown_parameters else None
        lists = dict(_lists_of_models(self.body_field.field_info.annotation)) if self.body_field else None

        async def guarded(request: Request) -> Response:
            if needs_key:
                await _admit(request, admits)
            state = current_request()
            ctx = state.ctx if state is not None else None
            if query := request.scope["query_string"]:
                _check_parameters(query, None if ctx is None or ctx.is_internal else parameters)
            if lists is not None:
                request = _StrictRequest(request, lists)
            return await (handler if ctx is None else admitted)(request)

        return guarded

    def _handler_of_admitted(self) -> Handler:
        """Return what calls the endpoint for a caller who is admitted: the guards are not asked again.

        FastAPI goes through them one within the other, for each request, which takes longer than what they do.
        """
        whole = self.dependant
        self.dependant = _without_guards(whole)
        try:
            return super().get_route_handler()
        finally:
            self.dependant = whole  # it is what the OpenAPI document is made of


class ForeignContractRoute(GuardedRoute):
    """A guarded route whose contract is another's, whose clients may send what we do not know: it is ignored."""

    refuses_unknown_parameters = False


def serve(app: FastAPI, *routers: APIRouter) -> None:
    """Have an application serve routers' routes, under the paths that they have, the most asked first.

    `FastAPI.include_router` would look for a request's route twice, once in each router and once more in the one that has it.
    Last, and from this machine alone, the pages about the routes.
    """
    for router in routers:
        app.router.routes += router.routes
    serve_documentation(app)


def _guards(dependant: Dependant) -> tuple[bool, tuple[Admits, ...]]:
    needs_key, admits = dependant.call is validate_api_key, []
    if dependant.call is not None and (guard := admits_of(dependant.call)) is not None:
        admits.append(guard)
    for inner in dependant.dependencies:
        inner_needs_key, inner_admits = _guards(inner)
        needs_key = needs_key or inner_needs_key
        admits += inner_admits
    return needs_key, tuple(admits)


def _without_guards(dependant: Dependant) -> Dependant:
    """Return an endpoint's needs without those that the caller's own request has fulfilled."""
    guards = [each for each in dependant.dependencies if each.call is not None and _is_guard(each.call)]
    endpoint, names = dependant.call, [each.name for each in guards if each.name is not None]
    if endpoint is None or not guards or not iscoroutinefunction(endpoint):
        return dependant

    @wraps(endpoint)
    async def with_caller(**values: Any) -> Any:
        state = current_request()
        ctx = state.ctx if state is not None else None
        return await endpoint(**values, **dict.fromkeys(names, ctx))

    others = [each for each in dependant.dependencies if each not in guards]
    return replace(dependant, call=with_caller, dependencies=others)


def _is_guard(call: Callable[..., Any]) -> bool:
    return call is validate_api_key or admits_of(call) is not None


async def _admit(request: Request, admits: tuple[Admits, ...]) -> None:
    ctx = await validate_api_key(request)
    for admit in admits:
        admit(ctx)
    state = current_request()
    if state is None:  # an application without our middleware: it counts in the endpoint, and has no sealed body
        return
    await enforcer.check(ctx)
    if state.body is not None:
        state.body.admit(ctx)


def _parameter_names(dependant: Dependant) -> tuple[str, ...]:
    """Return the names of the query parameters that an endpoint and its dependencies have."""
    names = dict.fromkeys(parameter.alias for parameter in dependant.query_params)
    for inner in dependant.dependencies:
        names.update(dict.fromkeys(_parameter_names(inner)))
    return tuple(names)


def _check_parameters(query: bytes, known: tuple[str, ...] | None) -> None:
    """Refuse a parameter that stands twice, which two readers would take for two different ones, and one that is not known.

    Parameters
    ----------
    query
        As it was sent.
    known
        Names that the route has; None if others are ignored.
    """
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=QUERY_MAX_PARAMETERS)
    except ValueError:
        problem = FieldError(field="query", message=f"at most {QUERY_MAX_PARAMETERS} parameters", type="too_many")
        raise invalid_fields([problem]) from None
    names = [name for name, _ in pairs]
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise invalid_fields(
            [FieldError(field=f"query.{name}", message="give it once", type="repeated") for name in repeated]
        )
    if known is not None and (unknown := [name for name in names if name not in known]):
        there = f"there are {', '.join(known)}" if known else "this route has none"
        message = f"there is no such parameter; {there}"
        raise invalid_fields(
            [FieldError(field=f"query.{name}", message=message, type="extra_forbidden") for name in unknown]
        )


class _StrictRequest(Request):
    """A request whose JSON is read strictly, and in pieces where it is long."""

    def __init__(self, request: Request, lists: dict[str, "TypeAdapter[list[Any]]"]) -> None:
        super().__init__(request.scope, request.receive)
        self._lists = lists

    async def json(self) -> Any:
        """Starlette's hook, which FastAPI calls."""
        raw = await self.body()
        try:
            if len(raw) <= LARGE_BYTES:
                return parse(raw)
            state = current_request()
            if state is None or state.body is None:
                return await self._large(raw)
            async with state.body.parsing:
                return await self._large(raw)
        except ServiceError as error:
            raise RefusalError(error) from error  # of what else it is, FastAPI makes a plain 400

    async def _large(self, raw: bytes) -> Any:
        document = await parse_in_pieces(raw)
        if isinstance(document, dict):
            for name, adapter in self._lists.items():
                if isinstance(document.get(name), list):
                    document[name] = await _validated_in_pieces(name, document[name], adapter)
        return document


async def _validated_in_pieces(name: str, items: list[Any], adapter: "TypeAdapter[list[Any]]") -> list[Any]:
    """Make the models of a long list some at a time; the body's own validation then takes them as they are."""
    made: list[Any] = []
    for start in range(0, len(items), ITEMS_AT_ONCE):
        try:
            made += adapter.validate_python(items[start : start + ITEMS_AT_ONCE])
        except ValidationError as error:
            raise invalid_fields(
                [
                    FieldError(
                        field=".".join(map(str, ("body", name, start + int(wrong["loc"][0]), *wrong["loc"][1:]))),
                        message=message_of(wrong),
                        type=wrong["type"],
                    )
                    for wrong in error.errors(include_url=False, include_context=False, include_input=False)
                ]
            ) from None
        await asyncio.sleep(0)
    return made


def _lists_of_models(model: Any) -> Iterator[tuple[str, "TypeAdapter[list[Any]]"]]:
    """Yield the fields of a body's model that are lists of models."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        for name, field in model.model_fields.items():
            item = _item_of(field.annotation)
            if item is not None:
                yield name, TypeAdapter(list[item])  # type: ignore[valid-type]


def _item_of(annotation: Any) -> type[BaseModel] | None:
    """Return what a list in an annotation is a list of, if that is a model: through `Annotated`, and `| None`."""
    if get_origin(annotation) is list:
        [item] = get_args(annotation)
        return item if isinstance(item, type) and issubclass(item, BaseModel) else None
    return next((item for item in map(_item_of, get_args(annotation)) if item is not None), None)
