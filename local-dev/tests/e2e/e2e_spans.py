"""What the fleet's spans tell of one job."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from conftest import Stage

from ml_shared.testing.otlp import ReceivedSpan

SPANS_SECONDS: Final = 60.0
CALLBACKS: Final = ("POST /jobs/{job_id}/complete", "POST /content")


def is_callback(span: ReceivedSpan) -> bool:
    """Whether a span is the orchestrator's, of how an attempt ended."""
    return span.resource["service.name"] == "orchestrator" and span.name in CALLBACKS


def is_within(span: ReceivedSpan, name: str, spans: Sequence[ReceivedSpan]) -> bool:
    """Whether a span of this name lies above another of its trace. One whose request was never served has none below it."""
    by_id = {each.span_id: each for each in spans}
    above = by_id.get(span.parent_id)
    while above is not None and above.name != name:
        above = by_id.get(above.parent_id)
    return above is not None


def whole_trace(
    stage: Stage,
    trace_id: str,
    *,
    names: Iterable[str] = (),
    has_all: Callable[[Sequence[ReceivedSpan]], bool] = lambda _: True,
) -> list[ReceivedSpan]:
    """Wait until a trace has its root, both callbacks and no span whose parent is missing, and return its spans.

    A span that none is below may come later than all of these, since each process sends its own when it likes: what a
    test reads has to be waited for by name, or as `has_all` says.
    """

    def arrived(spans: Sequence[ReceivedSpan]) -> bool:
        mine = [span for span in spans if span.trace_id == trace_id]
        known = {span.span_id for span in mine}
        orphans = [span for span in mine if span.parent_id not in known]
        return (
            [orphan.name for orphan in orphans] == ["POST /jobs"]
            and sum(is_callback(span) for span in mine) == 2
            and {span.name for span in mine}.issuperset(names)
            and has_all(mine)
        )

    with contextlib.suppress(TimeoutError):  # the test says what is missing
        stage.otlp.wait_for(arrived, SPANS_SECONDS)
    return [span for span in stage.otlp.spans() if span.trace_id == trace_id]
