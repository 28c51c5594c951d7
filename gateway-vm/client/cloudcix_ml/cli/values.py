"""How values are given on the command line."""

import json
import math
import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from cloudcix_ml.errors import ConfigurationError
from cloudcix_ml.models.crawls import Schedule
from cloudcix_ml.models.jobs import ChunkingOptions, ChunkStrategy


def pairs_of(given: Sequence[str] | None, option: str) -> dict[str, Any]:
    """Return `KEY=VALUE`s; a value that is JSON is that, text in quotes too, and everything else is text."""
    found: dict[str, Any] = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"{option} {one!r} is no KEY=VALUE")
        found[name] = _value_of(value)
    return found


def _value_of(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except (ValueError, RecursionError):
        return text


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


def _no_number(text: str) -> float:
    """Refuse what Python's reader takes for a number, and JSON has no word for."""
    raise ValueError(text)


def time_of(given: str | None, option: str) -> datetime | None:
    """Return a time; without an offset it is this machine's."""
    if given is None:
        return None
    try:
        return datetime.fromisoformat(given).astimezone()
    except (ValueError, OverflowError):
        raise ConfigurationError(f"{option} {given!r} is no time; one looks like 2026-01-31T12:00:00Z") from None


def countdown(seconds: float | None, clock: Callable[[], float] = time.monotonic) -> Callable[[], float | None]:
    """Return what tells how much of a time limit is left, however many things it is for; None where there is no limit."""
    if seconds is None:
        return lambda: None
    end = clock() + seconds
    return lambda: max(end - clock(), 0.0)


def chunking_of(
    max_tokens: int | None, overlap_tokens: int | None, strategy: ChunkStrategy | None, before: Any = None
) -> ChunkingOptions | None:
    """Return how texts are cut, what is not said as it was before; None if nothing is said."""
    given = {"max_tokens": max_tokens, "overlap_tokens": overlap_tokens, "strategy": strategy}
    said = {name: value for name, value in given.items() if value is not None}
    if not said:
        return None
    earlier = {} if before is None else {name: getattr(before, name) for name in given}
    return ChunkingOptions(**(earlier | said))


def schedule_of(every: str | None, cron: str | None, timezone: str | None) -> Schedule | None:
    """Return when a crawl is done again; None if nothing is said."""
    if every is not None and cron is not None:
        raise ConfigurationError("--every and --cron are two ways of saying it: give one")
    if timezone is not None and cron is None:
        raise ConfigurationError("--timezone is that of --cron")
    if every is not None:
        if not re.fullmatch("[0-9]+[mhdw]", every):
            raise ConfigurationError(f"--every {every!r} is no interval; one looks like 30m, 24h, 7d or 2w")
        return Schedule(every=every)
    if cron is None:
        return None
    return Schedule(cron=cron) if timezone is None else Schedule(cron=cron, timezone=timezone)
