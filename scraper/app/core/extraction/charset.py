"""Bytes to text."""

import codecs
import re
from contextlib import suppress
from typing import Final

from resiliparse.parse.encoding import bytes_to_str, detect_encoding, map_encoding_to_html5

_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# control characters: PostgreSQL refuses the first, nobody misses the others
_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode(body: bytes, declared: str | None, *, markup: bool) -> str:
    """Return a body as text without control characters.

    In this order: a byte-order mark; the character set of the Content-Type header, if the body keeps to it; for markup
    the one of its `meta` element; a guess.

    Parameters
    ----------
    declared
        The header's character set.
    markup
        Whether to look for a `meta` element.
    """
    return _NOT_TEXT.sub("", _decoded(body, declared, markup)).replace("\r\n", "\n").replace("\r", "\n")


def _decoded(body: bytes, declared: str | None, markup: bool) -> str:
    for mark, name in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(name, errors="replace")
    known = map_encoding_to_html5(declared, fallback_utf8=False) if declared is not None else None
    if known is not None:
        with suppress(UnicodeDecodeError):  # declared, but not kept to
            return body.decode(known)
    name = detect_encoding(body, from_html_meta=markup) or "utf-8"
    return bytes_to_str(body, name, errors="replace")
