"""Which traces are kept: decided once, where a trace begins, and then alike by everybody who works in it.

Whether a request will fail or be slow is not known when it begins. So the first span that a process has of a trace that
is not kept, a request's or a task's, is a `LateSpan`: it costs next to nothing, and is sent after all if it turns out to
matter. What lies within it has no spans of its own, and passes on the entry's ids.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace import Tracer as SdkTracer
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_OFF, Decision, ParentBased
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.semconv.attributes.exception_attributes import EXCEPTION_TYPE
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import Attributes, AttributeValue

from ml_shared.telemetry import attributes

Keep = Callable[[ReadableSpan], None]
"""Sends a span that has ended."""

_ENTRIES: Final = (SpanKind.SERVER, SpanKind.CONSUMER)
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)
_DROPPED: Final = TraceFlags(TraceFlags.DEFAULT)
_NO_STATUS: Final = Status(StatusCode.UNSET)
_NOWHERE: Final = Context()
_SCOPE: Final = InstrumentationScope(__name__)
_DESCRIBES_AGAIN: Final = "opentelemetry.instrumentation.fastapi"
# it puts all attributes of a request on its span a second time, which costs as much as the first
_DECIDED: Final[ContextVar[int | None]] = ContextVar("ml_decided_trace", default=None)
# the id of a trace that begins here and is kept, until its first span takes it


class LateSpan(Span):
    """A request or a task in a trace that is not kept, which is sent if it fails, and a request if it is slow.

    A task's takes what its instrumentation has to say. A request's says that it is not recording, so that nothing is
    put together for it; `instrumentation.keep_if_it_matters` completes and ends it.

    Parameters
    ----------
    keeping
        Sends it.
    context
        Its ids. They stand in log lines and answers, and the next service has them for its parent, kept or not.
    name, kind, parent, attributes, links
        As any span has them.
    """

    __slots__ = (
        *("_attributes", "_context", "_events", "_keeping", "_kind", "_links", "_name", "_parent", "_start"),
        "_status",
    )

    def __init__(
        self,
        keeping: "Keeping",
        context: SpanContext,
        name: str,
        kind: SpanKind,
        parent: SpanContext | None,
        attributes: Attributes = None,
        links: Sequence[Link] = (),
    ) -> None:
        self._keeping, self._context, self._name, self._kind, self._parent = keeping, context, name, kind, parent
        self._attributes: dict[str, AttributeValue] = dict(attributes) if attributes else {}
        self._links = links
        self._events: list[Event] = []
        self._status = _NO_STATUS
        self._start: int | None = time.time_ns()

    @property
    def attributes(self) -> Mapping[str, AttributeValue]:
        """What was put on it so far."""
        return self._attributes

    @property
    def status(self) -> Status:
        """How it went so far."""
        return self._status

    def is_kept_after(self, seconds: float) -> bool:
        """Say whether it is sent if it ends after so long: it failed, or is a request that was slow."""
        return self._status.status_code is StatusCode.ERROR or (
            self._kind is SpanKind.SERVER and seconds >= self._keeping.slow_seconds
        )

    def get_span_context(self) -> SpanContext:
        """Return its ids."""
        return self._context

    def is_recording(self) -> bool:
        """Whether others should describe it."""
        return self._kind is not SpanKind.SERVER

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Put something on it."""
        self._attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Put several things on it."""
        self._attributes.update(attributes)

    def describe(self, given: Mapping[str, AttributeValue]) -> None:
        """Put on it what its instrumentation would have."""
        self._attributes.update(given)

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        """Note something that happened."""
        self._events.append(Event(name, attributes, timestamp))

    def update_name(self, name: str) -> None:
        """Name it anew."""
        self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Say how it went: an error is what it is kept for."""
        self._status = status if isinstance(status, Status) else Status(status, description)

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Note an error."""
        kind = f"{type(exception).__module__}.{type(exception).__qualname__}"
        self._events.append(Event("exception", {EXCEPTION_TYPE: kind} | dict(attributes or {}), timestamp))

    def end(self, end_time: int | None = None) -> None:
        """Send it if it failed, or was a slow request; else it is forgotten."""
        start, self._start = self._start, None
        if start is None:
            return
        end = end_time or time.time_ns()
        if not self.is_kept_after((end - start) / 1e9):
            return
        self.set_attribute(attributes.SAMPLING_PRIORITY, 1)  # a collector that drops some more traces is to keep this
        ids = self._context
        self._keeping.keep(
            ReadableSpan(
                self._name,
                SpanContext(ids.trace_id, ids.span_id, is_remote=False, trace_flags=_SAMPLED),
                self._parent,
                self._keeping.resource,
                self._attributes,
                events=self._events,
                links=self._links,
                kind=self._kind,
                status=self._status,
                start_time=start,
                end_time=end,
                instrumentation_scope=_SCOPE,
            )
        )


@dataclass(frozen=True)
class Keeping:
    """How spans are kept late.

    Attributes
    ----------
    keep
        Sends one.
    slow_seconds
        From how many seconds on a request is slow.
    resource
        Whose they are.
    """

    keep: Keep
    slow_seconds: float
    resource: Resource


class _Ids(RandomIdGenerator):
    """Ids of traces: the next one of this context is the one that was decided about already, if one was."""

    def generate_trace_id(self) -> int:
        decided = _DECIDED.get()
        if decided is None:
            return super().generate_trace_id()
        _DECIDED.set(None)
        return decided


class KeepingTracerProvider(TracerProvider):
    """OpenTelemetry's provider, whose tracers keep what failed or was slow although its trace is not kept.

    Parameters
    ----------
    keep
        Sends a span that is kept late.
    slow_seconds
        From how many seconds on a request is slow.
    resource
        Whose spans they are.
    options
        What OpenTelemetry's own takes; it finds the sampler in the environment.
    """

    def __init__(self, keep: Keep, slow_seconds: float, resource: Resource, **options: Any) -> None:
        super().__init__(resource=resource, id_generator=_Ids(), **options)
        self._keeping = Keeping(keep, slow_seconds, resource)
        self._tracers_of_ours: dict[int, trace.Tracer] = {}

    @property
    def keeps_late(self) -> bool:
        """Whether anything is ever to be sent."""
        return self.sampler not in (ALWAYS_OFF, DEFAULT_OFF)

    def get_tracer(self, *arguments: Any, **options: Any) -> trace.Tracer:
        """Return a tracer."""
        tracer = super().get_tracer(*arguments, **options)
        if not isinstance(tracer, SdkTracer) or not self.keeps_late:
            return tracer
        known = self._tracers_of_ours.get(id(tracer))
        if known is None:
            known = self._tracers_of_ours[id(tracer)] = _KeepingTracer(tracer, self._keeping)
        return known

    def late_request(self, name: str, parent: SpanContext | None) -> LateSpan | None:
        """Return the span of a request that begins, `None` if its trace is kept.

        In that case the next trace that begins in this context is the one that was decided about.

        Parameters
        ----------
        parent
            What called, `None` where the trace begins here.
        """
        inherited = trace.set_span_in_context(NonRecordingSpan(parent), _NOWHERE) if parent else _NOWHERE
        trace_id = parent.trace_id if parent else self.id_generator.generate_trace_id()
        if self.sampler.should_sample(inherited, trace_id, name, SpanKind.SERVER).decision is not Decision.DROP:
            if parent is None:
                _DECIDED.set(trace_id)
            return None
        ids = SpanContext(trace_id, self.id_generator.generate_span_id(), is_remote=False, trace_flags=_DROPPED)
        return LateSpan(self._keeping, ids, name, SpanKind.SERVER, parent)


class _KeepingTracer(trace.Tracer):
    def __init__(self, tracer: SdkTracer, keeping: Keeping) -> None:
        self._tracer, self._keeping = tracer, keeping
        self._inherits = isinstance(tracer.sampler, ParentBased)
        self._describes_later = tracer.instrumentation_info.name == _DESCRIBES_AGAIN

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> Span:
        parent = trace.get_current_span(context).get_span_context()
        if self._leaves_out(kind, parent):
            return NonRecordingSpan(parent)  # its parent's ids: who comes after it is a child of what may be kept
        if self._describes_later:
            attributes = None
        span = self._tracer.start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )
        if kind is not SpanKind.CONSUMER or span.is_recording():
            return span
        ids = span.get_span_context()
        return LateSpan(self._keeping, ids, name, kind, parent if parent.is_valid else None, attributes, links or ())

    def _leaves_out(self, kind: SpanKind, parent: SpanContext) -> bool:
        return self._inherits and kind not in _ENTRIES and parent.is_valid and not parent.trace_flags.sampled

    def start_as_current_span(  # type: ignore[override]  # theirs can decorate a coroutine, too
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> AbstractContextManager[Span]:
        if context is None:
            parent = trace.get_current_span().get_span_context()
            if self._leaves_out(kind, parent):
                return nullcontext(NonRecordingSpan(parent))  # whose ids are the current ones already
        span = self.start_span(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )
        return _current(span, end_on_exit, record_exception, set_status_on_exception)


@contextmanager
def _current(span: Span, end_on_exit: bool, record_exception: bool, set_status_on_exception: bool) -> Iterator[Span]:
    with trace.use_span(
        span,
        end_on_exit=end_on_exit,
        record_exception=record_exception,
        set_status_on_exception=set_status_on_exception,
    ) as current:
        yield current
