"""One JSON line a record, with what the context knows and without what nobody may see."""

import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from ml_shared.telemetry.logs import configure_logging, job_context

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Logging to a buffer; what it has so far, parsed."""
    root = logging.getLogger()
    level = root.level
    stream = io.StringIO()
    configure_logging(service="scraper", version="abc", environment="test", stream=stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    for handler in [known for known in root.handlers if known.get_name() == "ml_shared"]:
        root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)


def test_a_line_says_when_what_and_who(lines: Lines) -> None:
    logging.getLogger("somewhere").info("it happened", extra={"bytes": 3})
    [line] = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", line.pop("timestamp"))
    assert line == {
        "level": "INFO",
        "logger": "somewhere",
        "event": "it happened",
        "bytes": 3,
        "service": "scraper",
        "version": "abc",
        "environment": "test",
    }


def test_a_line_has_the_ids_of_its_context(lines: Lines) -> None:
    tracer = TracerProvider().get_tracer("test")
    with tracer.start_as_current_span("work") as span, job_context("job-1", "request-0001"):
        logging.getLogger("somewhere").warning("within")
    logging.getLogger("somewhere").warning("after")
    within, after = lines()
    context = span.get_span_context()
    assert within["trace_id"] == trace.format_trace_id(context.trace_id)
    assert within["span_id"] == trace.format_span_id(context.span_id)
    assert (within["job_id"], within["request_id"]) == ("job-1", "request-0001")
    assert not {"trace_id", "span_id", "job_id", "request_id"} & set(after)


def test_uvicorn_logs_through_our_handler_and_says_nothing_of_each_request(lines: Lines) -> None:
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.StreamHandler(sys.stderr))
        logger.propagate = False
    stream = io.StringIO()
    configure_logging(service="scraper", stream=stream)
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.access").info("GET / 200")
    logging.getLogger("httpx").info("HTTP Request: GET https://a.user/path")
    [line] = stream.getvalue().splitlines()
    assert json.loads(line)["event"] == "started"


def test_configuring_again_doubles_no_line(lines: Lines) -> None:
    stream = io.StringIO()
    configure_logging(service="scraper", stream=stream)
    configure_logging(service="scraper", stream=stream)
    logging.getLogger("somewhere").info("once")
    assert len(stream.getvalue().splitlines()) == 1


def test_a_tasks_arguments_are_not_logged(lines: Lines) -> None:
    logging.getLogger("celery.worker.job").error("failed", extra={"data": {"kwargs": "somebody's page"}})
    assert "data" not in lines()[0]
