"""The audit trail: who did what, one JSON line each."""

import contextlib
import logging
import os
import re
import sys
from typing import Any, Final

from prometheus_client import Counter

from ml_shared.audit.events import FIELDS, AuditEvent, Outcome
from ml_shared.auth.context import CallerContext
from ml_shared.telemetry.logs import MaskedRecord
from ml_shared.telemetry.masking import MASK, is_secret_name, mask_secrets, text_of
from ml_shared.telemetry.metrics import start_at_zero

__all__ = ["AuditEvent", "AuditSchemaError", "Outcome", "emit"]

FIELD_MAX_CHARACTERS: Final = 2_048
LINE_MAX_CHARACTERS: Final = 4_096
# of all fields together
NAME_MAX_CHARACTERS: Final = 128
# of what a field is called, and of each id
MAX_UNDECLARED: Final = 8
LINE_MAX_BYTES: Final = 32_768
# what follows from the above with four bytes a character, and room for what the formatter adds

strict: bool = os.environ.get("ML_AUDIT_STRICT") == "true"
# whether a line that breaks the rules is an error: in tests, where the plugin sets it for every process they start

_audit = logging.getLogger("audit")
_logger = logging.getLogger(__name__)
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]+")
# six bytes each in JSON, and of no use
_VIOLATIONS = Counter(
    "ml_audit_violations_total", "Lines of the audit trail that broke a rule and were written all the same.", ["rule"]
)
start_at_zero(_VIOLATIONS, ("event", "outcome", "field", "secret"))


class AuditSchemaError(TypeError):
    """A line breaks the rules of the audit trail. Raised in tests only.

    Attributes
    ----------
    rule
        `event`, `outcome`, `field` (not declared, or of another type) or `secret`.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def emit(event: AuditEvent, ctx: CallerContext, /, *, outcome: Outcome = Outcome.SUCCESS, **fields: object) -> None:
    """Write one line of the audit trail: the event, who, with what outcome, and what else `events.FIELDS` has for it.

    It is written whatever `LOG_LEVEL` says, is never longer than `LINE_MAX_BYTES`, and never raises: what was done is
    not undone by a line that failed. What breaks the rules is counted, masked, and put under `undeclared`.

    Raises
    ------
    AuditSchemaError
        In tests only: for an event or an outcome that is not of its enum, a field that the event does not have or has
        with another type, and a value that looks like a secret.
    """
    try:
        line = _line(event, ctx, outcome, fields)
        frame = sys._getframe(1)
        place = (frame.f_code.co_filename, frame.f_lineno)
        said = event.value if isinstance(event, AuditEvent) else _text(event, NAME_MAX_CHARACTERS)
        record = MaskedRecord(_audit.name, logging.INFO, *place, said, None, None, frame.f_code.co_name)
        record.fields = line
        _audit.handle(record)
    except AuditSchemaError:
        raise  # there is none unless `strict`
    except Exception:  # see above
        with contextlib.suppress(Exception):  # what broke may be the logging
            _logger.exception("audit_line_failed")


def _line(event: AuditEvent, ctx: CallerContext, outcome: Outcome, fields: dict[str, Any]) -> dict[str, Any]:
    declared = FIELDS.get(event) if isinstance(event, AuditEvent) else None
    if declared is None:
        _broken("event", f"{event!r} is no AuditEvent")
    known = isinstance(outcome, Outcome)
    if not known:
        _broken("outcome", f"{outcome!r} is no Outcome")
    line: dict[str, Any] = {"outcome": outcome.value if known else _text(outcome, NAME_MAX_CHARACTERS)}
    undeclared: dict[str, Any] = {}
    left = LINE_MAX_CHARACTERS
    for name, value in fields.items():
        if value is None:
            continue
        fits = declared is not None and name in declared and _is_a(value, declared[name])
        if not fits:
            _broken("field", f"{event} has no field {name} that holds a {type(value).__name__}")
            if len(undeclared) == MAX_UNDECLARED:
                continue
        plain = _plain(name, value, min(left, FIELD_MAX_CHARACTERS))
        left -= len(plain) if isinstance(plain, str) else 0
        if fits:
            line[name] = plain
        else:
            undeclared[_text(name, NAME_MAX_CHARACTERS)] = plain
    if undeclared:
        line["undeclared"] = undeclared
    return line | _who(ctx)


def _who(ctx: CallerContext) -> dict[str, str]:
    who = {
        "owner": ctx.owner,
        "caller_id": ctx.caller_id,
        "caller_type": ctx.caller_type,
        "caller_service": ctx.service,
        "request_id": ctx.request_id,
    }
    return {name: _bounded(value, NAME_MAX_CHARACTERS) for name, value in who.items() if value is not None}


def _is_a(value: Any, declared: Any) -> bool:
    return isinstance(value, declared) and not isinstance(value, bool)  # a bool is an int in Python only


def _plain(name: str, value: Any, max_characters: int) -> Any:
    """Return a value that fits the line: numbers as they are, everything else as bounded text without secrets."""
    if is_secret_name(name):
        _broken("secret", f"the field {name} is named like a secret")
        return MASK
    if isinstance(value, (bool, int, float)):
        return value if abs(value) < 10**18 else _text(value, max_characters)
    return _text(value, max_characters)


def _text(value: Any, max_characters: int) -> str:
    # before it is masked, which takes as long as the text is
    text = text_of(value)[: 2 * FIELD_MAX_CHARACTERS]
    masked = mask_secrets(text)
    if masked != text:
        _broken("secret", "a value looks like a secret")
    return _bounded(masked, max_characters)


def _bounded(text: str, max_characters: int) -> str:
    text = text[:max_characters]
    if text.isascii() and text.isprintable():
        return text
    # half a surrogate pair can't be written
    return _CONTROLS.sub(" ", text).encode(errors="replace").decode()


def _broken(rule: str, message: str) -> None:
    if strict:
        raise AuditSchemaError(rule, message)
    _VIOLATIONS.labels(rule).inc()
