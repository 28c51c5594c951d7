"""How values are given on the command line."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from cloudcix_ml.errors import ConfigurationError
from cloudcix_ml.models.crawls import Schedule


def pairs_of(given: Sequence[str] | None, option: str) -> dict[str, Any]:
    """Return `KEY=VALUE`s; a value that is a JSON number, boolean or null is that, everything else is text."""
    found: dict[str, Any] = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"{option} {one!r} is no KEY=VALUE")
        try:
            read = json.loads(value)
        except ValueError:
            read = value
        found[name] = read if isinstance(read, int | float | bool) or read is None else value
    return found


def time_of(given: str | None, option: str) -> datetime | None:
    """Return a time; without an offset it is this machine's."""
    if given is None:
        return None
    try:
        return datetime.fromisoformat(given).astimezone()
    except ValueError:
        raise ConfigurationError(f"{option} {given!r} is no time; one looks like 2026-01-31T12:00:00Z") from None


def schedule_of(every: str | None, cron: str | None, timezone: str | None) -> Schedule | None:
    """Return when a crawl is done again; None if nothing is said."""
    if every is not None and cron is not None:
        raise ConfigurationError("--every and --cron are two ways of saying it: give one")
    if timezone is not None and cron is None:
        raise ConfigurationError("--timezone is that of --cron")
    if every is not None:
        return Schedule(every=every)
    if cron is None:
        return None
    return Schedule(cron=cron) if timezone is None else Schedule(cron=cron, timezone=timezone)
