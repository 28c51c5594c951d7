"""Answers that are refusals, read as errors of this package."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from cloudcix_ml.core.effects import Answer
from cloudcix_ml.core.session import Key
from cloudcix_ml.errors import AnswerError, FieldProblem, ProblemDocument, ProblemError, class_of

MOST_CHARACTERS: Final = 2_000
MOST_FIELDS: Final = 100
LONGEST_WAIT_SECONDS: Final = 86_400.0


def error_of(answer: Answer, key: Key | None) -> ProblemError | AnswerError:
    """Return the error that an answer is; without the key, whatever the answer repeats."""
    masked = key.masked_in if key else str
    if 300 <= answer.status < 400:
        target = answer.headers.get("location", "somewhere else")[:200]
        return AnswerError(f"the gateway points to {masked(target)}; give that address, this client follows nowhere")
    document = _document(answer)
    code = document.get("code")
    if not isinstance(code, str):
        kind = answer.headers.get("content-type", "no content type")[:80]
        return AnswerError(
            f"status {answer.status} with {kind} is no answer of this API; is the address the gateway's?"
        )

    def text(name: str) -> str:
        value = document.get(name)
        return masked(value[:MOST_CHARACTERS]) if isinstance(value, str) else ""

    problem = ProblemDocument(
        status=answer.status,
        code=masked(code[:64]),
        detail=text("detail"),
        title=text("title"),
        request_id=text("request_id") or None,
        trace_id=text("trace_id") or None,
        errors=tuple(_fields(document.get("errors"), masked)),
    )
    return class_of(code, answer.status)(problem, retry_after_seconds=retry_after_seconds(answer.headers))


def _document(answer: Answer) -> Mapping[str, Any]:
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(document, dict):
        return {}
    # the OpenAI-shaped routes have theirs one level down
    inner = document.get("error")
    if "code" not in document and isinstance(inner, dict):
        return {"code": inner.get("code"), "detail": inner.get("message")}
    return document


def _fields(errors: Any, masked: Any) -> list[FieldProblem]:
    if not isinstance(errors, list):
        return []
    found = []
    for one in errors[:MOST_FIELDS]:
        if isinstance(one, dict):
            parts = (str(one.get(name, ""))[:MOST_CHARACTERS] for name in ("field", "message", "type"))
            found.append(FieldProblem(*(masked(part) for part in parts)))
    return found


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Return how long an answer asks to wait: its header has seconds, or a date."""
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        now = datetime.now(at.tzinfo or UTC)
        seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    if seconds != seconds:  # not a number
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)
