"""Traces, profiles and logs, set up once in every process: `init_telemetry()`.

An API calls it as the first statement of `app/main.py`, before anything imports FastAPI. A Celery worker calls it in
each child, after the fork: an exporter made before a fork is shared by processes that don't know of each other.
"""

import logging
import os
import threading
import traceback
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context, propagate, trace
from opentelemetry.instrumentation import asgi
from opentelemetry.instrumentation._semconv import _StabilityMode
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.semconv._incubating.attributes.http_attributes import HTTP_URL
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.exception_attributes import EXCEPTION_MESSAGE, EXCEPTION_STACKTRACE
from opentelemetry.semconv.attributes.http_attributes import HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE
from opentelemetry.semconv.attributes.url_attributes import URL_QUERY
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.http import sanitize_method

from ml_shared.telemetry import attributes
from ml_shared.telemetry.logs import configure_logging, log_handler
from ml_shared.telemetry.masking import MASK
from ml_shared.telemetry.profiling import start_profiling, tie_profiles_to_spans
from ml_shared.telemetry.sampling import KeepingTracerProvider, LateSpan
from ml_shared.telemetry.settings import TelemetrySettings
from ml_shared.telemetry.urls import told_text, told_url

if TYPE_CHECKING:  # not at run time: it would import FastAPI before that is instrumented
    from fastapi.telemetry import TelemetryConfig

logger = logging.getLogger(__name__)

EXCLUDED_URLS: Final = "/health$,/health/live$,/metrics$"
# searched for in the whole URL: without the end mark `metrics` would hide /jobs/metrics-report
_EXCLUDED_PATHS: Final = tuple(EXCLUDED_URLS.replace("$", "").split(","))
SHUTDOWN_TIMEOUT_SECONDS: Final = 3.0
_SERVER_ERROR: Final = 500
_NOWHERE: Final = context.Context()
NO_SPANS_OF_ITS_OWN: "Final[TelemetryConfig]" = {"tracing": False, "metrics": False, "logs": False}
"""For `FastAPI(telemetry=…)`: its spans would be a second one a request, or the only ones where ours are not in place."""


def takes_attributes(span: trace.Span) -> bool:
    """Say whether what is put on a span may be seen by somebody: it is recorded, or may be sent after all."""
    return span.is_recording() or isinstance(span, LateSpan)


def hide_query(span: trace.Span, scope: MutableMapping[str, Any]) -> None:
    """Keep the query off a request's span: somebody's key may stand in it, under whatever name they gave it."""
    if scope.get("query_string") and takes_attributes(span):
        span.set_attribute(URL_QUERY, MASK)
        recorded: Mapping[str, Any] = getattr(span, "attributes", None) or {}
        if HTTP_URL in recorded:  # of the names that OTEL_SEMCONV_STABILITY_OPT_IN can still ask for
            span.set_attribute(HTTP_URL, told_url(str(recorded[HTTP_URL]).partition("?")[0]))


FASTAPI_OPTIONS: Final[Mapping[str, Any]] = {
    "excluded_urls": EXCLUDED_URLS,
    "exclude_spans": ["receive", "send"],
    "server_request_hook": hide_query,
}
"""What `FastAPIInstrumentor` is told."""

_initialised_pid: int | None = None
_prepared_pid: int | None = None
# of the process whose forks are to start telemetry in its place
_exporting: SpanProcessor | None = None
# what this process sends spans with, if it does


def init_telemetry(*, worker: bool = False) -> None:
    """Start logging, tracing and profiling in this process. Again in the same process, it does nothing.

    Parameters
    ----------
    worker
        Whether this is a Celery child: only there one thread runs one span's work, so that profiles can be tied to
        spans (in an event loop they would be another request's).
    """
    global _initialised_pid
    if os.getpid() in (_initialised_pid, _prepared_pid):
        return
    forked, _initialised_pid = _initialised_pid is not None, os.getpid()
    settings = _prepare(worker=worker)
    if forked:
        logger.warning("telemetry was started before this process was forked; spans may get lost")
    if settings.OTEL_SDK_DISABLED:
        return
    for words in settings.unsupported():
        logger.warning(words)
    provider = _tracer_provider(settings)
    if start_profiling(settings) and worker:
        tie_profiles_to_spans(provider)


def prepare_telemetry() -> None:
    """Do in this process, from which others are forked, what they share; it exports nothing itself.

    `init_telemetry` does nothing here from now on, and the rest in each of them.
    """
    global _prepared_pid
    _prepared_pid = os.getpid()
    import_exporter(_prepare(worker=False))


def import_exporter(settings: TelemetrySettings | None = None) -> None:
    """Import, for the processes that are to be forked from this one, what they send spans with, if they do."""
    settings = settings or TelemetrySettings()
    if settings.span_endpoint and not settings.OTEL_SDK_DISABLED:
        from ml_shared.telemetry.exporting import exporter_class

        exporter_class()


def _prepare(*, worker: bool) -> TelemetrySettings:
    settings = TelemetrySettings()
    start_logging(settings)
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        os.makedirs(folder, exist_ok=True)  # the first count of any metric opens a file there
    propagate.set_global_textmap(TraceContextTextMapPropagator())  # no baggage: it would carry on whatever it is given
    if not settings.OTEL_SDK_DISABLED:
        _instrument_libraries(worker=worker)
    return settings


def start_logging(settings: TelemetrySettings | None = None) -> None:
    """Set up the log lines alone: for a process that must not export, such as the one that Celery forks from."""
    settings = settings or TelemetrySettings()
    configure_logging(**_log_labels(settings), level=settings.LOG_LEVEL)


def uvicorn_log_handler() -> logging.Handler:
    """Return the handler that `uvicorn_logs.json` names: for what uvicorn says before it imports the application."""
    from ml_shared.http.forking import fork_workers

    fork_workers()
    settings = TelemetrySettings()
    handler = log_handler(**_log_labels(settings))
    handler.setLevel(settings.LOG_LEVEL)
    return handler


def _log_labels(settings: TelemetrySettings) -> dict[str, str]:
    return {
        "service": settings.log_name,
        "version": settings.SERVICE_VERSION,
        "environment": settings.ENVIRONMENT,
    }


def _tracer_provider(settings: TelemetrySettings) -> TracerProvider:
    global _exporting
    existing = trace.get_tracer_provider()
    if isinstance(existing, TracerProvider):
        return existing  # a test's, which keeps its spans
    resource = Resource.create(
        {
            SERVICE_NAME: settings.name,
            SERVICE_VERSION: settings.SERVICE_VERSION,
            "deployment.environment": settings.ENVIRONMENT,
            "process.pid": os.getpid(),
        }
    )
    # the SDK reads these two, and has another default
    os.environ["OTEL_TRACES_SAMPLER"] = settings.OTEL_TRACES_SAMPLER
    os.environ["OTEL_TRACES_SAMPLER_ARG"] = str(settings.OTEL_TRACES_SAMPLER_ARG)
    provider = KeepingTracerProvider(
        _send,
        settings.SLOW_REQUEST_SECONDS,
        resource=resource.merge(OTELResourceDetector().detect()),  # what the operator says beats what we know
        shutdown_on_exit=False,  # ours is bounded; theirs waits for a collector that may not be there
    )
    if settings.span_endpoint:
        from ml_shared.telemetry.exporting import open_processor

        _exporting = open_processor(settings)
        provider.add_span_processor(_exporting)
    trace.set_tracer_provider(provider)
    return provider


def _send(span: ReadableSpan) -> None:
    if _exporting is not None:
        _exporting.on_end(span)


def _instrument_libraries(*, worker: bool) -> None:
    # the stable names (http.request.method, url.path); the default is still the old ones, and costs 8 µs a request more
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http")
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    from ml_shared.telemetry.statements import StatementInstrumentor

    _instrument_once(HTTPXClientInstrumentor())
    _instrument_once(StatementInstrumentor())  # type: ignore[no-untyped-call]
    if not worker:
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        asgi.asgi_getter = _HeaderGetter()
        _instrument_once(FastAPIInstrumentor(), **FASTAPI_OPTIONS)


class _HeaderGetter(asgi.ASGIGetter):
    """Decodes only the header that is asked for; theirs decodes all of a request's headers, eight times over."""

    def get(self, carrier: dict[Any, Any], key: str) -> list[str] | None:
        wanted = key.lower().encode()
        try:
            return [str(value, "utf-8") for name, value in carrier.get("headers", ()) if name == wanted] or None
        except UnicodeDecodeError:
            return super().get(carrier, key)


def leave_naming_to_routing(app: Any) -> None:
    """Have `FastAPIInstrumentor` name an application's spans by their method alone; `complete_span` completes them.

    It goes through all routes of the application to find a name, before routing does the same: 50 µs with one route,
    more with each further one. https://github.com/open-telemetry/opentelemetry-python/issues/826
    """
    layer = app.middleware_stack
    while layer is not None and not isinstance(layer, asgi.OpenTelemetryMiddleware):
        layer = getattr(layer, "app", None)
    if layer is not None:
        layer.default_span_details = _by_method


class _Entrance:
    """Has requests whose traces are not kept pass by `FastAPIInstrumentor`'s middleware, which has no use for them.

    Parameters
    ----------
    traced
        The whole application, that middleware included.
    within
        What stands inside it.
    """

    def __init__(self, traced: Any, within: Any, provider: KeepingTracerProvider) -> None:
        self.app = traced  # by this name FastAPI looks for the instrumentation
        self._within, self._provider = within, provider

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if (
            scope["type"] != "http"
            or scope["path"].endswith(_EXCLUDED_PATHS)
            or trace.get_current_span() is not trace.INVALID_SPAN
        ):
            await self.app(scope, receive, send)
            return
        caller = trace.get_current_span(_caller(scope)).get_span_context()
        late = self._provider.late_request(sanitize_method(scope["method"]), caller if caller.is_valid else None)
        if late is None:
            await self.app(scope, receive, send)
            return
        token = context.attach(trace.set_span_in_context(late))
        try:
            await self._within(scope, receive, send)
        finally:
            context.detach(token)


def _caller(scope: Mapping[str, Any]) -> context.Context:
    """Return the context that a request brings along."""
    for name, _ in scope["headers"]:
        if name == b"traceparent":
            return propagate.extract(dict(scope), context=_NOWHERE, getter=asgi.asgi_getter)
    return _NOWHERE


def let_the_rest_pass(app: Any, within: Any) -> None:
    """Spare the requests of an application whose traces are not kept its `FastAPIInstrumentor`.

    Parameters
    ----------
    within
        The middleware that comes next.
    """
    provider = trace.get_tracer_provider()
    instrumented = getattr(app, "_is_instrumented_by_opentelemetry", False)
    if instrumented and isinstance(provider, KeepingTracerProvider) and provider.keeps_late:
        app.middleware_stack = _Entrance(app.middleware_stack, within, provider)


def _by_method(scope: MutableMapping[str, Any]) -> tuple[str, dict[str, Any]]:
    return sanitize_method(scope["method"]), {}


def complete_span(span: trace.Span, scope: Mapping[str, Any], status: int) -> None:
    """Put on a request's span the route that it was sent to, once routing has found it and the answer begins."""
    if span.is_recording():
        _name_by_route(span, scope)
        if status >= _SERVER_ERROR:
            span.set_attribute(attributes.SAMPLING_PRIORITY, 1)


def _name_by_route(span: trace.Span, scope: Mapping[str, Any]) -> None:
    path = getattr(scope.get("route"), "path", None)
    if path is not None:
        span.update_name(f"{sanitize_method(scope['method'])} {path}")
        span.set_attribute(HTTP_ROUTE, path)


def keep_if_it_matters(span: trace.Span, scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
    """See to it that a request which failed or was slow is kept, whatever was decided of its trace when it began.

    Its span is then sent: that of the request, not those of what it did. Called when the request is answered.
    """
    if not isinstance(span, LateSpan):
        return
    if status >= _SERVER_ERROR:
        span.set_attribute(ERROR_TYPE, str(status))
        span.set_status(Status(StatusCode.ERROR, span.status.description))
    if span.is_kept_after(seconds):
        span.describe(asgi.collect_request_attributes(scope, _StabilityMode.HTTP))  # type: ignore[no-untyped-call]
        hide_query(span, scope)
        _name_by_route(span, scope)
        if status:
            span.set_attribute(HTTP_RESPONSE_STATUS_CODE, status)
        span.end()


def record_error(span: trace.Span, error: BaseException) -> None:
    """Put an error on a span, its text and its traceback masked as in a log line."""
    if takes_attributes(span):
        trail = "".join(traceback.format_exception(error))
        masked = {EXCEPTION_MESSAGE: told_text(error), EXCEPTION_STACKTRACE: told_text(trail)}
        span.record_exception(error, attributes=masked)


def _instrument_once(instrumentor: Any, **options: Any) -> None:
    if not instrumentor.is_instrumented_by_opentelemetry:  # a forked child inherits what its parent patched
        instrumentor.instrument(**options)


def instrument_celery() -> None:
    """Trace publishing and running tasks. Before any Celery app is made, and harmless before a fork."""
    from opentelemetry.instrumentation.celery import CeleryInstrumentor

    if not TelemetrySettings().OTEL_SDK_DISABLED:
        _instrument_once(CeleryInstrumentor())  # type: ignore[no-untyped-call]


def instrument_redis(client: Any) -> None:
    """Trace this client's commands. Never all clients: a worker's broker polls, a root span a time."""
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    if not TelemetrySettings().OTEL_SDK_DISABLED:
        RedisInstrumentor.instrument_client(client)


def shutdown_telemetry(timeout_seconds: float = SHUTDOWN_TIMEOUT_SECONDS) -> None:
    """Send what is queued and stop, within the time given: a process that just exits loses its last spans."""
    if _initialised_pid != os.getpid() or _exporting is None:
        return
    # a daemon thread, because the exporter's own wait can't be bounded and must not keep the process from ending
    thread = threading.Thread(target=_exporting.shutdown, name="telemetry-shutdown", daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    if thread.is_alive():
        logger.warning("spans were not all sent within %s s", timeout_seconds)
