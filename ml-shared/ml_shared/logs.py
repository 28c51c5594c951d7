"""JSON log lines for every process of the fleet: ours, uvicorn's, Celery's and the libraries', one handler for all.

A line carries `timestamp, level, logger, event, service, version, environment`, and where they are known `trace_id,
span_id, request_id, job_id`. What looks like a key or a password is masked in the finished line, so that neither a
message's arguments, an exception's text nor an extra field can carry one out.
"""

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final

from opentelemetry import trace
from pythonjsonlogger.json import JsonFormatter

JOB_ID: Final[ContextVar[str | None]] = ContextVar("ml_job_id", default=None)
REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("ml_request_id", default=None)
# of the job and of the request that this context works for; whoever learns of them sets them

MASK: Final = "***"
_HINTS: Final = ("key", "authorization", "bearer", "password", "passwd", "secret", "@")
# a search for plain words decides whether the patterns, which cost ten times as much, have to run
_NAME: Final = r"""(?: x-api-key | (?:proxy-)?authorization
    | (?:[a-z0-9]+_)* (?: api_?key | secret_key | password | passwd | secret ) )"""
_SECRET_NAME: Final = re.compile(_NAME, re.IGNORECASE | re.VERBOSE)
_NAMED_SECRET: Final = re.compile(
    rf"""( \b {_NAME} \b \\*["']? \s* [:=,] \s* (?: b?\\*["'] )? (?: (?: bearer | basic ) \s+ )? ) [^\s"'\\,;&)}}\]]+""",
    re.IGNORECASE | re.VERBOSE,
)
_BEARER: Final = re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{6,}")
_URL_PASSWORD: Final = re.compile(r"(?i)([a-z][a-z0-9+.-]{0,30}://)[^\s/@\"']*@")
_QUIET: Final = (
    *("uvicorn.access", "httpx", "httpcore", "kombu"),
    *("celery.app.trace", "celery.worker.strategy", "celery.beat"),
)
# A line a request is the gateway's and the spans' business (uvicorn's costs a quarter of the throughput); httpx would
# write users' URLs; Celery says "succeeded" of a task that reported a failure.
_UVICORN: Final = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "gunicorn.error")


def mask_secrets(text: str) -> str:
    """Return the text with what looks like a key, a token or a password replaced by `***`."""
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    text = _NAMED_SECRET.sub(rf"\1{MASK}", text)
    text = _BEARER.sub(rf"\1{MASK}", text)
    return _URL_PASSWORD.sub(rf"\1{MASK}@", text)


def _masked(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): MASK if _SECRET_NAME.fullmatch(str(name)) else _masked(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked(item) for item in value]
    return mask_secrets(str(value))


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


class MaskingJsonFormatter(JsonFormatter):
    """One JSON object a line, secrets masked."""

    def __init__(self) -> None:
        super().__init__(
            ["timestamp", "levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger", "message": "event"},
            timestamp=True,
            reserved_attrs=[*_RESERVED, "color_message", "taskName"],
            json_ensure_ascii=False,
        )

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Mask the values before they become JSON, so that the line stays valid JSON."""
        masked: dict[str, Any] = _masked(log_data)
        return masked


_RESERVED: Final = [name for name in logging.makeLogRecord({}).__dict__ if name not in {"levelname", "name"}]


def configure_logging(
    *, service: str, version: str = "dev", environment: str = "dev", level: str = "INFO", stream: Any = None
) -> None:
    """Send every logger of this process through one handler, to standard output unless a stream is given.

    It may be called again, after a fork or with other settings: it replaces what it set up before, and leaves alone
    handlers that are not its own (pytest's).
    """
    handler = logging.StreamHandler(stream if stream is not None else sys.stdout)
    handler.set_name("ml_shared")
    handler.setFormatter(MaskingJsonFormatter())
    handler.addFilter(ContextFilter(service, version, environment))
    root = logging.getLogger()
    for former in [known for known in root.handlers if known.get_name() == "ml_shared"]:
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in _UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    if level != "DEBUG":
        for name in _QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)
