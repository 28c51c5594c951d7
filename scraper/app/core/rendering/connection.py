"""A browser of one's own for one page, over the renderer's socket: the Chrome DevTools Protocol, JSON between zero bytes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import orjson

from app.core.errors import RenderError, RendererUnavailableError

Handler = Callable[[dict[str, Any]], None]

_END: Final = b"\0"
_GREETING_SECONDS: Final = 10.0
# above what the renderer lets a page wait for its turn
_CALL_SECONDS: Final = 10.0
_RETRY_AFTER_SECONDS: Final = 15.0
_BUSY_SECONDS: Final = 5.0


class CommandError(Exception):
    """The browser refused a command."""


class Connection:
    """Commands and events of one browser.

    Attributes
    ----------
    gone
        Why there is no browser any more, once there is none.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.gone: RenderError | RendererUnavailableError | None = None
        self._reader = reader
        self._writer = writer
        self._handlers: dict[str, Handler] = {}
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next_id = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, path: str, *, max_message_bytes: int) -> AsyncIterator["Connection"]:
        """Wait for a browser; it is the renderer's again when the block ends.

        Parameters
        ----------
        path
            Of the renderer's socket.
        max_message_bytes
            The longest message that is read.

        Raises
        ------
        RendererUnavailableError
            If there is none, or none that is free.
        """
        try:
            async with asyncio.timeout(_GREETING_SECONDS):
                reader, writer = await asyncio.open_unix_connection(path, limit=max_message_bytes)
                writer.write(_END)  # asks for one
        except (OSError, TimeoutError) as error:
            raise _unavailable("the renderer does not answer") from error
        connection = cls(reader, writer)
        listening: asyncio.Task[None] | None = None
        try:
            await connection._greeted()
            listening = asyncio.create_task(connection._listen())
            yield connection
        finally:
            if listening is not None:
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
            writer.close()

    async def _greeted(self) -> None:
        try:
            async with asyncio.timeout(_GREETING_SECONDS):
                greeting = orjson.loads((await self._reader.readuntil(_END))[:-1])
        except (OSError, TimeoutError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
            raise _unavailable("the renderer has no browser") from error
        if not greeting.get("ready"):
            raise RendererUnavailableError("the renderer is busy", retry_after_seconds=_BUSY_SECONDS)

    def on(self, event: str, handler: Handler) -> None:
        """Have an event's parameters handed to a function."""
        self._handlers[event] = handler

    def tell(self, method: str, parameters: dict[str, Any] | None = None, session: str | None = None) -> int:
        """Send a command without waiting for its answer; return its id."""
        self._next_id += 1
        message: dict[str, Any] = {"id": self._next_id, "method": method, "params": parameters or {}}
        if session is not None:
            message["sessionId"] = session
        self._writer.write(orjson.dumps(message) + _END)
        return self._next_id

    async def call(
        self,
        method: str,
        parameters: dict[str, Any] | None = None,
        session: str | None = None,
        *,
        seconds: float = _CALL_SECONDS,
    ) -> dict[str, Any]:
        """Send a command and return its answer.

        Raises
        ------
        CommandError
            If the browser refuses it.
        RenderError, RendererUnavailableError
            If the browser is gone.
        TimeoutError
            If no answer comes in time.
        """
        if self.gone is not None:
            raise self.gone
        number = self.tell(method, parameters, session)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            async with asyncio.timeout(seconds):
                await self._writer.drain()
                return await answer
        except OSError as error:
            raise self.gone or _unavailable("the renderer's connection broke") from error
        finally:
            self._answers.pop(number, None)

    async def _listen(self) -> None:
        try:
            while True:
                self._heard(await self._reader.readuntil(_END))
        except (OSError, EOFError):
            self._end(_unavailable("the renderer's connection broke"))
        except asyncio.LimitOverrunError:
            self._end(RenderError("the page made its browser say more than is read of it"))

    def _heard(self, message: bytes) -> None:
        try:
            read = orjson.loads(message[:-1])
        except ValueError:  # one that the renderer cut off, before it says why
            return
        if "ended" in read:
            self._end(RenderError(f"the page's browser was ended: {read['ended']}"))
        elif "id" in read:
            self._answered(read)
        elif (handler := self._handlers.get(read.get("method", ""))) is not None:
            handler(read.get("params", {}))

    def _answered(self, read: dict[str, Any]) -> None:
        answer = self._answers.get(read["id"])
        if answer is None or answer.done():
            return
        if "error" in read:
            answer.set_exception(CommandError(str(read["error"].get("message", ""))[:500]))
        else:
            answer.set_result(read.get("result", {}))

    def _end(self, error: RenderError | RendererUnavailableError) -> None:
        if self.gone is not None:
            return
        self.gone = error
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(error)

    def fail(self, detail: str) -> None:
        """Note that the page's browser is of no use any more."""
        self._end(RenderError(detail))

    async def end(self, method: str, parameters: dict[str, Any]) -> None:
        """Send a last command; whether it is followed is for the renderer to see."""
        with contextlib.suppress(CommandError, RenderError, RendererUnavailableError, TimeoutError):
            await self.call(method, parameters)


def _unavailable(detail: str) -> RendererUnavailableError:
    return RendererUnavailableError(detail, retry_after_seconds=_RETRY_AFTER_SECONDS)
