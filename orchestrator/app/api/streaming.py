"""Server-sent events, as a browser's `EventSource` takes them.

Neither `sse-starlette` nor FastAPI's own: both run three or four tasks a stream, and neither cuts off a client that takes
nothing from a heartbeat's write on (`orchestrator/README.md`, "Events").
"""

import asyncio
import logging
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.core.metrics import STREAMS_CUT
from app.core.notices.streams import Notice, Stream
from ml_shared.errors import InvalidError
from ml_shared.http.transport import ABORT

LASTS_SECONDS: Final = 55.0
# then the client comes again: below the gateway's patience, and whatever else stands between
HEARTBEAT_SECONDS: Final = 15.0
SEND_SECONDS: Final = 10.0
# for a client to take what was written: what it does not, the server would have to keep
RETRY_MILLISECONDS: Final = 1000
NUMBER_MAX_DIGITS: Final = 15

logger = logging.getLogger(__name__)


def seen_of(last_event_id: str | None) -> int:
    """Return the number of the last event that a client has seen: 0 if it has seen none.

    Raises
    ------
    InvalidError
        If it is no number that we gave.
    """
    if not last_event_id:
        return 0
    if not (last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) <= NUMBER_MAX_DIGITS):
        raise InvalidError(
            "Last-Event-ID is not the id of an event; send the last `id` that came, or leave it out",
            code="invalid_last_event_id",
        )
    return int(last_event_id)


class EventStream(Response):
    """A stream of events: it ends with its subject, after 55 s, with its client, or with the process."""

    media_type = "text/event-stream"

    def __init__(self, stream: Stream) -> None:
        # X-Accel-Buffering: for an nginx that is not ours
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        leaving = asyncio.ensure_future(self._until_gone(receive))
        try:
            await self._serve(send)
        except TimeoutError:
            STREAMS_CUT.labels(self._stream.kind).inc()
            logger.warning("stream_cut_off", extra={"kind": self._stream.kind})
            scope.get("extensions", {}).get(ABORT, {}).get(ABORT, _nothing)()
        finally:
            leaving.cancel()
            self._stream.close()

    async def _serve(self, send: Send) -> None:
        now = asyncio.get_running_loop().time
        ends = now() + LASTS_SECONDS
        async with asyncio.timeout(SEND_SECONDS):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _send(send, b"retry: %d\n\n" % RETRY_MILLISECONDS)
        while not self._stream.ended and (left := ends - now()) > 0:
            notices = await self._stream.next(min(left, HEARTBEAT_SECONDS))
            if notices:
                await _send(send, b"".join(map(_written, notices)))
            elif left > HEARTBEAT_SECONDS and not self._stream.ended:
                await _send(send, b":\n\n")
            self._stream.sent()
        await _send(send, b"", more=False)

    async def _until_gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._stream.stop()


async def _send(send: Send, body: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await send({"type": "http.response.body", "body": body, "more_body": more})


def _written(notice: Notice) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (notice.number, notice.type.encode(), notice.data)


def _nothing() -> None:
    """Do nothing: where there is no connection, in a test, there is none to break off."""
