"""The document of an error, as RFC 9457 has it; who only writes one needs no web framework for it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
from opentelemetry import trace

from ml_shared.auth.request import current_request
from ml_shared.errors import ServiceError

PROBLEM_MEDIA_TYPE: Final = "application/problem+json"


def trace_id() -> str | None:
    """Return the current trace's id as 32 hexadecimal digits, `None` outside of one."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.trace_id else None


def problem_body(
    *, status: int, code: str, detail: str, instance: str | None = None, extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a problem document.

    Parameters
    ----------
    status
        The HTTP status.
    code
        Stable, snake_case.
    detail
        For the caller to read.
    instance
        The path that was asked for, without its query.
    extra
        Further members; they replace none of the document's own.
    """
    state = current_request()
    return {
        **(extra or {}),
        "type": "about:blank",
        "title": phrase(status),
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": code,
        "request_id": state.request_id if state else None,
        "trace_id": trace_id(),
    }


def problem_document(error: ServiceError, instance: str | None = None) -> dict[str, Any]:
    """Return the document of an error of ours."""
    return problem_body(status=error.status, code=error.code, detail=error.detail, instance=instance, extra=error.extra)


def problem_bytes(error: ServiceError, instance: str | None = None) -> bytes:
    """Return the body alone of the answer that an error of ours makes, to be kept and answered later."""
    return orjson.dumps(problem_document(error, instance))


def phrase(status: int) -> str:
    """Return what HTTP calls a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
