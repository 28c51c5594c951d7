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
_META: Final = re.compile(rb"<meta\s[^>]*?charset\s*=\s*[\"']?\s*([\w:.+-]+)", re.IGNORECASE)
_META_MAX_BYTES: Final = 1024
# HTML's own bound for it
_COMMENT: Final = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)


def decode(body: bytes, declared: str | None, *, markup: bool) -> str:
    """Return a body as text without control characters.

    In this order: a byte-order mark; the character set of the Content-Type header, if the body keeps to it; for markup
    the one of its `meta` element; UTF-8, if the body keeps to it; a guess.

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
    named = _named_in_markup(body) if markup else None
    if named is None:
        text = _as_utf8(body)
        if text is not None:
            return text
    return bytes_to_str(body, named or detect_encoding(body) or "utf-8", errors="replace")


def _named_in_markup(body: bytes) -> str | None:
    """Return the character set of a page's `meta` element, if that is one. It was read as ASCII, so it is no UTF-16."""
    for name in _META.findall(_COMMENT.sub(b"", body[:_META_MAX_BYTES])):
        known = map_encoding_to_html5(name.decode("ascii"), fallback_utf8=False)
        if known is not None:
            return "utf-8" if known.startswith("utf-16") else str(known)
    return None


def _as_utf8(body: bytes) -> str | None:
    """Return a body that keeps to UTF-8, which no other character set's text does by chance; it may end within a character.

    A guess would take a short text with few letters beyond ASCII for one of many character sets.
    """
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(body)
    except UnicodeDecodeError:
        return None
    if not text.isascii():
        return text
    # of ASCII alone, it may still be a set that escapes into others, or one of two bytes a letter; or end in a letter of one byte
    return text if len(text) == len(body) and "\x1b" not in text and "\0" not in text else None
