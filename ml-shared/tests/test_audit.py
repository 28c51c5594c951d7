"""The audit trail."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import REGISTRY

from ml_shared.audit import logger as audit_module
from ml_shared.audit.events import FIELDS
from ml_shared.audit.logger import AuditEvent, AuditSchemaError, Outcome, emit
from ml_shared.auth.context import CallerContext
from ml_shared.telemetry.logs import ContextFilter, configure_logging

CTX = CallerContext("c0ffee" * 10 + "c0ff", "user", "key:hash", request_id="request-1")
SECRET = "correct-horse-battery-staple"
Said = Callable[[], dict[str, Any]]


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What is written, by an application that logs nothing below an error."""
    root = logging.getLogger()
    level = root.level
    written = io.StringIO()
    configure_logging(service="scraper", level="ERROR", stream=written)
    yield written
    for handler in [known for known in root.handlers if known.get_name() == "ml_shared"]:
        root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def said(stream: io.StringIO) -> Said:
    """Parse the one line."""

    def parse() -> dict[str, Any]:
        (line,) = stream.getvalue().splitlines()
        parsed: dict[str, Any] = json.loads(line)
        return parsed

    return parse


@pytest.fixture
def in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_module, "strict", False)


def violations(rule: str) -> float:
    return REGISTRY.get_sample_value("ml_audit_violations_total", {"rule": rule}) or 0.0


def test_an_event_is_one_json_line_that_says_who_did_what(said: Said) -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("work") as span:
        emit(AuditEvent.SCRAPE_SYNC_COMPLETE, CTX, job_id="j1", url="https://example.org/", bytes=12)
    line = said()
    assert (line["logger"], line["event"], line["outcome"]) == ("audit", "scrape_sync_complete", "success")
    assert (line["owner"], line["caller_id"], line["caller_type"]) == (CTX.owner, CTX.caller_id, "user")
    assert (line["request_id"], line["job_id"], line["bytes"]) == ("request-1", "j1", 12)
    assert line["trace_id"] == trace.format_trace_id(span.get_span_context().trace_id)
    assert "undeclared" not in line


def test_an_internal_caller_is_named_and_what_is_unknown_is_left_out(said: Said) -> None:
    ctx = CallerContext("hash", "service", "key:hash", service="scraper", is_internal=True)
    emit(AuditEvent.CONTENT_STORED, ctx, outcome=Outcome.DENIED, job_id=None, stage="scraping")
    line = said()
    assert (line["caller_service"], line["outcome"], "job_id" in line) == ("scraper", "denied", False)


def test_every_event_has_its_fields_and_none_is_a_name_that_the_line_has_already() -> None:
    assert set(FIELDS) == set(AuditEvent)
    record = logging.makeLogRecord({"name": "audit"})
    ContextFilter("s", "v", "e").filter(record)
    taken = {*record.__dict__, "message", "asctime", "timestamp", "level", "logger", "event", "trace_id", "span_id"}
    taken |= {"owner", "caller_id", "caller_type", "caller_service", "request_id", "outcome", "undeclared"}
    for fields in FIELDS.values():
        assert not taken & set(fields)


@pytest.mark.parametrize(
    ("rule", "event", "fields"),
    [
        ("event", "scrape_sync_complet", {}),
        ("event", "job_read", {}),  # the right name, but not of the enum
        ("outcome", AuditEvent.JOB_READ, {"outcome": "completed"}),
        ("field", AuditEvent.JOB_READ, {"page": "text"}),
        ("field", AuditEvent.JOB_READ, {"job_id": ["a"]}),
        ("field", AuditEvent.JOBS_LISTED, {"results": True}),
        ("field", AuditEvent.JOB_READ, {"owner": "key:other"}),
        ("field", AuditEvent.JOB_READ, {"event": "x", "ctx": "y"}),
        ("secret", AuditEvent.JOB_SUBMITTED, {"url": f"https://b.example/o?X-Amz-Signature={SECRET}"}),
        ("secret", AuditEvent.JOB_SUBMITTED, {"url": f"https://user:{SECRET}@b.example/"}),
        ("secret", AuditEvent.CORPUS_READ, {"corpus_name": f"Bearer {SECRET}"}),
        ("secret", AuditEvent.CORPUS_READ, {"corpus_name": "sk-proj-0123456789abcdef"}),
        ("field", AuditEvent.CORPUS_READ, {"api_key": SECRET}),
    ],
)
def test_what_breaks_a_rule_is_an_error_in_tests_and_masked_and_counted_in_production(
    rule: str, event: Any, fields: dict[str, Any], said: Said, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AuditSchemaError) as raised:
        emit(event, CTX, **fields)
    assert raised.value.rule == rule
    assert SECRET not in str(raised.value)
    assert stream.getvalue() == ""
    monkeypatch.setattr(audit_module, "strict", False)
    before = violations(rule)
    emit(event, CTX, **fields)
    line = said()
    assert violations(rule) == before + len(fields if rule == "field" else [rule])
    assert (line["event"], line["owner"], line["request_id"]) == (str(event), CTX.owner, "request-1")
    assert SECRET not in stream.getvalue()
    assert "sk-proj-0123456789abcdef" not in stream.getvalue()


def test_a_field_that_is_not_declared_is_kept_apart_and_masked_in_production(said: Said, in_production: None) -> None:
    emit(AuditEvent.JOB_READ, CTX, job_id="j1", level="DEBUG", password=SECRET, page={"cookie": SECRET, "n": 1})
    line = said()
    assert (line["level"], line["job_id"]) == ("INFO", "j1")
    assert line["undeclared"]["level"] == "DEBUG"
    assert line["undeclared"]["password"] == "***"
    assert "'n': 1" in line["undeclared"]["page"]
    assert SECRET not in json.dumps(line)


def test_ordinary_values_are_no_secrets(said: Said) -> None:
    url = "https://example.org/monkey?page=2&max_tokens=5&keyboard=qwerty&token_count=3#key"
    emit(AuditEvent.JOB_SUBMITTED, CTX, job_id="01890a5d-ac96-774b-bcce-b302099a8057", url=url, corpus_name="tokenizer")
    assert said()["url"] == url


@pytest.mark.parametrize("unit", ["\N{GRINNING FACE}", "\x00", '"', "a\n", "\ud800"])
def test_a_line_is_bounded_whatever_it_is_given(
    unit: str, said: Said, stream: io.StringIO, in_production: None
) -> None:
    huge: Any = unit * 200_000
    many: Any = {f"{unit}{number}" + unit * 1_000: huge for number in range(500)}
    ctx = CallerContext(huge, "user", huge, service=huge, request_id=huge)
    emit(AuditEvent.JOB_SUBMITTED, ctx, job_id=huge, url=huge, corpus_name=huge, nested=[[huge] * 10], **many)
    said()
    assert len(stream.getvalue().encode()) <= audit_module.LINE_MAX_BYTES
    assert len(said()["undeclared"]) == audit_module.MAX_UNDECLARED


def test_it_fails_nothing_in_production_whatever_it_is_given(
    said: Said, in_production: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise ValueError("no text")

    circle: list[Any] = []
    circle.append(circle)
    emit(AuditEvent.JOB_READ, CTX, thing=Unprintable(), circle=circle, infinite=float("inf"), many=10**5_000)
    assert said()["undeclared"]["thing"] == "<unprintable Unprintable>"
    emit(AuditEvent.JOB_READ, None)  # type: ignore[arg-type]
    assert "audit_line_failed" in [record.message for record in caplog.records]
    monkeypatch.setattr(logging.Logger, "handle", lambda *_: 1 / 0)
    emit(AuditEvent.JOB_READ, CTX)


def test_a_handler_that_breaks_fails_nothing(in_production: None, stream: io.StringIO) -> None:
    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if record.name == "audit":
                raise OSError("disk full")
            return True

    [handler] = [known for known in logging.getLogger().handlers if known.get_name() == "ml_shared"]
    handler.addFilter(Broken())
    emit(AuditEvent.JOB_READ, CTX)
    assert json.loads(stream.getvalue())["event"] == "audit_line_failed"
