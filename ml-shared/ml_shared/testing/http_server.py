"""A real HTTP server on loopback, in a thread of the test's process: what every fake of ours is served by."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import uvicorn

START_TIMEOUT_SECONDS = 30.0
_SETTLING_TURNS = 50
# of the loop: a connection that waits is taken in one of them, and its request is with the application a few later


class _Server(uvicorn.Server):
    """Ends as soon as it is told to: uvicorn's own looks every tenth of a second, which a test run pays by the fake."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.began = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.began.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)  # fills the headers that every answer has
        await self._told.wait()

    def tell_to_exit(self) -> None:
        """End, from another thread, a server that has started."""
        if self.loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended already
                self.loop.call_soon_threadsafe(self._told.set)


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
        After which a connection without a request is closed: by default long after any client has dropped it, so that no
        request meets its end.
    """

    def __init__(
        self,
        app: Any,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
        keep_alive_seconds: int = 75,
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

    def settle(self) -> None:
        """Wait until the application has every request that was sent before this call.

        What a fake counts from here on is then of nobody who has given a request up already.
        """
        loop = self._server.loop
        if loop is None or not self._thread.is_alive() or threading.current_thread() is self._thread:
            return
        turned = threading.Event()

        def turn(left: int = _SETTLING_TURNS) -> None:
            if left:
                loop.call_soon(turn, left - 1)
            else:
                turned.set()

        with contextlib.suppress(RuntimeError):  # it has just ended
            loop.call_soon_threadsafe(turn)
            while not turned.wait(0.1) and self._thread.is_alive():
                pass

    def _serve(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                runner.run(self._server.serve(sockets=[self._socket]))
        finally:
            self._server.began.set()  # and ended: nobody is to wait for it

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._server.began.wait(START_TIMEOUT_SECONDS) or not self._server.started:
            raise RuntimeError(f"the server on {self.url} did not start")
        return self

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
