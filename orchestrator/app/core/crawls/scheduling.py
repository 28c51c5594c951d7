"""When a crawl is run next: every so often, or as cron has it in a time zone, each crawl a little later than it says.

What is a little is the crawl's own: by its id, so that a thousand crawls of three o'clock do not begin at once.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from app.core.errors import InvalidScheduleError
from ml_shared.contracts.crawls import Schedule

JITTER_SHARE: Final = 0.1
JITTER_MOST: Final = timedelta(minutes=10)
LEAST: Final = timedelta(minutes=1)
MOST: Final = timedelta(days=366)
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_FIELDS: Final = 5


def interval_of(schedule: Schedule) -> timedelta | None:
    """Return how often a crawl is run, or `None` if that is cron's to say.

    Raises
    ------
    InvalidScheduleError
        If that is longer than a year.
    """
    if schedule.every is None:
        return None
    interval = timedelta(**{_UNITS[schedule.every[-1]]: int(schedule.every[:-1])})
    if interval > MOST:
        raise InvalidScheduleError(f"schedule.every: at most {MOST.days} days")
    return interval


def next_run_at(schedule: Schedule, crawl_id: UUID, begun: datetime, now: datetime) -> datetime:
    """Return when a crawl is due next, later than now.

    Parameters
    ----------
    begun
        What `every` counts from, so that a run that began late moves none after it. The first time is one whole interval later.

    Raises
    ------
    InvalidScheduleError
        If it is none, or never comes.
    """
    interval = interval_of(schedule)
    if interval is not None:
        jitter = _jitter(crawl_id, interval)
        # before the first time's jitter is over none has passed: what is run at the beginning is not run again at once
        passed = max((now - jitter - begun) // interval, 0)
        return begun + (passed + 1) * interval + jitter
    times = _cron(schedule, now - JITTER_MOST)
    first = next(times)
    jitter = _jitter(crawl_id, next(times) - first)
    times = _cron(schedule, now - jitter)
    return next(times) + jitter


def next_of(crawl: Mapping[str, Any], now: datetime) -> datetime | None:
    """Return when the crawl of a row is due next, or `None` if it has no schedule.

    Raises
    ------
    InvalidScheduleError
        As `next_run_at` does.
    """
    if crawl["schedule"] is None:
        return None
    return next_run_at(Schedule.model_validate(crawl["schedule"]), crawl["id"], begun_of(crawl), now)


def begun_of(crawl: Mapping[str, Any]) -> datetime:
    """Return what the `every` of a crawl's row counts from: when it got its schedule, which is with itself or later."""
    begun: datetime = crawl["schedule_begun_at"] or crawl["submitted_at"]
    return begun


def check(schedule: Schedule, now: datetime) -> None:
    """Refuse a schedule that is none.

    Raises
    ------
    InvalidScheduleError
        Saying what would be one.
    """
    next_run_at(schedule, UUID(int=0), now, now)


class _Times:
    def __init__(self, cron: CronSim) -> None:
        self._cron = cron

    def __next__(self) -> datetime:
        try:
            return next(self._cron).astimezone(UTC)
        except StopIteration as error:
            raise InvalidScheduleError("schedule.cron: there is no such time in the next fifty years") from error


def _cron(schedule: Schedule, after: datetime) -> _Times:
    cron = (schedule.cron or "").upper()
    if len(cron.split()) != _FIELDS:
        raise InvalidScheduleError("schedule.cron: five fields, minute first: `0 3 * * 1` is three o'clock on Mondays")
    try:
        zone = ZoneInfo(schedule.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidScheduleError("schedule.timezone: a name of the IANA database, such as Europe/Dublin") from error
    try:
        return _Times(CronSim(cron, after.astimezone(zone)))
    except CronSimError as error:
        raise InvalidScheduleError(f"schedule.cron: {error}; as in `0 3 * * 1`") from error


def _jitter(crawl_id: UUID, interval: timedelta) -> timedelta:
    share = int.from_bytes(hashlib.sha256(crawl_id.bytes).digest()[:8], "big") / 2**64
    return timedelta(seconds=int(share * min(interval * JITTER_SHARE, JITTER_MOST).total_seconds()))
