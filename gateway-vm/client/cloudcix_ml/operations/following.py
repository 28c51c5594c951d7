"""Waiting for what goes on by itself: by events where the platform tells of them, by asking where it does not.

An event is a hint that there is something new; what is handed out is always what a `GET` says. So a stream that breaks, that
a proxy holds back, or that says what this version does not know delays at most, and hides nothing.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

from cloudcix_ml.core.effects import Close, Effect, Item, Open, Opened, Operation, Pause, Read, Request, Stream, last_of
from cloudcix_ml.core.exchange import backoff_seconds, call
from cloudcix_ml.core.problems import error_of
from cloudcix_ml.core.session import Session
from cloudcix_ml.core.sse import EventReader
from cloudcix_ml.errors import (
    AnswerError,
    NotFoundError,
    RateLimitedError,
    TransportError,
    UnavailableError,
    WaitTimeoutError,
)
from cloudcix_ml.models.base import Answered

T = TypeVar("T", bound=Answered)
Following: TypeAlias = Generator[Effect | Item[T], Any, bool]
"""Hands out what is new, and ends with whether that was the end."""

QUIET_SECONDS: Final = 20.0
# the platform says something every 15 s, if only that it is there
LEAST_GAP_SECONDS: Final = 0.2
# between two looks, however many events come
FIRST_POLL_SECONDS: Final = 0.25
LONGEST_POLL_SECONDS: Final = 3.0
BROKEN_STREAMS: Final = 3
# in a row: then it is asked for, since something on the way does not let streams through
BUSY_SECONDS: Final = 10.0
LAST_LOOK_SECONDS: Final = 5.0
NO_MORE: Final = 204
EVENT_STREAM: Final = "text/event-stream"


@dataclass(frozen=True)
class Subject(Generic[T]):
    """What is followed: where it is read, where its events come from, and when it has ended."""

    name: str
    path: str
    events_path: str
    kind: type[T]
    ended: Callable[[T], bool]


def waited(session: Session, subject: Subject[T], timeout_seconds: float | None) -> Operation[T]:
    """Return a subject once it has ended."""
    last = yield from last_of(followed(session, subject, timeout_seconds))
    assert last is not None  # noqa: S101 - a stream that ends without an error has handed out the end
    return last


def followed(session: Session, subject: Subject[T], timeout_seconds: float | None) -> Stream[T]:
    """Hand out a subject whenever it has changed, up to its end."""
    return _Follower(session, subject, timeout_seconds).run()


class _Follower(Generic[T]):
    """One wait for one subject."""

    def __init__(self, session: Session, subject: Subject[T], timeout_seconds: float | None) -> None:
        self._session = session
        self._subject = subject
        self._timeout_seconds = timeout_seconds
        self._end = session.deadline(timeout_seconds)
        self._last: T | None = None
        self._events = EventReader()
        self._broken = 0
        self._no_events_before = 0.0
        self._polls = 0

    def run(self) -> Stream[T]:
        while not (yield from self._look()):
            if self._left <= 0:
                raise WaitTimeoutError(
                    f"{self._subject.name} has not ended after {self._timeout_seconds:g} s; it goes on", self._last
                )
            if self._worth_listening:
                if (yield from self._listen()):
                    return
            else:
                yield Pause(min(self._poll_seconds(), max(self._left, 0.0)))

    def _look(self) -> Following[T]:
        request = Request("GET", self._subject.path)
        give_up_at = max(self._end, self._session.clock() + LAST_LOOK_SECONDS)
        now = yield from call(self._session, request, self._subject.kind, give_up_at=give_up_at)
        if now != self._last:
            self._last, self._polls = now, 0
            yield Item(now)
        return self._subject.ended(now)

    @property
    def _left(self) -> float:
        return self._end - self._session.clock()

    @property
    def _worth_listening(self) -> bool:
        """A stream is read in long breaths: for a short wait it is not opened."""
        fits = self._left > QUIET_SECONDS and self._session.clock() >= self._no_events_before
        return fits and self._broken < BROKEN_STREAMS

    def _poll_seconds(self) -> float:
        self._polls += 1
        longest = min(FIRST_POLL_SECONDS * 1.5 ** (self._polls - 1), LONGEST_POLL_SECONDS)
        return longest * (0.75 + 0.25 * self._session.chance())

    def _listen(self) -> Following[T]:
        """Look whenever an event comes; ends with the stream, which goes on in the next one."""
        handle = yield from self._opened()
        if handle is None:
            return False
        heard = False
        while self._left > QUIET_SECONDS:
            try:
                part: bytes = yield Read(handle)
                events = list(self._events.feed(part))
            except (TransportError, ValueError):
                break
            if not part:
                break
            heard = True
            if events:
                yield Pause(LEAST_GAP_SECONDS)
                if (yield from self._look()):
                    yield Close(handle)
                    return True
        yield Close(handle)
        self._broken = 0 if heard else self._broken + 1
        yield Pause(backoff_seconds(self._session, self._broken + 1))
        return False

    def _opened(self) -> Operation[Any]:
        """Open the stream and return its handle; None where it is asked for instead."""
        headers = {"Accept": EVENT_STREAM, "Accept-Encoding": "identity", "Cache-Control": "no-cache"}
        if self._events.last_id is not None:
            headers["Last-Event-ID"] = self._events.last_id
        last_id = self._events.last_id
        self._events = EventReader(last_id)
        try:
            opened: Opened = yield Open(
                Request("GET", self._subject.events_path, headers=headers, timeout_seconds=QUIET_SECONDS)
            )
        except TransportError:
            self._broken += 1
            yield Pause(backoff_seconds(self._session, self._broken))
            return None
        if opened.handle is not None:
            if opened.answer.headers.get("content-type", "").startswith(EVENT_STREAM):
                return opened.handle
            yield Close(opened.handle)
            # 204: all of its events were seen; otherwise it is no stream, and will be none
            self._broken = self._broken + 1 if opened.answer.status == NO_MORE else BROKEN_STREAMS
            return None
        error = error_of(opened.answer, self._session.key)
        match error:
            case RateLimitedError() | UnavailableError():
                wait = BUSY_SECONDS if error.retry_after_seconds is None else error.retry_after_seconds
                self._no_events_before = self._session.clock() + wait
            case NotFoundError() | AnswerError():
                self._broken = BROKEN_STREAMS  # an older platform, or something between that answers for it
            case _:
                raise error
        return None
