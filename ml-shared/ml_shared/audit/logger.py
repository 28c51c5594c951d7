"""The audit trail: who did what, one log line each."""

import logging
import sys
from enum import StrEnum
from typing import Any, Final

from opentelemetry import trace

from ml_shared.auth.context import CallerContext

FIELD_MAX_CHARACTERS: Final = 2_048

_audit = logging.getLogger("audit")
_logger = logging.getLogger(__name__)
_RESERVED: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
# names that a LogRecord has itself; `extra` must not carry them


class AuditEvent(StrEnum):
    """What is worth a line in the audit trail."""

    SCRAPE_SYNC_COMPLETE = "scrape_sync_complete"
    SCRAPE_ENQUEUED = "scrape_enqueued"
    CHUNK_COMPLETE = "chunk_complete"
    EMBED_SYNC_COMPLETE = "embed_sync_complete"
    EMBED_ENQUEUED = "embed_enqueued"
    OPENAI_EMBED_COMPLETE = "openai_embed_complete"
    SEARCH_COMPLETE = "search_complete"
    JOB_SUBMITTED = "job_submitted"
    BATCH_SUBMITTED = "batch_submitted"
    JOB_READ = "job_read"
    JOBS_LISTED = "jobs_listed"
    BATCH_READ = "batch_read"
    JOB_CANCELLED = "job_cancelled"
    JOB_RETRIED = "job_retried"
    JOB_ENDED = "job_ended"
    STAGE_REPORTED = "stage_reported"
    CONTENT_STORED = "content_stored"
    CONTENT_READ = "content_read"
    RESULT_READ = "result_read"
    MODELS_LISTED = "models_listed"
    CORPORA_LISTED = "corpora_listed"
    CORPUS_READ = "corpus_read"
    CORPUS_DELETED = "corpus_deleted"
    DOCUMENTS_LISTED = "documents_listed"
    DOCUMENT_DELETED = "document_deleted"


def emit(event: AuditEvent, ctx: CallerContext, *, outcome: str = "success", **fields: Any) -> None:
    """Write one line of the audit trail: the event, who, with what outcome, and what else the caller names.

    It is written whatever `LOG_LEVEL` says, and it never raises: what was done is not undone by a line that failed.
    """
    try:
        span = trace.get_current_span().get_span_context()
        line: dict[str, Any] = {name: _plain(value) for name, value in fields.items() if value is not None}
        line.update(
            outcome=outcome,
            owner=ctx.owner,
            caller_id=ctx.caller_id,
            caller_type=ctx.caller_type,
            caller_service=ctx.service,
            request_id=ctx.request_id,
        )
        if span.is_valid:
            line["trace_id"] = trace.format_trace_id(span.trace_id)
        extra = {f"{name}_" if name in _RESERVED else name: value for name, value in line.items()}
        frame = sys._getframe(1)
        record = _audit.makeRecord(
            _audit.name,
            logging.INFO,
            frame.f_code.co_filename,
            frame.f_lineno,
            str(event),
            (),
            None,
            frame.f_code.co_name,
            extra,
        )
        _audit.handle(record)
    except Exception:  # see above
        _logger.exception("audit_line_failed", extra={"audit_event": str(event)})


def _plain(value: Any) -> Any:
    """Return a value that fits a log line: numbers as they are, everything else as bounded text."""
    if isinstance(value, bool | int | float):
        return value
    return str(value)[:FIELD_MAX_CHARACTERS]
