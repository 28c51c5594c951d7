"""Whether a rule of a robots.txt is about an address (RFC 9309, 2.2.2 and 2.2.3)."""

import re
from typing import Final
from urllib.parse import quote

_URL: Final = re.compile(r"(?:(?:[^/?#]*:)?//)?[^/?#]*([^#]*)")
_UNUSUAL: Final = re.compile(r"%[0-9A-Fa-f]{2}|[^!-~]|[\"$*<>\\^`{|}]")
# what may have another spelling; all else stands for itself
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def comparable_path(url: str) -> str:
    """Return what rules are compared with: the path and the query of a URL, in the normal form of their escapes."""
    parts = _URL.match(url)
    path = parts[1] if parts else ""
    return _normal(path if path.startswith("/") else f"/{path}")


def matched_octets(pattern: str, path: str) -> int | None:
    """Return how specific a rule is that is about a path, `None` if it is not about it.

    Each piece between two `*` is looked for once, from where the one before it ended: the first place that fits leaves
    the most to those behind it, so nothing is ever tried again, whatever a hostile pattern looks like.

    Parameters
    ----------
    pattern
        As it stands in the file: `*` is any text, `$` at its end is the path's end.
    path
        As `comparable_path` returned it.
    """
    anchored = pattern.endswith("$")
    if not anchored and "*" not in pattern:  # most are; it is the same, sooner
        start = _normal(pattern)
        return len(start) if path.startswith(start) else None
    first, *others = [_normal(piece) for piece in (pattern[:-1] if anchored else pattern).split("*")]
    if not path.startswith(first):
        return None
    at = len(first)
    octets = at + len(others) + anchored
    last = others.pop() if anchored and others else None
    for piece in others:
        found = path.find(piece, at)
        if found < 0:
            return None
        at = found + len(piece)
        octets += len(piece)
    if not anchored:
        return octets
    if last is None:
        return octets if at == len(path) else None
    return octets + len(last) if path.endswith(last) and len(path) - len(last) >= at else None


def _normal(text: str) -> str:
    """Return a text with one spelling for each octet: as itself where it is unreserved, else as `%XX`.

    Reserved characters stay as they are written, since escaping them changes what they mean. `*` and `$` are escaped, so
    that a pattern that has to mean the characters can name them, as `%2A` and `%24`.
    """
    return _UNUSUAL.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    text = found[0]
    if len(text) == 1:
        return quote(text, safe="", errors="surrogateescape")
    character = chr(int(text[1:], 16))
    return character if character in _UNRESERVED else text.upper()
