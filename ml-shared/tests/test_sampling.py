"""What is kept of traces when not all of them are."""

import time
from collections.abc import Callable

import pytest
from opentelemetry import context, propagate, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_OFF, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ml_shared.telemetry import attributes
from ml_shared.telemetry.roots import Roots
from ml_shared.telemetry.sampling import KeepingTracerProvider

NONE = ParentBased(TraceIdRatioBased(0))
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"


class Kept:
    """A provider, and what it sent: `whole` with its trace, `late` all the same."""

    def __init__(self, sampler: Sampler) -> None:
        self.late: list[ReadableSpan] = []
        self._whole = InMemorySpanExporter()
        self.provider = KeepingTracerProvider(self.late.append, 1.0, Resource({}), sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self._whole))
        self.tracer = self.provider.get_tracer("t")

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._whole.get_finished_spans()

    @property
    def whole(self) -> list[str]:
        return [span.name for span in self.spans]


def _called_by(flags: str) -> context.Context:
    return TraceContextTextMapPropagator().extract({"traceparent": CALLER.format(flags=flags)})


def test_traces_that_begin_at_once_have_ids_at_once_and_their_spans_at_the_end() -> None:
    kept = Kept(ParentBased(TraceIdRatioBased(1)))
    roots = Roots("submit", 3, kept.provider)
    assert len(set(roots.traceparents)) == 3
    assert roots.kept
    assert kept.whole == []
    roots.end([{"a": number} for number in range(3)])
    for number, (span, told) in enumerate(zip(kept.spans, roots.traceparents, strict=True)):
        assert (span.name, span.parent, span.attributes) == ("submit", None, {"a": number})
        going_on = TraceContextTextMapPropagator().extract({"traceparent": told or ""})
        ids = trace.get_current_span(going_on).get_span_context()
        assert (ids.trace_id, ids.span_id) == (span.context.trace_id, span.context.span_id)
        assert ids.trace_flags.sampled
        assert span.start_time <= span.end_time


def test_of_traces_that_are_not_kept_the_ids_go_on_alone() -> None:
    kept = Kept(NONE)
    roots = Roots("submit", 2, kept.provider)
    assert not roots.kept
    assert all(told and told.endswith(("-00", "-02")) for told in roots.traceparents)
    roots.end([{}, {}])
    assert kept.whole == []


def test_without_telemetry_traces_do_not_begin() -> None:
    roots = Roots("submit", 2, trace.NoOpTracerProvider())
    assert roots.traceparents == [None, None]
    assert not roots.kept
    roots.end([{}, {}])


def test_a_failed_task_is_kept_with_its_ids_and_times_and_nothing_that_it_did() -> None:
    kept = Kept(NONE)
    began = time.time_ns()
    span = kept.tracer.start_span("run", context=_called_by("00"), kind=SpanKind.CONSUMER, attributes={"a": 1})
    with trace.use_span(span, end_on_exit=True):
        with kept.tracer.start_as_current_span("within") as within:
            within.set_status(StatusCode.ERROR)
        span.set_status(StatusCode.ERROR, "code")
        span.set_attribute("b", 2)
    ended = time.time_ns()
    span.end()  # once more, as some do
    [late] = kept.late
    assert kept.whole == []
    assert (late.name, late.kind) == ("run", SpanKind.CONSUMER)
    assert (late.status.status_code, late.status.description) == (StatusCode.ERROR, "code")
    assert late.attributes == {"a": 1, "b": 2, attributes.SAMPLING_PRIORITY: 1}
    assert late.context.span_id == span.get_span_context().span_id
    assert f"{late.context.trace_id:032x}" in CALLER
    assert late.parent is not None
    assert f"{late.parent.span_id:016x}" in CALLER
    assert late.start_time is not None
    assert late.end_time is not None
    assert began <= late.start_time <= late.end_time <= ended


def test_a_task_that_did_not_fail_is_not_kept_however_long_it_took() -> None:
    kept = Kept(NONE)
    span = kept.tracer.start_span("run", kind=SpanKind.CONSUMER)
    span.end(time.time_ns() + 3_600 * 10**9)
    assert (kept.late, kept.whole) == ([], [])


def test_what_lies_within_passes_on_the_entrys_ids_and_the_decision() -> None:
    kept = Kept(NONE)
    entry = kept.tracer.start_span("run", kind=SpanKind.CONSUMER)
    ids = entry.get_span_context()
    carriers: list[dict[str, str]] = [{}, {}, {}]
    with trace.use_span(entry):
        with kept.tracer.start_as_current_span("call", kind=SpanKind.CLIENT):
            propagate.get_global_textmap()
            TraceContextTextMapPropagator().inject(carriers[0])
        with trace.use_span(kept.tracer.start_span("publish", kind=SpanKind.PRODUCER)):
            TraceContextTextMapPropagator().inject(carriers[1])
    with kept.tracer.start_as_current_span("later", context=_called_by("00")):
        TraceContextTextMapPropagator().inject(carriers[2])
    sent = f"00-{ids.trace_id:032x}-{ids.span_id:016x}-"
    assert all(carrier["traceparent"].startswith(sent) for carrier in carriers[:2])
    assert carriers[2]["traceparent"] == CALLER.format(flags="00")
    assert all(int(carrier["traceparent"][-2:], 16) & 1 == 0 for carrier in carriers)


def test_who_is_called_in_a_kept_trace_keeps_it_whatever_its_own_share_is() -> None:
    kept = Kept(NONE)
    parent = trace.get_current_span(_called_by("01")).get_span_context()
    assert kept.provider.late_request("GET", parent) is None
    with kept.tracer.start_as_current_span("run", context=_called_by("01"), kind=SpanKind.CONSUMER):
        kept.tracer.start_span("within").end()
    assert (kept.whole, kept.late) == (["within", "run"], [])


def test_a_request_is_decided_about_once_by_its_traces_id() -> None:
    kept = Kept(ParentBased(TraceIdRatioBased(0.25)))
    begun: list[int] = []
    for _ in range(400):
        if kept.provider.late_request("GET", None) is None:
            first, second = kept.tracer.start_span("GET"), kept.tracer.start_span("another trace")
            assert first.is_recording(), "it was to be kept"
            assert first.get_span_context().trace_id != second.get_span_context().trace_id
            begun.append(first.get_span_context().trace_id)
    assert 50 < len(begun) < 160
    assert len(set(begun)) == len(begun)


@pytest.mark.parametrize("sampler", [ALWAYS_OFF, DEFAULT_OFF], ids=["always_off", "parentbased_always_off"])
def test_who_wants_no_traces_at_all_gets_none(sampler: Sampler) -> None:
    kept = Kept(sampler)
    span = kept.tracer.start_span("run", kind=SpanKind.CONSUMER)
    span.set_status(StatusCode.ERROR)
    span.end()
    assert (kept.late, kept.whole, kept.provider.keeps_late) == ([], [], False)


@pytest.mark.parametrize(
    ("seconds", "fail", "kept"),
    [
        (0.5, lambda _: None, False),
        (1.5, lambda _: None, True),
        (0.5, lambda span: span.set_status(StatusCode.ERROR), True),
    ],
    ids=["well", "slow", "failed"],
)
def test_a_request_is_kept_if_it_failed_or_was_slow(
    seconds: float, fail: Callable[[trace.Span], None], kept: bool
) -> None:
    told = Kept(NONE)
    span = told.provider.late_request("GET", None)
    assert span is not None
    assert not span.is_recording(), "nobody is to put together what is seldom seen"
    fail(span)
    span.end(time.time_ns() + int(seconds * 1e9))
    assert len(told.late) == kept
