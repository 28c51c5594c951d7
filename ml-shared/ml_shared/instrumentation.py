"""Traces, profiles and logs, set up once in every process: `init_telemetry()`.

An API calls it as the first statement of `app/main.py`, before anything imports FastAPI. A Celery worker calls it in
each child, after the fork: an exporter made before a fork is shared by processes that don't know of each other.
"""

import logging
import os
import threading
from typing import Any, Final

from opentelemetry import propagate, trace
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml_shared.logs import configure_logging

logger = logging.getLogger(__name__)

EXCLUDED_URLS: Final = "/health$,/health/live$,/metrics$"
# searched for in the whole URL: without the end mark `metrics` would hide /jobs/metrics-report
EXPORT_TIMEOUT_SECONDS: Final = 2
# without a collector a full queue takes this long a batch, and a stopping process has to wait for it
SHUTDOWN_TIMEOUT_SECONDS: Final = 3.0

_initialised_pid: int | None = None
_exporting: SpanProcessor | None = None
# what this process sends spans with, if it does


class TelemetrySettings(BaseSettings):
    """What telemetry needs, read where `ServiceSettings` reads it; that one is not made yet when telemetry starts."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", hide_input_in_errors=True)

    SERVICE_NAME: str = "unknown"
    SERVICE_VERSION: str = "dev"
    ENVIRONMENT: str = "dev"
    LOG_LEVEL: str = "INFO"
    OTEL_SERVICE_NAME: str = ""
    OTEL_EXPORTER_OTLP_ENDPOINT: str = "http://alloy:4317"
    OTEL_SDK_DISABLED: bool = False
    OTEL_TRACES_EXPORTER: str = "otlp"
    OTEL_EXPORTER_OTLP_TIMEOUT: float = Field(default=EXPORT_TIMEOUT_SECONDS, gt=0)
    PYROSCOPE_SERVER_ADDRESS: str = "http://alloy:4040"

    @property
    def name(self) -> str:
        """The name on spans, profiles and log lines."""
        return self.OTEL_SERVICE_NAME or self.SERVICE_NAME


def init_telemetry(*, worker: bool = False) -> None:
    """Start logging, tracing and profiling in this process. Again in the same process, it does nothing.

    Parameters
    ----------
    worker
        Whether this is a Celery child: only there one thread runs one span's work, so that profiles can be tied to
        spans (in an event loop they would be another request's).
    """
    global _initialised_pid
    if _initialised_pid == os.getpid():
        return
    forked, _initialised_pid = _initialised_pid is not None, os.getpid()
    settings = TelemetrySettings()
    start_logging(settings)
    if forked:
        logger.warning("telemetry was started before this process was forked; spans may get lost")
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        os.makedirs(folder, exist_ok=True)  # the first count of any metric opens a file there
    propagate.set_global_textmap(TraceContextTextMapPropagator())  # no baggage: it would carry on whatever it is given
    if settings.OTEL_SDK_DISABLED:
        return
    provider = _tracer_provider(settings)
    if _start_profiling(settings) and worker:
        _tie_profiles_to_spans(provider)
    _instrument_libraries(worker=worker)


def start_logging(settings: TelemetrySettings | None = None) -> None:
    """Set up the log lines alone: for a process that must not export, such as the one that Celery forks from."""
    settings = settings or TelemetrySettings()
    configure_logging(
        service=settings.SERVICE_NAME if settings.SERVICE_NAME != "unknown" else settings.name,
        version=settings.SERVICE_VERSION,
        environment=settings.ENVIRONMENT,
        level=settings.LOG_LEVEL,
    )


def _tracer_provider(settings: TelemetrySettings) -> TracerProvider:
    global _exporting
    existing = trace.get_tracer_provider()
    if isinstance(existing, TracerProvider):
        return existing  # a test's, which keeps its spans
    provider = TracerProvider(
        resource=Resource.create(
            {
                SERVICE_NAME: settings.name,
                SERVICE_VERSION: settings.SERVICE_VERSION,
                "deployment.environment": settings.ENVIRONMENT,
                "process.pid": os.getpid(),
            }
        ),
        shutdown_on_exit=False,  # ours is bounded; theirs waits for a collector that may not be there
    )
    if settings.OTEL_TRACES_EXPORTER != "none" and settings.OTEL_EXPORTER_OTLP_ENDPOINT:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = OTLPSpanExporter(
            endpoint=settings.OTEL_EXPORTER_OTLP_ENDPOINT, timeout=settings.OTEL_EXPORTER_OTLP_TIMEOUT
        )
        _exporting = BatchSpanProcessor(exporter)
        provider.add_span_processor(_exporting)
    trace.set_tracer_provider(provider)
    return provider


def _instrument_libraries(*, worker: bool) -> None:
    from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor

    _instrument_once(HTTPXClientInstrumentor())
    _instrument_once(AsyncPGInstrumentor())  # type: ignore[no-untyped-call]
    if not worker:
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

        _instrument_once(FastAPIInstrumentor(), excluded_urls=EXCLUDED_URLS, exclude_spans=["receive", "send"])


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


def _start_profiling(settings: TelemetrySettings) -> bool:
    if not settings.PYROSCOPE_SERVER_ADDRESS:
        return False
    try:
        import pyroscope
    except ImportError:
        logger.info("no profiles: pyroscope-io has no build for this platform")
        return False
    pyroscope.configure(
        application_name=settings.name,
        server_address=settings.PYROSCOPE_SERVER_ADDRESS,
        tags={"service_version": settings.SERVICE_VERSION, "environment": settings.ENVIRONMENT},
        mem_enabled=False,  # costs a third of the CPU
    )
    return True


def _tie_profiles_to_spans(provider: TracerProvider) -> None:
    try:
        from pyroscope.otel import PyroscopeSpanProcessor
    except ImportError:
        logger.info("profiles are not tied to spans: pyroscope-otel has no build for this platform")
        return
    provider.add_span_processor(PyroscopeSpanProcessor())


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
