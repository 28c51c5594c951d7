"""A real HTTP server on loopback, in a thread of the test's process: what every fake of ours is served by."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import uvicorn

START_TIMEOUT_SECONDS = 10.0


class _Server(uvicorn.Server):
    """Ends as soon as it is told to: uvicorn's own looks every tenth of a second, which a test run pays by the fake."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def main_loop(self) -> None:
        await self.on_tick(0)  # fills the headers that every answer has
        await self._told.wait()

    def tell_to_exit(self) -> None:
        """End, from another thread, a server that has started."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                self._loop.call_soon_threadsafe(self._told.set)


class ThreadedServer:
    """Serve an ASGI application on a free port of 127.0.0.1 until the `with` block ends.

    Parameters
    ----------
    app
        Any ASGI application.
    host
        A loopback address; others of 127.0.0.0/8 stand in for other hosts.
    port
        0 for a free one.
    loop_factory
        Makes its event loop; asyncio's own unless given.
    keep_alive_seconds
        After which a connection without a request is closed.
    """

    def __init__(
        self,
        app: Any,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
        keep_alive_seconds: int = 5,
    ) -> None:
        self._loop_factory = loop_factory
        # the protocol is named, or asyncio sets no TCP_NODELAY and each answer waits 40 ms for an acknowledgement
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((host, port))
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="on",
            timeout_keep_alive=keep_alive_seconds,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._serve, name=f"http-{self.port}", daemon=True)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:<port>`, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(self._server.serve(sockets=[self._socket]))

    def __enter__(self) -> Self:
        self._thread.start()
        waited = threading.Event()
        for _ in range(int(START_TIMEOUT_SECONDS / 0.01)):
            if self._server.started:
                return self
            if not self._thread.is_alive():
                break
            waited.wait(0.01)
        raise RuntimeError(f"the server on {self.url} did not start")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.tell_to_exit()
        self._thread.join(START_TIMEOUT_SECONDS)
        self._socket.close()


class ServedFake:
    """A fake with a server of its own, which runs until the `with` block ends."""

    _server: ThreadedServer

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, traceback)
