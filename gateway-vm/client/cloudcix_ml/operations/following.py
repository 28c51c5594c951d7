"""Waiting for what goes on by itself: by events where the platform tells of them, by asking where it does not.

An event is a hint that there is something new; what is handed out is always what a `GET` says. So a stream that breaks, that
a proxy holds back, or that says what this version does not know delays at most, and hides nothing.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from cloudcix_ml.core.effects import Item, Operation, Pause, Request, Stream, last_of
from cloudcix_ml.core.exchange import backoff_seconds, call
from cloudcix_ml.core.session import Session
from cloudcix_ml.errors import (
    AnswerError,
    NotFoundError,
    RateLimitedError,
    TransportError,
    UnavailableError,
    WaitTimeoutError,
)
from cloudcix_ml.models.base import Answered
from cloudcix_ml.operations.listening import QUIET_SECONDS, Following, Listener

T = TypeVar("T", bound=Answered)

LEAST_GAP_SECONDS: Final = 0.2
# between two looks, however many events come
FIRST_POLL_SECONDS: Final = 0.25
LONGEST_POLL_SECONDS: Final = 3.0
BROKEN_STREAMS: Final = 3
# in a row: then it is asked for, since something on the way does not let streams through
BUSY_SECONDS: Final = 10.0
LAST_LOOK_SECONDS: Final = 5.0


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
        self._listener = Listener(session, subject.events_path)
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
        if not (yield from self._connected()):
            return False
        with suppress(TransportError, AnswerError):
            while self._left > QUIET_SECONDS and (events := (yield from self._listener.read())) is not None:
                if not events:
                    continue
                yield Pause(LEAST_GAP_SECONDS)
                if (yield from self._look()):
                    yield from self._listener.close()
                    return True
        yield from self._listener.close()
        self._broken = 0 if self._listener.heard else self._broken + 1
        yield Pause(backoff_seconds(self._session, self._broken + 1))
        return False

    def _connected(self) -> Operation[bool]:
        """Open the stream, and return whether there is one; where there is none it is asked for instead."""
        try:
            if (yield from self._listener.connect()):
                return True
            self._broken += 1  # all of its events were seen
        except TransportError:
            self._broken += 1
            yield Pause(backoff_seconds(self._session, self._broken))
        except (RateLimitedError, UnavailableError) as error:
            wait = BUSY_SECONDS if error.retry_after_seconds is None else error.retry_after_seconds
            self._no_events_before = self._session.clock() + wait
        except (NotFoundError, AnswerError):
            self._broken = BROKEN_STREAMS  # an older platform, or something between that answers for it
        return False
