"""For how long an answer may be given again without asking (RFC 9111)."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_SECONDS: Final = 3600
# whatever a site says: a change that it did not plan is noticed after that
_HEURISTIC_SHARE: Final = 0.1
# of the time since the last change, as all browsers have it (section 4.2.2)
_DIRECTIVE: Final = re.compile(r'([a-z-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s,]*)))?', re.IGNORECASE)


def fresh_seconds(headers: Mapping[str, str], *, guess: bool) -> int:
    """Return for how long an answer with these headers is fresh, for whoever asked for it; 0 if it is not to be kept.

    Parameters
    ----------
    headers
        By their names in small letters.
    guess
        Whether the age of an answer may decide where its site says nothing: a script's, of which a page goes on to say
        the name, but not that of data.
    """
    said = _directives(headers.get("cache-control", headers.get("pragma", "")))
    if said.keys() & {"no-store", "no-cache"} or "set-cookie" in headers or headers.get("vary", "").strip() == "*":
        return 0
    now = _moment(headers.get("date")) or datetime.now(UTC)
    if "max-age" in said:
        lifetime = float(said["max-age"][:9]) if said["max-age"].isdecimal() else 0.0
    elif "expires" in headers:  # one that is no date has passed
        expires = _moment(headers["expires"])
        lifetime = (expires - now).total_seconds() if expires else 0.0
    else:
        changed = _moment(headers.get("last-modified")) if guess else None
        lifetime = (now - changed).total_seconds() * _HEURISTIC_SHARE if changed else 0.0
    age = headers.get("age", "").strip()
    left = lifetime - (float(age[:9]) if age.isdecimal() else 0.0)
    return int(min(max(left, 0.0), LONGEST_SECONDS))


def _directives(header: str) -> dict[str, str]:
    return {name.lower(): quoted or plain for name, quoted, plain in _DIRECTIVE.findall(header)}


def _moment(header: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(header or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
