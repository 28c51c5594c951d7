"""What pages ask of robots themselves: `X-Robots-Tag`, and `<meta name="robots">`, which the extraction finds."""

from collections.abc import Iterable
from typing import Final

from app.core.errors import NoIndexError

_NO_INDEX: Final = frozenset({"noindex", "none"})
_NO_FOLLOW: Final = frozenset({"nofollow", "none"})
_WITH_VALUE: Final = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
# what stands before their colon is no robot's name


def rules_of(header: str, agent: str) -> list[str]:
    """Return what an `X-Robots-Tag` asks of all robots, and of the one with that name.

    Parameters
    ----------
    header
        Of several ones all, by comma. A name before a colon holds for what follows it, until another one.
    """
    rules: list[str] = []
    named: str | None = None
    for part in header.lower().split(","):
        name, colon, rest = part.partition(":")
        if colon and name.strip() in _WITH_VALUE:
            continue
        if colon:
            named, part = name.strip(), rest
        if named is None or named in ("*", "robots", agent.lower()):
            rules += part.split()
    return rules


def refuse_noindex(rules: Iterable[str]) -> None:
    """Refuse a page that asks not to be indexed.

    Raises
    ------
    NoIndexError
        If it does.
    """
    if not _NO_INDEX.isdisjoint(rules):
        raise NoIndexError("the page asks robots not to index it")


def forbids_following(rules: Iterable[str]) -> bool:
    """Return whether a page asks that its links are not followed."""
    return not _NO_FOLLOW.isdisjoint(rules)
