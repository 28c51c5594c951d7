"""What the fakes of our own services have in common: who may call, and how they fail when a test wants them to."""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ml_shared.names import Header
from ml_shared.testing.http_server import ServedFake, ThreadedServer
from ml_shared.testing.servers import free_port

WAIT_SECONDS: Final = 40.0
USER: Final = "user"
"""Who calls with a key that is no service's."""

Handler = Callable[[Request, bytes, str], Response]
"""Answers a request with a body of a caller: the name of a service, or `USER`; `""` where nobody is asked for a key."""


class FakePeer(ServedFake):
    """One of our services on a free port, until the `with` block ends.

    Parameters
    ----------
    routes
        Method, path and handler of each.
    prefix
        A path before the routes, as the gateway's `/api/orchestrator`.
    callers
        Raw keys, and whose each is: a service's name, or `USER`. Without it nobody is asked for a key.

    Attributes
    ----------
    failures
        Statuses to answer the next requests with, one each, before anything else.
    status
        A status to answer every request with; `None` for none.
    failure_code, failure_retry_after
        Code of those problem documents, and their `Retry-After`.
    delay_seconds
        How long each answer takes.
    loses_answers
        Whether requests are carried out, and the connection then ends before the answer.
    requests
        How many requests arrived, by path.
    """

    def __init__(
        self,
        routes: list[tuple[str, str, Handler]],
        *,
        prefix: str = "",
        callers: Mapping[str, str] | None = None,
    ) -> None:
        self._prefix = prefix
        self._callers = callers
        self._changed = threading.Condition()
        self._lives = 0
        self._app = Starlette(
            routes=[Route(prefix + path, self._guarded(handler), methods=[method]) for method, path, handler in routes]
        )
        # not one of those that connections going out have: it is to be free again after `refusing`
        self._server = ThreadedServer(self._app, port=free_port())
        self.reset()

    @property
    def url(self) -> str:
        """Its base URL, without a slash at the end."""
        return self._server.url + self._prefix

    def reset(self) -> None:
        """Forget everything, and serve. A request that has been sent belongs to the life before."""
        self._server.settle()
        with self._changed:
            self._lives += 1
        self.failures: list[int] = []
        self.status: int | None = None
        self.failure_code = "made_to_fail"
        self.failure_retry_after: str | None = None
        self.delay_seconds = 0.0
        self.loses_answers = False
        self.requests: Counter[str] = Counter()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Let nothing listen on its port within the block."""
        port = self._server.port
        self._server.__exit__(None, None, None)
        kept = socket.socket()  # or a connection that goes out meanwhile could have its port
        try:
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.bind((self._server.host, port))
            yield
        finally:
            kept.close()
            self._server = ThreadedServer(self._app, port=port)
            self._server.__enter__()

    def wait_until(self, condition: Callable[[], bool], timeout_seconds: float = WAIT_SECONDS) -> None:
        """Wait until what has arrived fulfils a condition.

        Raises
        ------
        TimeoutError
            If it does not in time.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while not condition():
                if not self._changed.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    raise TimeoutError(f"not within {timeout_seconds} s; {self._summary()}")

    def _summary(self) -> str:
        return f"requests: {dict(self.requests)}"

    def _guarded(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            life = self._lives
            with self._changed:  # told of at once: what is made to fail has arrived too
                self.requests[request.url.path] += 1
                self._changed.notify_all()
            body = await request.body()  # before the delay, after which the caller may have gone
            await asyncio.sleep(self.delay_seconds)
            with self._changed:  # which `reset` waits for: no request is half of this life
                if life != self._lives:  # nobody waits for this answer, and what is to fail is another test's
                    return problem(503, "unavailable", "it was reset meanwhile")
                answer = self._answered(handler, request, body)
                self._changed.notify_all()
            return answer

        return endpoint

    def _answered(self, handler: Handler, request: Request, body: bytes) -> Response:
        status = self.failures.pop(0) if self.failures else self.status
        if status is not None:
            headers = {} if self.failure_retry_after is None else {Header.RETRY_AFTER: self.failure_retry_after}
            return problem(status, self.failure_code, "the test wanted it to fail", headers=headers)
        caller = self._caller(request)
        if isinstance(caller, Response):
            return caller
        answer = handler(request, body, caller)
        return _LostAnswer(answer) if self.loses_answers else answer

    def _caller(self, request: Request) -> str | Response:
        if self._callers is None:
            return ""
        key = request.headers.get(Header.API_KEY) or request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not key:
            return problem(401, "missing_api_key", "no API key")
        caller = self._callers.get(key)
        return caller if caller is not None else problem(401, "invalid_api_key", "not a valid key")


class _LostAnswer(Response):
    """The head of an answer, after which the connection ends."""

    def __init__(self, answer: Response) -> None:
        super().__init__(status_code=answer.status_code)
        self._length = max(len(answer.body), 1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = [(b"content-type", b"application/json"), (b"content-length", str(self._length).encode())]
        await send({"type": "http.response.start", "status": self.status_code, "headers": head})


def problem(status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem document as our services answer it, as far as a client reads it."""
    body = {"type": "about:blank", "status": status, "code": code, "detail": detail}
    return JSONResponse(body, status, headers, "application/problem+json")
