"""The transport of programs that block."""

import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from typing import Any, TypeVar

import httpx

from cloudcix_ml.core.effects import (
    Answer,
    Close,
    Done,
    Effect,
    Item,
    Open,
    Opened,
    Operation,
    Pause,
    Read,
    Send,
    Steps,
    Stream,
)
from cloudcix_ml.core.session import Session
from cloudcix_ml.errors import CloudCIXError
from cloudcix_ml.transports.reading import BlockingPieces, failure_of, grown, head_of, in_time, options

T = TypeVar("T")


class BlockingTransport:
    """Carries out effects, one after the other."""

    def __init__(self, session: Session, http: httpx.Client) -> None:
        self._session = session
        self._http = http

    def run(self, operation: Operation[T]) -> T:
        """Go through an operation and return its result."""
        for step in self._drive(operation):
            if isinstance(step, Done):
                result: T = step.result
                return result
        raise AssertionError("unreachable: an operation ends with its result")

    def iterate(self, stream: Stream[T]) -> Iterator[T]:
        """Go through a stream and yield what it hands out."""
        with closing(self._drive(stream)) as steps:
            for step in steps:
                if isinstance(step, Item):
                    yield step.value

    def _drive(self, operation: Generator[Any, Any, Any]) -> Generator[Item[Any] | Done, None, None]:
        with ExitStack() as opened, closing(Steps(operation)) as steps:
            effect = steps.begin()
            while not isinstance(effect, Done):
                if isinstance(effect, Item):
                    yield effect
                    effect = steps.after(None)
                    continue
                try:
                    outcome = self._perform(effect, opened)
                except CloudCIXError as error:
                    effect = steps.failed(error)
                else:
                    effect = steps.after(outcome)
            yield effect

    def _perform(self, effect: Effect, opened: ExitStack) -> Any:
        try:
            match effect:
                case Send(request):
                    with self._http.stream(**options(self._session, request, BlockingPieces)) as response:
                        return self._whole(response, request.timeout_seconds)
                case Pause(seconds):
                    time.sleep(seconds)
                case Open(request):
                    asked = self._http.build_request(**options(self._session, request, BlockingPieces))
                    response = self._http.send(asked, stream=True)
                    opened.callback(response.close)
                    if not response.is_success:
                        return Opened(self._whole(response, request.timeout_seconds))
                    return Opened(head_of(response), (response, response.iter_raw()))
                case Read((_, parts)):
                    return next(parts, b"")
                case Close((response, _)):
                    response.close()
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise failure_of(error, self._session) from None
        return None

    def _whole(self, response: httpx.Response, seconds: float) -> Answer:
        # from its head on: whatever went before may have been the sending of a large file
        body, end = bytearray(), self._session.clock() + seconds
        for part in response.iter_bytes():
            grown(body, part)
            in_time(self._session, end)
        response.close()
        return head_of(response, bytes(body))
