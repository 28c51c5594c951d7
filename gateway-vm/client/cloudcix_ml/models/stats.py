"""How much was done lately, and what waits for what."""

from datetime import datetime

from cloudcix_ml.models.base import Answered
from cloudcix_ml.models.jobs import Stage, WaitingReason


class StatsBucket(Answered):
    """What was done in a stretch of time; `open` is how many jobs were unfinished at its end."""

    at: datetime
    submitted: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    chunks: int = 0
    tokens: int = 0
    open: int = 0


class StatsFailure(Answered):
    """How often something went wrong."""

    code: str
    failed_stage: Stage
    jobs: int


class StatsOpen(Answered):
    """How many unfinished jobs stand where."""

    queued: int = 0
    scraping: int = 0
    chunking: int = 0
    embedding: int = 0


class StatsWaiting(Answered):
    """How many jobs wait for the same; `since` is of the one that has waited longest."""

    stage: Stage
    reason: WaitingReason
    jobs: int
    since: datetime


class Stats(Answered):
    """The last hours: not `complete` if so many jobs ended that it begins later than was asked for."""

    since: datetime
    step_seconds: int
    complete: bool
    buckets: list[StatsBucket]
    open: StatsOpen
    waiting: list[StatsWaiting]
    failures: list[StatsFailure]
