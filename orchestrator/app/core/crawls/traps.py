"""Sites without an end: calendars, session ids, facets, links that nest. What a URL alone tells of them.

A path pattern is a URL with what varies taken out: numbers, dates, long ids, the values of its query. A run opens so many
pages of a suspicious pattern and no more, none of any pattern whose last pages gave nothing new, and none at all after 200 pages
in a row that gave nothing new (`app.core.crawls.filling`). That is for what links lead to. What somebody listed, the crawl's
owner or the site in a sitemap or a feed, has an end: it is of no pattern, and is asked for whatever other pages gave.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

SEGMENTS_MOST: Final = 20
# of a path; sites that people made for people have less
REPEATED_MOST: Final = 3
# times that a segment may stand in one path: /de/docs/de is a translation, /a/a/a/a is none
CALENDAR_MOST: Final = 60
# pages of one pattern that ends in a date: five years of months
FACETS_MOST: Final = 100
# pages of one path under different filters
FACETS_FROM: Final = 3
# parameters from which on a query is taken for filters
PATIENCE: Final = 50
SHORT_PATIENCE: Final = 10
# pages of a pattern that gave nothing new, one after the other, before it is given up: of a suspicious one sooner

_NUMBER: Final = re.compile(r"\d+")
_OPAQUE: Final = re.compile(
    r"(?=[^/]*\d)(?:[0-9a-f]{16,}|[0-9a-z]{20,}|\(s\([0-9a-z]{12,}\)\)|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})",
    re.IGNORECASE,
)
_DATE: Final = re.compile(r"(?:19|20)\d\d(?:-\d\d?){0,2}")
_DAY_OR_MONTH: Final = re.compile(
    r"\d{1,2}|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}", re.IGNORECASE
)
_WEEK: Final = re.compile(r"w(?:eek)?-?\d{1,2}", re.IGNORECASE)
_CALENDAR_PARAMETERS: Final = frozenset(
    {"date", "day", "month", "year", "week", "cal", "ym", "from", "start", "start_date"}
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a URL looks like.

    Attributes
    ----------
    pattern
        A number that URLs of one pattern share, of 64 bits with a sign.
    most
        Pages of the pattern that a run opens, or `None` if it has no such bound.
    patience
        How many of them may give nothing new, one after the other.
    """

    pattern: int
    most: int | None
    patience: int


def is_nested(url: str) -> bool:
    """Say whether a path repeats itself, or is as deep as links go that are wrongly relative."""
    segments = [segment for segment in urlsplit(url).path.split("/") if segment]
    if len(segments) > SEGMENTS_MOST:
        return True
    if any(segments.count(segment) > REPEATED_MOST for segment in set(segments)):
        return True
    # a sequence of two or more segments three times in a row
    return any(
        segments[at : at + size] == segments[at + size : at + 2 * size] == segments[at + 2 * size : at + 3 * size]
        for size in range(2, len(segments) // 3 + 1)
        for at in range(len(segments) - 3 * size + 1)
    )


def shape_of(url: str) -> Shape:
    """Return what a normalised URL looks like."""
    parts = urlsplit(url)
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    names = sorted({unquote(one.partition("=")[0]).lower() for one in parts.query.split("&") if one})
    written = "/".join(
        _OPAQUE.sub("*", _NUMBER.sub("#", one) if not _OPAQUE.fullmatch(one) else one) for one in segments
    )
    pattern = _number_of(f"{parts.netloc}/{written}?{'&'.join(names)}")
    if _of_calendar(segments, names):
        return Shape(pattern, CALENDAR_MOST, SHORT_PATIENCE)
    if len(names) > 1:
        # whichever of its filters are set, they are of one path
        most = FACETS_MOST if len(names) >= FACETS_FROM else None
        return Shape(_number_of(f"{parts.netloc}/{written}?*"), most, SHORT_PATIENCE)
    if names or any(_OPAQUE.fullmatch(segment) for segment in segments):
        return Shape(pattern, None, SHORT_PATIENCE)
    return Shape(pattern, None, PATIENCE)


def listed(url_hash: bytes) -> Shape:
    """Return what a page that somebody listed looks like, whatever its URL: of a pattern that no other page has.

    By its hash, as the database finds it when a page that a link led to turns out to be listed (`pattern_of_listed`).
    """
    return Shape(int.from_bytes(url_hash[:8], "big", signed=True), None, PATIENCE)


def _of_calendar(segments: list[str], names: list[str]) -> bool:
    if _CALENDAR_PARAMETERS.intersection(names):
        return True
    tail = segments[-3:]
    while tail and (_DAY_OR_MONTH.fullmatch(tail[-1]) or _WEEK.fullmatch(tail[-1])):
        tail.pop()
        if tail and _DATE.fullmatch(tail[-1]):
            return True
    return bool(segments) and len(segments) > 1 and bool(re.fullmatch(r"(?:19|20)\d\d-\d\d?(?:-\d\d?)?", segments[-1]))


def _number_of(pattern: str) -> int:
    return int.from_bytes(hashlib.sha256(pattern.encode()).digest()[:8], "big", signed=True)
