"""The transport of programs that await."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import AsyncExitStack, aclosing, closing
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
from cloudcix_ml.transports.reading import AwaitedPieces, failure_of, grown, head_of, in_time, options

T = TypeVar("T")


class AwaitingTransport:
    """Carries out effects, one after the other, and leaves the loop to others meanwhile."""

    def __init__(self, session: Session, http: httpx.AsyncClient) -> None:
        self._session = session
        self._http = http

    async def run(self, operation: Operation[T]) -> T:
        """Go through an operation and return its result."""
        async with aclosing(self._drive(operation)) as steps:
            async for step in steps:
                if isinstance(step, Done):
                    result: T = step.result
                    return result
        raise AssertionError("unreachable: an operation ends with its result")

    async def iterate(self, stream: Stream[T]) -> AsyncIterator[T]:
        """Go through a stream and yield what it hands out."""
        async with aclosing(self._drive(stream)) as steps:
            async for step in steps:
                if isinstance(step, Item):
                    yield step.value

    async def _drive(self, operation: Generator[Any, Any, Any]) -> AsyncGenerator[Item[Any] | Done, None]:
        async with AsyncExitStack() as opened:
            with closing(Steps(operation)) as steps:
                effect = steps.begin()
                while not isinstance(effect, Done):
                    if isinstance(effect, Item):
                        yield effect
                        effect = steps.after(None)
                        continue
                    try:
                        outcome = await self._perform(effect, opened)
                    except CloudCIXError as error:
                        effect = steps.failed(error)
                    else:
                        effect = steps.after(outcome)
                yield effect

    async def _perform(self, effect: Effect, opened: AsyncExitStack) -> Any:
        try:
            match effect:
                case Send(request):
                    async with self._http.stream(**options(self._session, request, AwaitedPieces)) as response:
                        return await self._whole(response, request.timeout_seconds)
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Open(request):
                    asked = self._http.build_request(**options(self._session, request, AwaitedPieces))
                    response = await self._http.send(asked, stream=True)
                    opened.push_async_callback(response.aclose)
                    if not response.is_success:
                        return Opened(await self._whole(response, request.timeout_seconds))
                    return Opened(head_of(response), (response, response.aiter_raw()))
                case Read((_, parts)):
                    return await anext(parts, b"")
                case Close((response, _)):
                    await response.aclose()
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise failure_of(error, self._session) from None
        return None

    async def _whole(self, response: httpx.Response, seconds: float) -> Answer:
        # from its head on: whatever went before may have been the sending of a large file
        body, end = bytearray(), self._session.clock() + seconds
        async for part in response.aiter_bytes():
            grown(body, part)
            in_time(self._session, end)
        await response.aclose()
        return head_of(response, bytes(body))
