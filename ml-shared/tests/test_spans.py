"""Spans of business work, and log lines of work that a request waits for."""

import asyncio
import io
import json
import logging

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from ml_shared.errors import InvalidError, UnavailableError
from ml_shared.names import Stage
from ml_shared.telemetry import attributes
from ml_shared.telemetry.logs import job_context, log_handler
from ml_shared.telemetry.spans import direct_work, work_span


def only(spans: InMemorySpanExporter) -> ReadableSpan:
    [span] = spans.get_finished_spans()
    return span


def failed_with(error: BaseException, spans: InMemorySpanExporter) -> ReadableSpan:
    with (
        pytest.raises(type(error)),
        work_span("work", attributes={attributes.JOB_STAGE: "scrape"}, stage=Stage.SCRAPING),
    ):
        raise error
    return only(spans)


def test_a_span_of_work_carries_the_job_of_its_context_and_nothing_that_is_none(spans: InMemorySpanExporter) -> None:
    with (
        job_context("job-1"),
        work_span("work", attributes={attributes.QUEUE_NAME: None, attributes.CHUNK_COUNT: 0}) as span,
    ):
        span.set_attribute(attributes.JOB_STAGE, "scrape")
    found = only(spans)
    assert (found.name, dict(found.attributes or {})) == (
        "work",
        {attributes.JOB_ID: "job-1", attributes.CHUNK_COUNT: 0, attributes.JOB_STAGE: "scrape"},
    )
    assert found.status.is_ok or found.status.status_code is StatusCode.UNSET


def test_a_job_that_is_named_stands_before_the_contexts(spans: InMemorySpanExporter) -> None:
    with job_context("job-1"), work_span("work", attributes={attributes.JOB_ID: "job-2"}):
        pass
    assert (only(spans).attributes or {})[attributes.JOB_ID] == "job-2"


def test_a_failure_for_good_is_a_code_and_its_stage_and_no_stack_trace(spans: InMemorySpanExporter) -> None:
    span = failed_with(InvalidError("no", code="too_odd"), spans)
    found = dict(span.attributes or {})
    assert (found[attributes.ERROR_CODE], found[attributes.FAILED_STAGE]) == ("too_odd", "scraping")
    assert (span.status.status_code, span.status.description, span.events) == (StatusCode.ERROR, "too_odd", ())


def test_a_failure_that_may_pass_has_failed_no_stage(spans: InMemorySpanExporter) -> None:
    span = failed_with(UnavailableError("not now", code="away"), spans)
    assert (span.attributes or {})[attributes.ERROR_CODE] == "away"
    assert span.status.status_code is StatusCode.ERROR
    assert attributes.FAILED_STAGE not in (span.attributes or {})


def test_a_failure_that_nobody_foresaw_is_recorded_masked(spans: InMemorySpanExporter) -> None:
    span = failed_with(RuntimeError("password=hunter2hunter2"), spans)
    found = dict(span.attributes or {})
    assert (found[attributes.ERROR_CODE], found[attributes.FAILED_STAGE]) == ("internal_error", "scraping")
    [event] = span.events
    assert "RuntimeError" in str(event.attributes)
    assert "hunter2" not in span.to_json()


def test_work_that_was_stopped_is_no_error(spans: InMemorySpanExporter) -> None:
    span = failed_with(asyncio.CancelledError(), spans)
    assert dict(span.attributes or {})[attributes.ERROR_CODE] == "cancelled"
    assert span.status.status_code is StatusCode.UNSET


def test_what_fails_while_a_request_waits_is_logged_with_its_stage_and_job(spans: InMemorySpanExporter) -> None:
    logger, written = logging.getLogger("ml_shared.telemetry.spans"), io.StringIO()
    handler = log_handler(service="scraper", stream=written)
    logger.addHandler(handler)
    try:
        with (
            pytest.raises(InvalidError),
            work_span("request", attributes={}) as span,
            direct_work(Stage.SCRAPING, "job-1"),
        ):
            raise InvalidError("no such page", code="gone")
    finally:
        logger.removeHandler(handler)
    [line] = [json.loads(text) for text in written.getvalue().splitlines()]
    assert line["event"] == "the work failed: no such page"
    assert {name: line[name] for name in ("level", "job_id", "failed_stage", "error_code")} == {
        "level": "WARNING",
        "job_id": "job-1",
        "failed_stage": "scraping",
        "error_code": "gone",
    }
    assert line["trace_id"] == f"{span.get_span_context().trace_id:032x}"
