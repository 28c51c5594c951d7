"""Streams of notices: any number of listeners of this process, with one look at the database for all of them.

Streams      who listens to subjects of one kind: it looks when it hears that something moved, and every two seconds whatever
             it hears, so that a Redis that is wiped or away costs no event
Stream       one listener's: what it was not sent yet, which is never more than one look brought
Source       reads notices of a kind of subject. Another kind (a crawl's run) is another source, and nothing else
Room         how many streams there may be, in one process and of one owner
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Collection, Hashable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, Protocol
from uuid import UUID

import asyncpg
from opentelemetry.instrumentation.utils import suppress_instrumentation

from app.core.errors import TooManyStreamsError
from app.core.metrics import EVENT_STREAMS
from ml_shared.errors import ServiceError

POLL_SECONDS: Final = 2.0
AT_ONCE: Final = 500
# subjects of one statement
HEARD_MOST: Final = 10_000
# ids that are kept between two looks; beyond, everything is looked at
RETRY_AFTER_SECONDS: Final = 10

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Subject:
    """What can be listened to, and whose it is."""

    owner: str
    id: Hashable


@dataclass(frozen=True, slots=True)
class Notice:
    """One event: its number among its subject's, its type, and its data as JSON. One object for all who listen."""

    number: int
    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class News:
    """What one look brought of a subject.

    Attributes
    ----------
    more
        Whether there are notices behind these already.
    ended
        Whether these are its last.
    """

    subject: Subject
    notices: tuple[Notice, ...]
    more: bool = False
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """A subject's last number, and whether it has ended."""

    number: int
    ended: bool


class Source(Protocol):
    """Reads notices of one kind of subject.

    Attributes
    ----------
    name
        Of the kind, for logs and metrics.
    rest_seconds
        The least between two looks, however much is heard of.
    """

    name: str
    rest_seconds: float

    async def standing(self, subject: Subject) -> Standing:
        """Return how a subject stands; raise the error of its kind where there is none."""

    async def news(self, asked: Mapping[Subject, int]) -> list[News]:
        """Return what there is of these subjects after the number that each comes with."""

    async def concerned(self, moved: Collection[UUID], watched: Collection[Subject]) -> set[Subject]:
        """Return which of the watched subjects have one of these ids, or a job that has."""


class Stream:
    """What one listener is sent."""

    def __init__(self, streams: "Streams", subject: Subject, seen: int) -> None:
        self.subject = subject
        self.seen = seen
        self._streams = streams
        self._news: News | None = None
        self._missed = self._ended = False
        self._wake = asyncio.Event()

    @property
    def kind(self) -> str:
        """The kind of its subject."""
        return self._streams.source.name

    def takes_more(self) -> bool:
        """Say whether what it has was sent; if not, it is looked at again after that."""
        self._missed = self._missed or self._news is not None
        return self._news is None

    @property
    def ended(self) -> bool:
        """Whether nothing comes any more."""
        return self._ended

    def give(self, news: News) -> None:
        """Take what a look brought, unless what the last one did is still being sent: then it is read again after that."""
        if self._news is not None:
            self._missed = True
            return
        notices = tuple(notice for notice in news.notices if notice.number > self.seen)
        if notices:
            self.seen = notices[-1].number
        if notices or news.ended:
            self._news = News(news.subject, notices, news.more, news.ended)
            self._wake.set()

    async def next(self, seconds: float) -> tuple[Notice, ...]:
        """Return what is new; nothing after so many seconds, or once the stream has ended."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        if self._news is None:
            return ()
        return self._news.notices

    def sent(self) -> None:
        """Take the word that what `next` returned is with the listener: now there is room for more."""
        news, self._news = self._news, None
        if news is None:
            return
        if news.ended:
            self._ended = True
        elif news.more or self._missed:
            self._streams.look_at(self.subject)
        self._missed = False
        if not self._ended:
            self._wake.clear()

    def stop(self) -> None:
        """End it: its listener has gone, or the process stops."""
        self._ended = True
        self._wake.set()

    def close(self) -> None:
        """Give its place back."""
        self._streams.forget(self)


class Room:
    """How many streams there may be.

    Parameters
    ----------
    most
        In this process.
    share
        Of one owner in it.
    """

    def __init__(self, *, most: int, share: int) -> None:
        self._most = most
        self._share = share
        self._by_owner: Counter[str] = Counter()

    def enter(self, owner: str) -> None:
        """Take a place.

        Raises
        ------
        TooManyStreamsError
            If there is none, for anybody or for this owner.
        """
        if self._by_owner[owner] >= self._share:
            raise TooManyStreamsError(
                f"you have {self._share} streams of events open here, as many as one may; close one, or follow a batch",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        if self._by_owner.total() >= self._most:
            raise TooManyStreamsError(
                "as many streams of events are open here as there may be; try again, or ask for the job itself",
                retry_after_seconds=RETRY_AFTER_SECONDS,
            )
        self._by_owner[owner] += 1

    def leave(self, owner: str) -> None:
        """Give a place back."""
        self._by_owner[owner] -= 1
        if self._by_owner[owner] <= 0:
            del self._by_owner[owner]


class Streams:
    """The streams of one kind of subject."""

    def __init__(self, source: Source, room: Room) -> None:
        self.source = source
        self._room = room
        self._open: dict[Subject, set[Stream]] = {}
        self._heard: set[UUID] = set()
        self._to_look_at: set[Subject] = set()
        self._all = False
        self._look = asyncio.Event()
        self._somebody = asyncio.Event()
        self._stopping = False

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Streams"]:
        """Look for news within the block."""
        looking = asyncio.create_task(self._keep_looking(), name=f"streams-{self.source.name}")
        try:
            yield self
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking

    def open(self, subject: Subject, *, seen: int) -> Stream:
        """Open a stream of what comes after a number.

        Raises
        ------
        TooManyStreamsError
            If there is no room for another.
        """
        self._room.enter(subject.owner)
        stream = Stream(self, subject, seen)
        self._open.setdefault(subject, set()).add(stream)
        EVENT_STREAMS.labels(self.source.name).inc()
        self._somebody.set()
        self.look_at(subject)
        if self._stopping:
            stream.stop()
        return stream

    def forget(self, stream: Stream) -> None:
        """Forget a stream; a second time, it does nothing."""
        listeners = self._open.get(stream.subject, set())
        if stream not in listeners:
            return
        listeners.discard(stream)
        if not listeners:
            del self._open[stream.subject]
        if not self._open:
            self._somebody.clear()
        self._room.leave(stream.subject.owner)
        EVENT_STREAMS.labels(self.source.name).dec()

    def stop(self) -> None:
        """End every stream, and each that is opened from now on: the process stops, and its listeners go on elsewhere."""
        self._stopping = True
        for stream in list(chain.from_iterable(self._open.values())):
            stream.stop()

    @property
    def anybody(self) -> bool:
        """Whether anybody listens."""
        return self._somebody.is_set()

    async def until_anybody_waits(self) -> None:
        """Return once somebody does."""
        await self._somebody.wait()

    def hear(self, moved: UUID, *, ended: bool) -> None:
        """Take a word that something has moved. What that was, the database says."""
        if not self._open:
            return
        if len(self._heard) < HEARD_MOST:
            self._heard.add(moved)
        else:
            self._all = True
        self._look.set()

    def look_at(self, subject: Subject) -> None:
        """Ask for a look at a subject."""
        self._to_look_at.add(subject)
        self._look.set()

    async def _keep_looking(self) -> None:
        now = asyncio.get_running_loop().time
        next_poll = 0.0
        while True:
            await self._somebody.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(next_poll - now(), 0)):
                    await self._look.wait()
            self._look.clear()
            if now() >= next_poll:
                self._all, next_poll = True, now() + POLL_SECONDS
            try:
                await self._tell()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ServiceError) as error:
                # what was to be looked at is looked at by the next poll, with everything else
                logger.warning("events_not_read", extra={"kind": self.source.name, "reason": type(error).__name__})
            await asyncio.sleep(self.source.rest_seconds)

    async def _tell(self) -> None:
        heard, self._heard = self._heard, set()
        wanted, self._to_look_at = self._to_look_at, set()
        whole, self._all = self._all, False
        with suppress_instrumentation():
            if whole:
                wanted = set(self._open)
            elif heard:
                wanted |= await self.source.concerned(heard, self._open.keys())
            asked = dict(self._asked(wanted))
            rest = iter(asked.items())
            while some := dict(islice(rest, AT_ONCE)):
                for news in await self.source.news(some):
                    for stream in self._open.get(news.subject, ()):
                        stream.give(news)

    def _asked(self, wanted: Collection[Subject]) -> Iterator[tuple[Subject, int]]:
        """Yield each subject that somebody has room for news of, with the number from which on it is of use."""
        for subject in wanted:
            listeners = self._open.get(subject, ())
            hungry = [stream.seen for stream in listeners if stream.takes_more()]
            if hungry:
                yield subject, min(hungry)
