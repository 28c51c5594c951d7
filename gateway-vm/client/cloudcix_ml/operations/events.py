"""Events as they come: handed out one after the other, across as many connections as it takes."""

from typing import Final, Generic, Protocol, TypeVar

from cloudcix_ml.core.effects import Answer, Item, Pause, Stream
from cloudcix_ml.core.exchange import backoff_seconds, read_as
from cloudcix_ml.core.session import Session
from cloudcix_ml.errors import ProblemError, RateLimitedError, TransportError, UnavailableError, WaitTimeoutError
from cloudcix_ml.operations.listening import QUIET_SECONDS, Following, Listener

MOST_FAILURES: Final = 6
# connections in a row that told nothing: some 15 s of trying again
LEAST_READ_SECONDS: Final = 0.05


class Ending(Protocol):
    """What is told, and says whether it is the last of it."""

    @property
    def ended(self) -> bool:
        """Whether nothing comes after it."""


E = TypeVar("E", bound=Ending)


def told(
    session: Session, path: str, kind: type[E], name: str, *, timeout_seconds: float | None, after: int | None = None
) -> Stream[E]:
    """Hand out what a stream of events tells, up to its end.

    Raises
    ------
    WaitTimeoutError
        If it has not ended in this time.
    TransportError, ProblemError
        If the stream can't be had, again and again.
    """
    return _Telling(session, path, kind, name, timeout_seconds, after).run()


class _Telling(Generic[E]):
    """One walk through one subject's events."""

    def __init__(
        self, session: Session, path: str, kind: type[E], name: str, timeout_seconds: float | None, after: int | None
    ) -> None:
        self._session = session
        self._listener = Listener(session, path, None if after is None else str(after))
        self._read = read_as(kind)
        self._name = name
        self._timeout_seconds = timeout_seconds
        self._end = session.deadline(timeout_seconds)
        self._failures = 0
        self._last: E | None = None

    def run(self) -> Stream[E]:
        while True:
            wait = 0.0
            try:
                if not (yield from self._listener.connect(self._quiet_seconds)):
                    return
                if (yield from self._through()):
                    return
                if not self._listener.heard:
                    raise TransportError(f"{self._session.url}: a stream of events that said nothing", sent=True)
                self._failures, wait = 0, backoff_seconds(self._session, 1)
            except (TransportError, RateLimitedError, UnavailableError) as error:
                wait = self._wait_after(error)
            yield from self._listener.close()
            if self._left <= 0:
                raise WaitTimeoutError(f"{self._name} has not ended after {self._timeout_seconds:g} s", self._last)
            yield Pause(min(wait, self._left))

    def _through(self) -> Following[E]:
        """Hand out what one connection tells; ends with whether that was the end."""
        long = self._left > QUIET_SECONDS
        # near the end of the time each read has to be a short one: that takes a connection of its own
        while not long or self._left > QUIET_SECONDS:
            events = yield from self._listener.read()
            if events is None:
                return False
            for event in events:
                told = self._read(Answer(200, {}, event.data.encode()))
                self._failures, self._last = 0, told
                yield Item(told)
                if told.ended:
                    yield from self._listener.close()
                    return True
            if self._left <= 0:
                return False
        return False

    def _wait_after(self, error: TransportError | ProblemError) -> float:
        if self._listener.heard:
            self._failures = 0
        if self._left <= 0:
            return 0.0
        self._failures += 1
        if self._failures > MOST_FAILURES:
            raise error
        asked = getattr(error, "retry_after_seconds", None)
        return backoff_seconds(self._session, self._failures) if asked is None else float(asked)

    @property
    def _left(self) -> float:
        return self._end - self._session.clock()

    @property
    def _quiet_seconds(self) -> float:
        return max(LEAST_READ_SECONDS, min(QUIET_SECONDS, self._left))
