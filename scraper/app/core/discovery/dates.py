"""Times as sitemaps and feeds write them."""

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

_MAX_CHARACTERS: Final = 64
_PART: Final = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


def latest_moment(text: str) -> datetime | None:
    """Return the latest moment that a date may mean, in UTC: of a year, a month or a day its end.

    Who compares it with the time of a last look thus never takes for unchanged what changed later on the same day.

    Parameters
    ----------
    text
        ISO 8601 as sitemaps and Atom have it, or RFC 822 as RSS has it. Without an offset it is taken for UTC.
    """
    text = text.strip()
    if not text or len(text) > _MAX_CHARACTERS:
        return None
    try:
        part = _PART.fullmatch(text)
        moment = _end_of(*part.groups()) if part else _moment(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return parsedate_to_datetime(text)


def _end_of(year: str, month: str | None, day: str | None) -> datetime:
    last_month = int(month or 12)
    last_day = int(day) if day else monthrange(int(year), last_month)[1]
    return datetime(int(year), last_month, last_day, tzinfo=UTC) + timedelta(days=1)
