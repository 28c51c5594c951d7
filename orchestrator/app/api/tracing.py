"""The request's own span, as a job keeps it for its root."""

from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_propagator = TraceContextTextMapPropagator()


def own_traceparent() -> str | None:
    """Return the `traceparent` of the span of the request that is being answered."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")
