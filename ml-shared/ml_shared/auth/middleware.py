"""Around every request: its ids, and the headers that every answer carries. Pure ASGI."""

import asyncio
import logging
import re
import time
from secrets import token_hex
from typing import Final

from opentelemetry import context, trace
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ml_shared.auth.request import RequestState, bound_request, current_request
from ml_shared.errors import UnavailableError
from ml_shared.http.bodies import header
from ml_shared.http.problems import problem_of, unexpected_problem
from ml_shared.http.transport import guard_connections
from ml_shared.instrumentation import (
    complete_span,
    keep_if_it_matters,
    leave_naming_to_routing,
    let_the_rest_pass,
)
from ml_shared.names import Header
from ml_shared.telemetry import attributes
from ml_shared.telemetry.metrics import observe_request

__all__ = ["RequestIdMiddleware", "RequestState", "current_request"]

CLIENT_CLOSED_REQUEST: Final = 499
# what nginx logs for a client that left before its answer; nobody receives it

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{8,128}")
_PREFIX: Final = re.compile(r"(/[a-z0-9-]{1,64}){1,4}")
_REQUEST_ID_HEADER: Final = Header.REQUEST_ID.lower().encode()
_TRACE_ID_HEADER: Final = Header.TRACE_ID.lower().encode()
_PREFIX_HEADER: Final = Header.FORWARDED_PREFIX.lower().encode()
_ids: Final = RandomIdGenerator()
_logger = logging.getLogger(__name__)


def _request_id(scope: Scope) -> str:
    given = header(scope, _REQUEST_ID_HEADER)
    return given if given and _REQUEST_ID.fullmatch(given) else token_hex(16)


def _below_prefix(scope: Scope) -> Scope:
    """Return the scope with the path under which the gateway publishes this service, so that `/docs` finds its schema."""
    prefix = header(scope, _PREFIX_HEADER)
    # Starlette takes the prefix off a path that still begins with it: /api/scraper/api/scraper/metrics would then
    # reach /metrics although the gateway, which reads paths as they stand, let it pass as something else
    if not prefix or not _PREFIX.fullmatch(prefix) or scope["path"].startswith(prefix):
        return scope
    return {**scope, "root_path": prefix}


def _untraced_span(scope: Scope) -> trace.Span:
    """Return a span by which logs and answer share a trace id although none is kept.

    That is so for the paths that tracing leaves out, and without telemetry. In the first case what happens within is
    not to be kept either: a health check's Redis commands would each become a trace of their own.
    """
    left_out = getattr(scope.get("app"), "_is_instrumented_by_opentelemetry", False)
    flags = TraceFlags(TraceFlags.DEFAULT if left_out else TraceFlags.SAMPLED)
    return NonRecordingSpan(
        SpanContext(_ids.generate_trace_id(), _ids.generate_span_id(), is_remote=False, trace_flags=flags)
    )


class RequestIdMiddleware:
    """Give every request an id and every answer its headers; answer what nothing else has caught.

    The outermost of an application's own middlewares, and inside that of OpenTelemetry, whose span is then the
    current one. Errors are answered here and not in Starlette's own outermost layer, which knows neither headers nor
    trace.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                leave_naming_to_routing(scope["app"])
                let_the_rest_pass(scope["app"], self)
                guard_connections()
            await self._app(scope, receive, send)
            return
        state = RequestState(request_id=_request_id(scope))
        span = trace.get_current_span()
        span.set_attribute(attributes.HTTP_REQUEST_ID, state.request_id)
        untraced = None
        if not span.get_span_context().is_valid:
            span = _untraced_span(scope)
            untraced = context.attach(trace.set_span_in_context(span))
        try:
            with bound_request(state):
                await self._serve(_below_prefix(scope), receive, send, state, span)
        finally:
            if untraced is not None:
                context.detach(untraced)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, state: RequestState, span: trace.Span) -> None:
        began = time.monotonic()
        status = 0  # until the answer begins
        ids = [
            (_REQUEST_ID_HEADER, state.request_id.encode()),
            (_TRACE_ID_HEADER, b"%032x" % span.get_span_context().trace_id),
        ]

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                complete_span(span, scope, status)  # now: it ends with the last byte of the answer
                limits = [] if state.rate_limit is None else state.rate_limit.headers()
                message = {**message, "headers": [*message.get("headers", ()), *ids, *limits]}
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            _logger.debug("client_disconnected")
        except asyncio.CancelledError:
            if not status:  # the server stops, and has waited as long as it may; its own answer would be a plain 500
                await problem_of(_stopping(), scope["path"])(scope, receive, send_with_headers)
            raise
        except Exception as error:  # a transport's edge
            answer = unexpected_problem(error, scope["path"])
            if status:
                raise  # the server then breaks the connection off, so that nobody takes a part for the whole
            await answer(scope, receive, send_with_headers)
        finally:
            seconds = time.monotonic() - began
            observe_request(scope, status or CLIENT_CLOSED_REQUEST, seconds)
            keep_if_it_matters(span, scope, status, seconds)


def _stopping() -> UnavailableError:
    return UnavailableError("this server is being stopped; try again", code="stopping", retry_after_seconds=1)
