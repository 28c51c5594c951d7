"""Many traces that begin at once: their ids first, and their first spans when the work is done.

A tracer makes a span that is written on until it ends, under a lock, which takes 20 µs; what is made here says all it has to say
when it is made, and takes 4. A request that begins a thousand traces notices.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.util.types import AttributeValue

_SCOPE: Final = InstrumentationScope(__name__)
_NOWHERE: Final = Context()


class Roots:
    """The first spans of several traces that begin now, each linked to the span that is current.

    Parameters
    ----------
    name
        What the spans are called.
    count
        How many.
    provider
        Who keeps spans; by default this process'.
    """

    def __init__(self, name: str, count: int, provider: trace.TracerProvider | None = None) -> None:
        provider = provider or trace.get_tracer_provider()
        self._provider = provider if isinstance(provider, TracerProvider) else None
        self._name = name
        self._links = [Link(trace.get_current_span().get_span_context())]
        self._began = time.time_ns()
        self._contexts = [] if self._provider is None else [self._drawn(self._provider) for _ in range(count)]
        self.traceparents: list[str | None] = [*map(_traceparent, self._contexts)] if self._contexts else [None] * count
        """What goes on from each of them, as W3C has it; `None` where there is no telemetry."""

    @property
    def kept(self) -> bool:
        """Whether any of them is to be sent."""
        return any(context.trace_flags.sampled for context in self._contexts)

    def end(self, attributes: Sequence[Mapping[str, AttributeValue]]) -> None:
        """Send those that are kept.

        Parameters
        ----------
        attributes
            What each of them says.
        """
        if self._provider is None:
            return
        ended, resource, processor = time.time_ns(), self._provider.resource, self._provider._active_span_processor
        for context, told in zip(self._contexts, attributes, strict=True):
            if context.trace_flags.sampled:
                span = ReadableSpan(
                    self._name,
                    context,
                    None,
                    resource,
                    told,
                    links=self._links,
                    start_time=self._began,
                    end_time=ended,
                    instrumentation_scope=_SCOPE,
                )
                processor.on_end(span)

    def _drawn(self, provider: TracerProvider) -> SpanContext:
        ids = provider.id_generator
        trace_id = ids.generate_trace_id()
        decided = provider.sampler.should_sample(_NOWHERE, trace_id, self._name, SpanKind.INTERNAL, None, self._links)
        flags = TraceFlags.SAMPLED if decided.decision is Decision.RECORD_AND_SAMPLE else TraceFlags.DEFAULT
        if ids.is_trace_id_random():
            flags |= TraceFlags.RANDOM_TRACE_ID
        return SpanContext(trace_id, ids.generate_span_id(), False, TraceFlags(flags), decided.trace_state)


def _traceparent(context: SpanContext) -> str:
    """Write it as the propagator does, which takes longer for a thousand of them than all else here."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
