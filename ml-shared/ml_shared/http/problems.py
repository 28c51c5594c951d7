"""Every error as RFC 9457 says it: `application/problem+json`, with a stable code and the ids to find it by."""

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, TypedDict

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError, ValidationException
from opentelemetry import trace
from opentelemetry.trace import StatusCode
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from ml_shared.errors import CLASS_OF_KIND, HTTP_STATUS, ErrorKind, InternalError, InvalidError, ServiceError
from ml_shared.http.openapi import complete_document
from ml_shared.http.problem_documents import PROBLEM_MEDIA_TYPE, phrase, problem_body, problem_document
from ml_shared.instrumentation import record_error, takes_attributes
from ml_shared.names import Header
from ml_shared.telemetry import attributes
from ml_shared.telemetry.metrics import METHODS

MAX_FIELD_ERRORS: Final = 100
# a body with 20,000 wrong chunks needs no answer of its own size
FIELD_NAME_MAX_CHARACTERS: Final = 200

_CODES: Final[Mapping[int, str]] = {
    **{HTTP_STATUS[kind]: base.code for kind, base in CLASS_OF_KIND.items()},
    400: "bad_request",
    405: "method_not_allowed",
    406: "not_acceptable",
}
# of errors that are not ours: Starlette's own, mostly
_NO_OBJECT: Final = {"model_attributes_type", "model_type", "dict_type", "missing"}
_logger = logging.getLogger(__name__)


class FieldError(TypedDict):
    """What is wrong with one field; never the value, which may be a secret."""

    field: str
    message: str
    type: str


class RefusalError(HTTPException):
    """An error of ours on its way through FastAPI's reading of a body, which makes a plain 400 of any other kind.

    Parameters
    ----------
    error
        What the answer says.
    """

    def __init__(self, error: ServiceError) -> None:
        super().__init__(error.status, error.detail)
        self.error = error


def problem_response(body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem document as an answer with its status."""
    return Response(orjson.dumps(body), body["status"], headers, PROBLEM_MEDIA_TYPE)


def problem_of(error: ServiceError, instance: str | None = None) -> Response:
    """Return the answer that an error of ours makes."""
    headers: dict[str, str] = {}
    if error.retry_after_seconds is not None:
        headers[Header.RETRY_AFTER] = str(max(1, math.ceil(error.retry_after_seconds)))
    if error.challenge is not None:
        headers["WWW-Authenticate"] = error.challenge
    return problem_response(problem_document(error, instance), headers)


def message_of(wrong: Mapping[str, Any]) -> str:
    """Return what is to be said of one error of pydantic's: in its words, but where they are about Python."""
    if wrong.get("type") in _NO_OBJECT and tuple(wrong.get("loc", ())) == ("body",):
        return "not a JSON object: send one, with `Content-Type: application/json`"
    return str(wrong.get("msg", "")).removeprefix("Value error, ")


def invalid_fields(errors: Sequence[FieldError]) -> InvalidError:
    """Return the error for fields that are wrong, listing at most 100 of them."""
    listed = [
        FieldError(field=error["field"][:FIELD_NAME_MAX_CHARACTERS], message=error["message"], type=error["type"])
        for error in errors[:MAX_FIELD_ERRORS]
    ]
    more = f"; the first {MAX_FIELD_ERRORS} of {len(errors)} are listed" if len(errors) > MAX_FIELD_ERRORS else ""
    return InvalidError(f"the request does not fit the contract; see errors{more}", extra={"errors": listed})


def unexpected_problem(error: Exception, instance: str | None = None) -> Response:
    """Log an error that nobody foresaw, mark the span, and return the answer for it, which says nothing of it."""
    safe = _without_input(error)
    _logger.error("unexpected_error", exc_info=(type(safe), safe, safe.__traceback__), extra={"path": instance})
    span = trace.get_current_span()
    if takes_attributes(span):
        record_error(span, safe)
        span.set_status(StatusCode.ERROR, type(error).__name__)
        span.set_attribute(attributes.ERROR_CODE, InternalError.code)
    detail = "something went wrong on our side; the trace id finds it in our logs"
    return problem_of(InternalError(detail), instance)


def _without_input(error: Exception) -> Exception:
    """Return an error that may be logged: pydantic's text repeats the input, which may be a secret or a whole page."""
    if isinstance(error, ValidationError | ValidationException):
        places = [".".join(map(str, item.get("loc", ()))) for item in error.errors()][:MAX_FIELD_ERRORS]
        return InternalError(f"{type(error).__name__} at {', '.join(places)}").with_traceback(error.__traceback__)
    return error


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error of an application as a problem document, and say so in its OpenAPI document."""
    app.add_exception_handler(ServiceError, _on_service_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(RefusalError, _on_refusal)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_unexpected)
    complete_document(app)


async def _on_service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # noqa: S101 - what it is registered for
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        trace.get_current_span().set_attribute(attributes.ERROR_CODE, error.code)
        _logger.warning(
            "request_failed",
            exc_info=error if error.kind is ErrorKind.INTERNAL else None,
            extra={"code": error.code, "detail": error.detail, "path": request.url.path},
        )
    return problem_of(error, request.url.path)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    fields = [
        FieldError(
            field=".".join(str(part) for part in item.get("loc", ())),
            message=message_of(item),
            type=str(item.get("type", "")),
        )
        for item in error.errors()
    ]
    return problem_of(invalid_fields(fields), request.url.path)


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusalError)  # noqa: S101 - what it is registered for
    return await _on_service_error(request, error.error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    code = _CODES.get(error.status_code, "internal_error" if error.status_code >= 500 else "bad_request")
    detail = error.detail if isinstance(error.detail, str) else phrase(error.status_code)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods_at(request)) or headers.get("Allow", "")
        detail = f"this path takes {headers['Allow'] or 'other methods'}"
    elif error.status_code == HTTPStatus.NOT_FOUND and detail == phrase(error.status_code):
        detail = "no route has this path; /docs of this service lists those that there are"
    body = problem_body(status=error.status_code, code=code, detail=detail, instance=request.url.path)
    return problem_response(body, headers)


def _methods_at(request: Request) -> list[str]:
    """Return what the path can be asked with; Starlette names only the methods of the first route that it fits."""
    place = {
        "type": "http",
        "path": request.scope["path"],
        "root_path": request.scope.get("root_path", ""),
        "headers": [],
    }
    return [
        method
        for method in sorted(METHODS)
        if any(route.matches({**place, "method": method})[0] is Match.FULL for route in request.app.router.routes)
    ]


async def _on_unexpected(request: Request, error: Exception) -> Response:
    return unexpected_problem(error, request.url.path)
