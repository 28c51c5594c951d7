"""What is told of a span, an event and a log line, in words."""

from collections.abc import Mapping
from typing import Any

from ml_shared.telemetry import attributes
from ml_shared.telemetry.logs import CONTEXT_FIELDS
from traces.lines import Line
from traces.spans import Event, Span
from traces.terminal import duration, shown
from traces.tree import Node

Known = Mapping[str, Any]
"""Attributes that a span above has told already."""

STATUS = ("http.response.status_code", "http.status_code")
ADDRESSES = ("http.url", "url.full")
STATEMENTS = ("db.query.text", "db.statement")
STATE = "celery.state"
# told where it is no success, which is its absence
_VOCABULARY = (
    *(attributes.JOB_ID, attributes.JOB_URL, attributes.DISPATCH_STAGE, attributes.ATTEMPT, attributes.CORPUS_NAME),
    *(attributes.SCRAPE_RESPONSE_BYTES, attributes.CHUNK_COUNT, attributes.EMBEDDING_MODEL),
    *(attributes.EMBEDDING_BATCH_SIZE, attributes.EMBEDDING_TOKENS, attributes.SEARCH_MODE, attributes.SEARCH_TOP_K),
    *(attributes.FAILED_STAGE, attributes.ERROR_CODE, "messaging.celery.retries"),
)
SHORT_ID = 12
# characters of an id that nobody mistakes for another
TRAIL = "exception.stacktrace"
_CONTEXT = {*CONTEXT_FIELDS, "timestamp", "level", "event"}
_UNTOLD_FIELDS = {*_CONTEXT, "logger", "url", "owner", "caller_id", "caller_type", "caller_service"}
# the span says it, or it says nothing to a reader


def told_of(node: Node, known: Known) -> tuple[list[str], Known]:
    """Return what a span's line says beside its name, and what those below it need not say again."""
    span = node.span
    parts = [str(span.attributes[name]) for name in STATUS if name in span.attributes][:1]
    parts += [str(span.attributes[name]) for name in ADDRESSES if name in span.attributes][:1]
    news = {
        name: span.attributes[name]
        for name in _VOCABULARY
        if name in span.attributes and span.attributes[name] != known.get(name)
    }
    parts += [f"{name}={value}" for name, value in news.items()]
    if span.attributes.get(STATE, "SUCCESS") != "SUCCESS":
        parts.append(str(span.attributes[STATE]))
    statements = [str(span.attributes[name]) for name in STATEMENTS if name in span.attributes][:1]
    parts += [statement for statement in statements if statement != span.name]
    parts += _told_statements(node.statements)
    if span.error and attributes.ERROR_CODE not in news:
        parts.append(f"error: {span.message}" if span.message else "error")
    if links := [link[:SHORT_ID] for link in span.links if link != span.trace_id]:
        parts.append("linked to trace " + ", ".join(links))
    return [shown(part) for part in parts], {**known, **news}


def _told_statements(statements: list[Span]) -> list[str]:
    if not statements:
        return []
    took = duration(sum(span.end_ns - span.start_ns for span in statements))
    return [f"{len(statements)} statement{'s' if len(statements) > 1 else ''} {took}"]


def all_of(span: Span) -> str:
    """Return every attribute that the line of a span does not say."""
    told = {*STATUS, *ADDRESSES, *STATEMENTS, *_VOCABULARY}
    return shown(_pairs({name: value for name, value in span.attributes.items() if name not in told}))


def told_event(event: Event) -> str:
    """Return an event on one line."""
    if event.name == "exception":
        kind = str(event.attributes.get("exception.type", "exception"))
        return shown(f"{kind}: {event.attributes.get('exception.message', '')}")
    return shown(f"{event.name} {_pairs(event.attributes)}")


def trail_of(event: Event) -> list[str]:
    """Return an exception's stack trace, line by line."""
    return [_indented(line) for line in str(event.attributes.get(TRAIL, "")).splitlines()]


def told_line(line: Line, *, everything: bool = False) -> str:
    """Return a log line on one line: what happened first, then what it happened to."""
    fields = line.fields
    if not fields:
        return shown(line.text)
    if line.is_access:
        return shown("{status} in {request_time} s  {method} {uri}".format_map(_Known(fields)))
    untold = _CONTEXT if everything else _UNTOLD_FIELDS
    level = "" if fields.get("level", "INFO") == "INFO" else f"{fields['level']} "
    rest = _pairs({name: value for name, value in fields.items() if name not in untold and value is not None})
    return shown(f"{level}{fields.get('event')}  {rest}")


class _Known(dict[str, Any]):
    def __missing__(self, _: str) -> str:
        return "?"


def _pairs(fields: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in fields.items())


def _indented(text: str) -> str:
    words = text.lstrip()
    return " " * (len(text) - len(words)) + shown(words)


def of_number(number: int, what: str) -> str:
    """Return `1 span`, `2 spans`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
