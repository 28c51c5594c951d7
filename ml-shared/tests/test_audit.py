"""The audit trail."""

import io
import json
import logging

import pytest

from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.logs import configure_logging

CTX = CallerContext("hash", "user", "key:hash", request_id="request-1")


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO, level: str = "INFO") -> None:
    configure_logging(service="scraper", level=level, stream=stream)


def test_an_event_is_one_json_line_that_says_who_did_what(stream: io.StringIO) -> None:
    lines(stream)
    emit(AuditEvent.SCRAPE_SYNC_COMPLETE, CTX, job_id="j1", url="https://example.org/", bytes=12, missing=None)
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line)
    assert (said["logger"], said["event"], said["outcome"]) == ("audit", "scrape_sync_complete", "success")
    assert (said["owner"], said["caller_id"], said["caller_type"]) == ("key:hash", "hash", "user")
    assert (said["request_id"], said["job_id"], said["bytes"]) == ("request-1", "j1", 12)
    assert "missing" not in said


def test_it_is_written_whatever_the_log_level(stream: io.StringIO) -> None:
    lines(stream, "ERROR")
    emit(AuditEvent.CORPUS_DELETED, CTX, outcome="refused")
    assert json.loads(stream.getvalue())["outcome"] == "refused"


def test_fields_named_like_a_records_own_are_kept_under_another_name(stream: io.StringIO) -> None:
    lines(stream)
    emit(AuditEvent.CORPUS_READ, CTX, name="default", message="m")
    said = json.loads(stream.getvalue())
    assert (said["name_"], said["message_"], said["event"]) == ("default", "m", "corpus_read")


def test_a_field_cannot_say_that_someone_else_did_it(stream: io.StringIO) -> None:
    lines(stream)
    emit(AuditEvent.JOB_READ, CTX, owner="key:other", request_id="forged")
    said = json.loads(stream.getvalue())
    assert (said["owner"], said["request_id"]) == ("key:hash", "request-1")


def test_a_line_that_cannot_be_written_fails_nothing(stream: io.StringIO, caplog: pytest.LogCaptureFixture) -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise ValueError("no text")

    lines(stream)
    with caplog.at_level(logging.ERROR):
        emit(AuditEvent.JOB_READ, CTX, thing=Unprintable())
    assert [record.message for record in caplog.records] == ["audit_line_failed"]
