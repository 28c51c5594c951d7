"""JSON log lines for every process of the fleet: ours, uvicorn's, Celery's and the libraries', one handler for all.

A line carries `timestamp, level, logger, event, service, version, environment`, and where they are known `trace_id,
span_id, request_id, job_id`. What looks like a key or a password is masked in the finished line, so that neither a
message's arguments, an exception's text nor an extra field can carry one out.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from opentelemetry import trace
from pythonjsonlogger.orjson import OrjsonFormatter

from ml_shared.telemetry.masking import masked
from ml_shared.telemetry.urls import with_told_urls

UVICORN_LOG_CONFIG: Final = Path(__file__).parent / "uvicorn_logs.json"
"""For uvicorn's `--log-config`, or `UVICORN_LOG_CONFIG`: its own first lines come before the application is imported."""

HANDLER_NAME: Final = "ml_shared"
JOB_ID: Final[ContextVar[str | None]] = ContextVar("ml_job_id", default=None)
REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("ml_request_id", default=None)
# of the job and of the request that this context works for; whoever learns of them sets them

CONTEXT_FIELDS: Final = ("service", "version", "environment", "trace_id", "span_id", "request_id", "job_id")
# what ContextFilter adds

_QUIET: Final = (
    *("uvicorn.access", "httpx", "httpcore", "kombu"),
    *("celery.app.trace", "celery.worker.strategy", "celery.beat"),
)
# A line a request is the gateway's and the spans' business (uvicorn's costs a quarter of the throughput); httpx would
# write users' URLs; Celery says "succeeded" of a task that reported a failure.
_UVICORN: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "gunicorn.error")


@contextmanager
def job_context(job_id: str | None, request_id: str | None = None) -> Iterator[None]:
    """Put a job, and the request that it came from, on every line logged within the block."""
    job_token, request_token = JOB_ID.set(job_id), REQUEST_ID.set(request_id or REQUEST_ID.get())
    try:
        yield
    finally:
        JOB_ID.reset(job_token)
        REQUEST_ID.reset(request_token)


class ContextFilter(logging.Filter):
    """Adds what the current context knows. A handler's filter: a logger's is not asked for records of its children."""

    def __init__(self, service: str, version: str, environment: str) -> None:
        super().__init__()
        self._labels = {"service": service, "version": version, "environment": environment}

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete the record; every record passes."""
        fields = record.__dict__
        if record.name.startswith("celery."):
            fields.pop("data", None)  # a task's arguments: somebody's page
        for name, value in self._labels.items():
            fields.setdefault(name, value)
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            fields["trace_id"] = trace.format_trace_id(span.trace_id)
            fields["span_id"] = trace.format_span_id(span.span_id)
        if (job_id := JOB_ID.get()) is not None:
            fields.setdefault("job_id", job_id)
        if (request_id := REQUEST_ID.get()) is not None:
            fields.setdefault("request_id", request_id)
        return True


class MaskedRecord(logging.LogRecord):
    """A record that holds nothing more to mask, and whose fields are ready to be written.

    Such lines are written for every request, so that they take the short way through the formatter.
    """

    fields: dict[str, Any]


class MaskingJsonFormatter(OrjsonFormatter):
    """One JSON object a line, secrets masked."""

    def __init__(self) -> None:
        super().__init__(
            ["timestamp", "levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger", "message": "event"},
            timestamp=True,
            reserved_attrs=[*_RESERVED, "color_message", "taskName"],
        )

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Return the JSON text, also of what orjson refuses: half a surrogate pair, an integer over 64 bits."""
        try:
            return super().jsonify_log_record(log_data)
        except TypeError:
            return json.dumps(log_data, default=str)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        if not isinstance(record, MaskedRecord):
            return super().format(record)
        known = record.__dict__
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "event": record.msg,
        }
        line |= {name: known[name] for name in CONTEXT_FIELDS if name in known}
        return self.jsonify_log_record(line | record.fields)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Mask the values, and what URLs say, before they become JSON, so that the line stays valid JSON."""
        told = {name: with_told_urls(text) if isinstance(text, str) else text for name, text in log_data.items()}
        line: dict[str, Any] = masked(told)
        return line


_RESERVED: Final = [name for name in logging.makeLogRecord({}).__dict__ if name not in {"levelname", "name"}]


def log_handler(*, service: str, version: str = "dev", environment: str = "dev", stream: Any = None) -> logging.Handler:
    """Return the one handler that writes lines, to standard output unless a stream is given."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stdout)
    handler.set_name(HANDLER_NAME)
    handler.setFormatter(MaskingJsonFormatter())
    handler.addFilter(ContextFilter(service, version, environment))
    return handler


def configure_logging(
    *, service: str, version: str = "dev", environment: str = "dev", level: str = "INFO", stream: Any = None
) -> None:
    """Send every logger of this process, and what ends a thread or the process, through one handler.

    It may be called again, after a fork or with other settings: it replaces what it set up before, and leaves alone
    handlers that are not its own (pytest's).
    """
    root = logging.getLogger()
    for former in [known for known in root.handlers if known.get_name() == HANDLER_NAME]:
        root.removeHandler(former)
    root.addHandler(log_handler(service=service, version=version, environment=environment, stream=stream))
    root.setLevel(level)
    logging.captureWarnings(True)
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _log_the_end
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _log_the_end_of_a_thread
    for name in _UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        # with nobody to write it uvicorn does not even put an access line together
        logger.propagate = name != "uvicorn.access" or level == "DEBUG"
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET if level == "DEBUG" else logging.WARNING)


def write_line(name: str, message: str) -> None:
    """Write a line from a signal's handler: that may have interrupted whoever holds the log handler's lock."""
    record = logging.LogRecord(name, logging.INFO, "", 0, message, None, None)
    for handler in _own_handlers():
        handler.filter(record)
        os.write(handler.stream.fileno(), f"{handler.format(record)}\n".encode())


def _own_handlers() -> "list[logging.StreamHandler[Any]]":
    found = [handler for handler in logging.getLogger().handlers if handler.get_name() == HANDLER_NAME]
    return [handler for handler in found if isinstance(handler, logging.StreamHandler) and not handler.stream.closed]


def _log_the_end(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt) or not _own_handlers():
        sys.__excepthook__(kind, error, traceback)
        return
    logging.getLogger(__name__).critical("process_failed", exc_info=(kind, error, traceback))


def _log_the_end_of_a_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or issubclass(args.exc_type, SystemExit):
        return
    fields = {"thread_name": args.thread.name if args.thread else None}
    info = (args.exc_type, args.exc_value, args.exc_traceback)
    logging.getLogger(__name__).error("thread_failed", exc_info=info, extra=fields)
