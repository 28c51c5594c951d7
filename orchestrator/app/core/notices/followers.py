"""Who follows jobs and batches in this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import asyncpg

from app.config import Settings
from app.core.errors import BatchNotFoundError, CrawlNotFoundError, JobNotFoundError
from app.core.notices.run_source import RunId, RunSource
from app.core.notices.sources import BatchSource, JobSource
from app.core.notices.streams import Room, Stream, Streams, Subject
from ml_shared.contracts.values import uuid_of


class Followers:
    """The streams of every kind of subject: another kind is another line of `open_followers`, and a method here."""

    def __init__(self, jobs: Streams, batches: Streams, runs: Streams) -> None:
        self._jobs = jobs
        self._batches = batches
        self._runs = runs
        self._kinds = (jobs, batches, runs)

    async def job(self, owner: str, job_id: str, seen: int) -> Stream | None:
        """Open a stream of a job's events after a number; `None` if there will be none.

        Raises
        ------
        JobNotFoundError
            If there is no such job, or it is another owner's.
        TooManyStreamsError
            If there is no room for another.
        """
        found = uuid_of(job_id)
        if found is None:
            raise JobNotFoundError
        return await _opened(self._jobs, Subject(owner, found), seen)

    async def batch(self, owner: str, batch_id: str, seen: int) -> Stream | None:
        """Open a stream of a batch's counts after a number; `None` if there will be none.

        Raises
        ------
        BatchNotFoundError
            If there is no such batch, or it is another owner's.
        TooManyStreamsError
            If there is no room for another.
        """
        found = uuid_of(batch_id)
        if found is None:
            raise BatchNotFoundError
        return await _opened(self._batches, Subject(owner, found), seen)

    async def run(self, owner: str, crawl_id: str, run: int, seen: int) -> Stream | None:
        """Open a stream of a run's counts after a number; `None` if there will be none.

        Raises
        ------
        CrawlNotFoundError, RunNotFoundError
            If there is no such run, or it is another owner's.
        TooManyStreamsError
            If there is no room for another.
        """
        found = uuid_of(crawl_id)
        if found is None:
            raise CrawlNotFoundError
        return await _opened(self._runs, Subject(owner, RunId(found, run)), seen)

    def stop(self) -> None:
        """End every stream: the process stops."""
        for kind in self._kinds:
            kind.stop()

    @property
    def anybody(self) -> bool:
        """Whether anybody follows anything."""
        return any(kind.anybody for kind in self._kinds)

    async def until_anybody_waits(self) -> None:
        """Return once somebody does."""
        waiting = [asyncio.ensure_future(kind.until_anybody_waits()) for kind in self._kinds]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    def hear(self, moved: UUID, *, ended: bool) -> None:
        """Take a word that a job, or a batch, has moved."""
        for kind in self._kinds:
            kind.hear(moved, ended=ended)


async def _opened(streams: Streams, subject: Subject, seen: int) -> Stream | None:
    standing = await streams.source.standing(subject)
    if seen > standing.number:
        seen = 0  # it is of another subject, or of before a database was restored: all of it again
    return None if standing.ended and standing.number <= seen else streams.open(subject, seen=seen)


@asynccontextmanager
async def open_followers(pool: asyncpg.Pool, settings: Settings) -> AsyncIterator[Followers]:
    """Open what this process follows jobs and batches with: it holds a connection only while it looks."""
    room = Room(most=settings.MAX_EVENT_STREAMS, share=settings.MAX_EVENT_STREAMS_PER_OWNER)
    async with AsyncExitStack() as stack:
        jobs, batches, runs = [
            await stack.enter_async_context(Streams(source, room).opened())
            for source in (JobSource(pool), BatchSource(pool), RunSource(pool))
        ]
        yield Followers(jobs, batches, runs)
