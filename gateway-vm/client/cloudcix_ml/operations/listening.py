"""A stream of server-sent events: opened, read, and opened again behind the last whole event."""

from collections.abc import Generator
from typing import Any, Final, TypeAlias, TypeVar

from cloudcix_ml.core.effects import Close, Effect, Item, Open, Opened, Operation, Read, Request
from cloudcix_ml.core.problems import error_of
from cloudcix_ml.core.session import Session
from cloudcix_ml.core.sse import EventReader, ServerEvent
from cloudcix_ml.errors import AnswerError

T = TypeVar("T")
Following: TypeAlias = Generator[Effect | Item[T], Any, bool]
"""Hands out what is new, and ends with whether that was the end."""

QUIET_SECONDS: Final = 20.0
# the platform says something every 15 s, if only that it is there
NO_MORE: Final = 204
EVENT_STREAM: Final = "text/event-stream"


class Listener:
    """One subject's events, connection after connection.

    Attributes
    ----------
    over
        Whether the platform said that all of its events were told.
    heard
        Whether the present connection said anything, if only that it is there.
    """

    def __init__(self, session: Session, path: str, last_id: str | None = None) -> None:
        self._session = session
        self._path = path
        self._events = EventReader(last_id)
        self._handle: Any = None
        self.over = False
        self.heard = False

    def connect(self, quiet_seconds: float = QUIET_SECONDS) -> Operation[bool]:
        """Open the stream, and return whether there is one: if not, it is over.

        Parameters
        ----------
        quiet_seconds
            How long one read may take.

        Raises
        ------
        TransportError
            If nobody answers.
        AnswerError
            If the answer is no stream.
        ProblemError
            If it is refused.
        """
        headers = {"Accept": EVENT_STREAM, "Accept-Encoding": "identity", "Cache-Control": "no-cache"}
        last_id = self._events.last_id
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        # of an event that was cut off nothing counts
        self._events, self.heard = EventReader(last_id), False
        opened: Opened = yield Open(Request("GET", self._path, headers=headers, timeout_seconds=quiet_seconds))
        answer = opened.answer
        if opened.handle is None:
            raise error_of(answer, self._session.key)
        if answer.headers.get("content-type", "").startswith(EVENT_STREAM):
            self._handle = opened.handle
            return True
        yield Close(opened.handle)
        if answer.status != NO_MORE:
            raise AnswerError("an answer that is no stream of events: something on the way answers for the platform")
        self.over = True
        return False

    def read(self) -> Operation[list[ServerEvent] | None]:
        """Return the events that the next bytes complete, which may be none; None at the stream's end.

        Raises
        ------
        TransportError
            If it breaks, or says nothing for too long.
        AnswerError
            If an event is longer than any of this API.
        """
        part: bytes = yield Read(self._handle)
        if not part:
            return None
        self.heard = True
        try:
            return list(self._events.feed(part))
        except ValueError as error:
            raise AnswerError(str(error)) from None

    def close(self) -> Operation[None]:
        """Read no further."""
        if self._handle is not None:
            yield Close(self._handle)
        self._handle = None
