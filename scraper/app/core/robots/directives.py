"""What pages ask of robots themselves: `X-Robots-Tag`, and `<meta name="robots">`, which the extraction finds."""

import re
from collections.abc import Iterable
from typing import Final

from app.core.errors import NoIndexError

_NO_INDEX: Final = frozenset({"noindex", "none"})
_NO_FOLLOW: Final = frozenset({"nofollow", "none"})
_WITH_VALUE: Final = re.compile(r"\b(?:unavailable_after|max-[\w-]+)\s*:\s*[^,\s]*", re.IGNORECASE)
# what stands before their colon is no robot's name, and what stands after it no rule
_TIME: Final = re.compile(r"\d{1,2}(?::\d\d)+")
# the rest of a date, whose colons name nobody either


def rules_of(header: str, agent: str) -> list[str]:
    """Return what an `X-Robots-Tag` asks of all robots, and of the one with that name.

    Parameters
    ----------
    header
        Of several ones all, a line each. A name before a colon holds for what follows it in its line, until another one.
    """
    rules: list[str] = []
    for line in header.lower().splitlines():
        named: str | None = None
        for part in _TIME.sub("", _WITH_VALUE.sub("", line)).split(","):
            name, colon, rest = part.partition(":")
            if colon:
                named, part = name.strip(), rest
            if named is None or named in ("*", "robots", agent.lower()):
                rules += part.split()
    return rules


def rules_in(content: str) -> list[str]:
    """Return what a `<meta name="robots">` asks of whom it names."""
    return _WITH_VALUE.sub("", content.lower()).replace(",", " ").split()


def refuse_noindex(rules: Iterable[str]) -> None:
    """Refuse a page that asks not to be indexed.

    Raises
    ------
    NoIndexError
        If it does.
    """
    if forbids_indexing(rules):
        raise NoIndexError("the page asks robots not to index it")


def forbids_indexing(rules: Iterable[str]) -> bool:
    """Return whether a page asks not to be indexed."""
    return not _NO_INDEX.isdisjoint(rules)


def forbids_following(rules: Iterable[str]) -> bool:
    """Return whether a page asks that its links are not followed."""
    return not _NO_FOLLOW.isdisjoint(rules)
