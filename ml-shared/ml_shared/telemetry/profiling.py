"""Continuous profiles of a process, sent to Pyroscope, where the platform has a build of it."""

import logging

from opentelemetry.sdk.trace import TracerProvider

from ml_shared.telemetry.settings import TelemetrySettings

logger = logging.getLogger(__name__)


def start_profiling(settings: TelemetrySettings) -> bool:
    """Profile this process if there is anywhere to send it. Silent while nobody listens there.

    Returns
    -------
    bool
        Whether it is profiled.
    """
    if not settings.PYROSCOPE_SERVER_ADDRESS:
        return False
    try:
        import pyroscope
    except ImportError:
        logger.info("no profiles: pyroscope-io has no build for this platform")
        return False
    token = settings.PYROSCOPE_AUTH_TOKEN.get_secret_value()
    pyroscope.configure(
        application_name=settings.PYROSCOPE_APPLICATION_NAME or settings.name,
        server_address=settings.PYROSCOPE_SERVER_ADDRESS,
        sample_rate=settings.PYROSCOPE_SAMPLE_RATE,
        basic_auth_username=settings.PYROSCOPE_BASIC_AUTH_USER,
        basic_auth_password=settings.PYROSCOPE_BASIC_AUTH_PASSWORD.get_secret_value(),
        tenant_id=settings.PYROSCOPE_TENANT_ID,
        http_headers={"Authorization": f"Bearer {token}"} if token else {},
        tags={"service_version": settings.SERVICE_VERSION, "environment": settings.ENVIRONMENT},
        mem_enabled=False,  # costs a third of the CPU
    )
    return True


def tie_profiles_to_spans(provider: TracerProvider) -> None:
    """Label samples with the span that their thread works for: only where one thread does one span's work."""
    try:
        from pyroscope.otel import PyroscopeSpanProcessor
    except ImportError:
        logger.info("profiles are not tied to spans: pyroscope-otel has no build for this platform")
        return
    provider.add_span_processor(PyroscopeSpanProcessor())
