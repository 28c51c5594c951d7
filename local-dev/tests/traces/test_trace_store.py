"""Which traces go when there is no room for all, and what of a span is kept."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from trace_sink import BEGAN_NS, MadeTrace
from traces.reading import opened
from traces.spans import MOST_ATTRIBUTES, MOST_EVENTS, TEXT_CHARACTERS, Event, Kind, Span, spans_of
from traces.store import FILE_NAME, Bounds, Store, Worth

SMALL = Bounds(traces=6, own=1, reads=2)


def span(trace: int, number: int = 1, **given: Any) -> Span:
    given = {"kind": Kind.SERVER, "attributes": {"http.request.method": "POST"}, **given}
    moment = BEGAN_NS + trace
    return Span(f"{trace:032x}", f"{number:016x}", "", "scraper", "work", start_ns=moment, end_ns=moment + 1, **given)


def passing(trace: int) -> Span:
    """What beat does every second."""
    return span(trace, kind=Kind.CONSUMER, attributes={"queue.name": "orchestration"})


def reading(trace: int) -> Span:
    return span(trace, attributes={"http.request.method": "GET"})


def left(folder: Path) -> set[int]:
    with opened(folder) as reader:
        return {int(summary.trace_id, 16) for summary in reader.latest(-1)}


@pytest.mark.parametrize("other", [passing, reading])
def test_what_nobody_asks_for_gives_way_to_work(tmp_path: Path, other: Any) -> None:
    with Store(tmp_path / FILE_NAME, SMALL) as store:
        store.add([span(1)])
        for trace in range(100, 200):
            store.add([other(trace)])
        assert len(left(tmp_path)) == SMALL.traces
        for trace in range(2, 5):
            store.add([span(trace)])
        assert {1, 2, 3, 4} <= left(tmp_path)


def test_some_of_each_kind_stay_however_much_work_there_is(tmp_path: Path) -> None:
    with Store(tmp_path / FILE_NAME, SMALL) as store:
        for trace in (1, 2):
            store.add([passing(trace)])
        for trace in (11, 12, 13):
            store.add([reading(trace)])
        for trace in range(100, 120):
            store.add([span(trace)])
        assert left(tmp_path) == {2, 12, 13, 117, 118, 119}


@pytest.mark.parametrize(
    "later",
    [
        span(1, 2, kind=Kind.INTERNAL, attributes={"job.id": "a-job"}),
        span(1, 2, kind=Kind.CLIENT, attributes={}, error=True),
        span(1, 2),
    ],
)
def test_a_pass_becomes_work_with_the_first_span_that_is(tmp_path: Path, later: Span) -> None:
    with Store(tmp_path / FILE_NAME) as store:
        store.add([passing(1)])
        store.add([later])
        store.add([passing(1)])
        with opened(tmp_path) as reader:
            assert reader.counts() == {Worth.OWN: 0, Worth.READ: 0, Worth.WORK: 1}


def test_a_trace_that_is_heard_of_again_outlives_silent_ones(tmp_path: Path) -> None:
    with Store(tmp_path / FILE_NAME, SMALL) as store:
        for trace in range(1, 7):
            store.add([span(trace)])
        store.add([span(1, 2)])
        store.add([span(7)])
        assert left(tmp_path) == {1, 3, 4, 5, 6, 7}


def test_an_evicted_trace_leaves_no_span_and_no_job(tmp_path: Path) -> None:
    with Store(tmp_path / FILE_NAME, Bounds(traces=1, own=0, reads=0)) as store:
        for trace in range(1, 4):
            store.add([span(trace, attributes={"job.id": f"job-{trace}"})])
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        assert database.execute("SELECT trace_id FROM spans").fetchall() == [(f"{3:032x}",)]
        assert database.execute("SELECT job_id FROM jobs").fetchall() == [("job-3",)]
    database.close()


def test_bytes_are_bounded_in_a_trace_and_in_all_and_on_the_disk(tmp_path: Path) -> None:
    bounds = Bounds(bytes_of_a_trace=50_000, bytes=200_000)
    text = {"http.request.method": "POST", "statement": "x" * 1_000}
    with Store(tmp_path / FILE_NAME, bounds) as store:
        for trace in range(1, 40):
            store.add([span(trace, number, attributes=text) for number in range(100)])
        with opened(tmp_path) as reader:
            summaries = reader.latest(-1)
    assert 2 <= len(summaries) <= 4
    for summary in summaries:
        assert 20 < summary.spans < 50
        assert summary.spans + summary.left_out == 100
    assert (tmp_path / FILE_NAME).stat().st_size < 3 * bounds.bytes


def test_the_job_is_found_in_the_trace_that_has_most_of_it(tmp_path: Path) -> None:
    job = {"job.id": "0f0e0d0c"}
    with Store(tmp_path / FILE_NAME) as store:
        store.add([span(1, attributes=job), *(span(2, number, attributes=job) for number in range(1, 4))])
        store.add([span(3, attributes=job)])
    with opened(tmp_path) as reader:
        assert reader.find("0f0e") == f"{2:032x}"


def test_another_versions_file_is_made_anew_and_a_busy_one_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with Store(path) as store:
        store.add([span(1)])
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with Store(path) as store:
        assert left(tmp_path) == set()
        store.add([span(2)])
    assert left(tmp_path) == {2}


def test_what_a_sender_may_make_as_large_as_it_likes_is_cut() -> None:
    made = MadeTrace()
    made.add("s" * 9_999, "n" * 9_999, 0, 1, error="m" * 9_999, text="x" * 9_999)
    request = encode_spans(made.spans)
    proto = request.resource_spans[0].scope_spans[0].spans[0]
    for number in range(500):
        proto.attributes.add(key=f"key-{number}").value.int_value = number
        proto.events.add(name="e" * 9_999)
        proto.links.add(trace_id=number.to_bytes(16, "big"))
    proto.start_time_unix_nano, proto.end_time_unix_nano = 2**64 - 1, 3
    (kept,) = spans_of(request)
    assert len(kept.attributes["text"]) == TEXT_CHARACTERS
    assert (len(kept.attributes), len(kept.events)) == (MOST_ATTRIBUTES, MOST_EVENTS)
    assert max(map(len, (kept.name, kept.service, kept.events[0].name, *kept.links))) <= 200
    assert kept.start_ns == kept.end_ns < 2**63
    assert len(kept.message) <= TEXT_CHARACTERS


def test_spans_without_proper_ids_are_left_out() -> None:
    made = MadeTrace()
    for name in ("none", "short", "good"):
        made.add("scraper", name, 0, 1)
    request = encode_spans(made.spans)
    spans = request.resource_spans[0].scope_spans[0].spans
    spans[0].trace_id, spans[1].span_id = b"", b"\x01"
    assert [span.name for span in spans_of(request)] == ["good"]


def test_a_script_that_a_redis_has_not_seen_yet_is_no_error() -> None:
    made = MadeTrace()

    class NoScriptError(Exception):
        pass

    made.add("scraper", "EVALSHA", 0, 1, error="NoScriptError", raised=NoScriptError("No matching script"))
    made.add("scraper", "EVALSHA", 0, 1, error="TimeoutError", raised=TimeoutError("no answer"))
    assert [kept.error for kept in spans_of(encode_spans(made.spans))] == [False, True]


def test_a_span_comes_back_from_the_store_as_it_went_in(tmp_path: Path) -> None:
    event = Event("exception", BEGAN_NS, {"exception.type": "ValueError", "list": [1, "two", None, 3.5, True]})
    given = span(1, error=True, message="no", events=[event], links=["12" * 16])
    with Store(tmp_path / FILE_NAME) as store:
        store.add([given])
    with opened(tmp_path) as reader:
        assert reader.spans(given.trace_id) == [given]
