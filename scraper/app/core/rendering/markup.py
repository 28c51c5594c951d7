"""What can be rendered."""

from dataclasses import replace

from app.core.extraction import kinds, sniffing
from app.core.fetching.requests import Answer


def is_markup(answer: Answer) -> bool:
    """Return whether an answer is a page that a browser builds."""
    return _kind(answer) in (kinds.HTML, kinds.XHTML)


def _kind(answer: Answer) -> str:
    head = answer.body[: 4 * sniffing.HEAD_BYTES]
    return sniffing.kind_of(head, answer.media_type, answer.charset, answer.url).media_type


def as_markup(answer: Answer) -> Answer:
    """Return an answer with the type of what it is: where the header is wrong a browser would show its source."""
    kind = f"{_kind(answer)}; charset={answer.charset}" if answer.charset else _kind(answer)
    return replace(answer, headers={**answer.headers, "content-type": kind})
