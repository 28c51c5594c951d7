"""What a crawl's run tells who listens to it: how it stands, each time as a whole."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from app.core.crawls import runs
from app.core.errors import RunNotFoundError
from app.core.notices.streams import News, Notice, Standing, Subject
from ml_shared.contracts.events import BatchEventType

_RUNS_OF = "SELECT DISTINCT owner, crawl_id, run FROM jobs WHERE id = ANY($1::uuid[]) AND run IS NOT NULL"


@dataclass(frozen=True, slots=True)
class RunId:
    """A run, among all."""

    crawl_id: UUID
    run: int


class RunSource:
    """A run's counts. Their number is that of the passes that found something to do."""

    name = "runs"
    rest_seconds = 1.0
    # each counts all of its pages

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def standing(self, subject: Subject) -> Standing:
        """See `app.core.notices.streams.Source`.

        Raises
        ------
        CrawlNotFoundError, RunNotFoundError
            If there is no such run, or it is another owner's.
        """
        asked = _id(subject)
        await runs.check_mine(self._pool, subject.owner, asked.crawl_id)
        found = await runs.snapshots(self._pool, [subject.owner], [asked.crawl_id], [asked.run])
        if not found:
            raise RunNotFoundError
        _, view, number = found[0]
        return Standing(number, view.ended_at is not None)

    async def news(self, asked: Mapping[Subject, int]) -> list[News]:
        """See `app.core.notices.streams.Source`."""
        ids = [_id(subject) for subject in asked]
        found = await runs.snapshots(
            self._pool, [subject.owner for subject in asked], [one.crawl_id for one in ids], [one.run for one in ids]
        )
        news = []
        for owner, view, number in found:
            subject, ended = Subject(owner, RunId(UUID(view.crawl_id), view.run)), view.ended_at is not None
            if number > asked[subject] or ended:
                kind = BatchEventType.ENDED if ended else BatchEventType.PROGRESS
                notice = Notice(number, kind, view.model_dump_json(exclude_none=True).encode())
                news.append(News(subject, (notice,), ended=ended))
        return news

    async def concerned(self, moved: Collection[UUID], watched: Collection[Subject]) -> set[Subject]:
        """See `app.core.notices.streams.Source`: a run moves as one of its jobs does."""
        rows = await self._pool.fetch(_RUNS_OF, list(moved))
        return {Subject(row["owner"], RunId(row["crawl_id"], row["run"])) for row in rows} & set(watched)


def _id(subject: Subject) -> RunId:
    if not isinstance(subject.id, RunId):
        raise TypeError(f"not a run: {subject.id!r}")
    return subject.id
