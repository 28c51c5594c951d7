"""What a page's browser gets from the network: nothing but what is decided and fetched here.

Scripts, and what they read (`fetch`, XMLHttpRequest), are fetched as pages are. Style sheets are answered with an empty one,
which lets a script that waits for it go on. All else is refused: no picture, font, film, frame, beacon or stream is text of
the page. A redirect of a part goes back to the browser, which asks for where it leads.
"""

import asyncio
import base64
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.core.errors import HostBusyError, HttpStatusError, PageTooLargeError
from app.core.fetching.requests import Answer
from app.core.fetching.visiting import NOT_MODIFIED, Page, Part, Visitor
from app.core.rendering.connection import Connection
from app.core.rendering.markup import as_markup, is_markup
from app.core.telemetry import PartOutcome, count_part
from ml_shared.errors import ServiceError
from ml_shared.web.urls import InvalidUrlError, host_of, normalise_url

PARTS_AT_ONCE: Final = 6
# as many as browsers have open to one host
PAUSED_MAX: Final = 2_000
# requests that a page may make, refused ones too, before what it has by then is taken
_FETCHED: Final = frozenset({"Script", "XHR", "Fetch"})
_REFUSED: Final = "BlockedByClient"
_FAILED: Final = "Failed"
_ABORTED: Final = "Aborted"
# keeps a navigation from replacing the document that there is
_PASSED_ON: Final = {"accept": "Accept", "origin": "Origin", "x-requested-with": "X-Requested-With"}
# what decides over an answer without saying who asks: no cookie, no Authorization, no Referer, and our own User-Agent
_KEPT_BACK: Final = frozenset(
    {
        "accept-ch",
        "alt-svc",
        "clear-site-data",
        "connection",
        "content-disposition",
        "content-encoding",
        "content-length",
    }
    | {"keep-alive", "link", "nel", "refresh", "report-to", "reporting-endpoints", "set-cookie", "trailer"}
    | {"strict-transport-security", "transfer-encoding"}
)
_STYLE: Final = Answer("", 200, {"content-type": "text/css", "access-control-allow-origin": "*"}, b"/**/")
_PREFLIGHT: Final = Answer(
    "",
    204,
    {
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "GET",
        "access-control-allow-headers": "*, Authorization",
    },
)
# asked before a request that is to be made; it is the request that is answered by the site


@dataclass(frozen=True)
class Asked:
    """A request that waits in the browser."""

    id: str
    url: str
    method: str
    kind: str
    frame: str
    headers: Mapping[str, str]

    @classmethod
    def of(cls, event: dict[str, Any]) -> "Asked":
        """Read `Fetch.requestPaused`."""
        request = event["request"]
        headers = {name.lower(): str(value) for name, value in request.get("headers", {}).items()}
        return cls(
            event["requestId"],
            *(str(request["url"]), str(request["method"]), str(event.get("resourceType", ""))),
            str(event.get("frameId", "")),
            headers,
        )

    @property
    def is_for_now(self) -> bool:
        """Whether the page needs the answer, and it ends: no guess at what is wanted next, no stream of events."""
        return "sec-purpose" not in self.headers and "text/event-stream" not in self.headers.get("accept", "")


class Answerer:
    """Answers the requests of one page's browser.

    Parameters
    ----------
    page
        What the browser is given as the page itself.
    frame
        The page's main frame: what is asked for it as a document is a navigation.

    Attributes
    ----------
    page
        What it has as the page now: scripts may have gone on to another one.
    in_flight
        Requests that are being fetched.
    rested_at
        When the last of them was answered, by the loop's clock.
    curtailed
        Whether something that would have been fetched was not, for want of time or room.
    is_elsewhere
        Whether scripts went on to a document that is no page of HTML.
    refusal
        Why the page could not go where its scripts wanted, if it could not.
    """

    def __init__(
        self,
        connection: Connection,
        session: str,
        visitor: Visitor,
        page: Page,
        *,
        frame: str,
        until: float,
        max_requests: int,
        max_bytes: int,
    ) -> None:
        self.page = page
        self.in_flight = 0
        self.rested_at = asyncio.get_running_loop().time()
        self.curtailed = False
        self.is_elsewhere = False
        self.refusal: ServiceError | None = None
        self._connection = connection
        self._session = session
        self._visitor = visitor
        self._frame = frame
        self._mode = page.walk.visit.mode
        self._until = until
        self._requests_left = max_requests
        self._bytes_left = max_bytes
        self._paused = 0
        self._expected: str | None = page.answer.url
        self._slots = asyncio.Semaphore(PARTS_AT_ONCE)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_flooded(self) -> bool:
        """Whether the page asks for more than anybody answers."""
        return self._paused > PAUSED_MAX

    def paused(self, event: dict[str, Any]) -> None:
        """Answer a request: at once, or in a task of its own."""
        asked = Asked.of(event)
        self._paused += 1
        if self.is_flooded:
            self.curtailed = True
            self._fail(asked, _REFUSED)
        elif not asked.url.startswith(("http://", "https://")):
            self._fail(asked, _REFUSED)
        elif asked.kind == "Document":
            self._document(asked)
        elif asked.method == "OPTIONS":
            self._fulfil(asked, _PREFLIGHT)
        elif asked.method != "GET":  # what changes things on somebody's site is not ours to send
            self._fail(asked, _REFUSED)
        elif asked.kind == "Stylesheet":
            self._fulfil(asked, _STYLE)
        elif asked.kind in _FETCHED and asked.frame == self._frame and asked.is_for_now:
            self._read(asked)
        else:
            self._fail(asked, _REFUSED)

    async def close(self) -> None:
        """Drop what is still being fetched."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _document(self, asked: Asked) -> None:
        if asked.frame != self._frame or asked.method != "GET":
            self._fail(asked, _REFUSED if asked.frame != self._frame else _ABORTED)
        elif self._expected is not None:
            # the page itself, or the end of the redirects that the browser was told of
            self._expected = None
            self._fulfil(asked, as_markup(self.page.answer))
        else:
            self._start(asked, self._navigation(asked))

    def _start(self, asked: Asked, work: Any) -> None:
        self.in_flight += 1
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.in_flight -= 1
        self.rested_at = asyncio.get_running_loop().time()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._connection.fail(f"a request of the page could not be answered: {type(error).__name__}")

    async def _navigation(self, asked: Asked) -> None:
        """Go where the page's scripts send it: a redirect like any other, and counted with them."""
        try:
            page = await self._visitor.read_on(self.page, normalise_url(asked.url))
            if page.answer.status == NOT_MODIFIED:
                raise HttpStatusError(page.answer.status)
        except ServiceError as error:
            self.refusal = error
            self._fail(asked, _ABORTED)
            return
        self.page = page
        if not is_markup(page.answer):
            self.is_elsewhere = True
            self._fail(asked, _ABORTED)
        elif page.answer.url == asked.url:
            self._fulfil(asked, as_markup(page.answer))
        else:
            self._expected = page.answer.url
            self._fulfil(asked, Answer("", 302, {"location": page.answer.url}))

    def _read(self, asked: Asked) -> None:
        try:
            url = normalise_url(asked.url)
        except InvalidUrlError:
            self._fail(asked, _REFUSED)
            return
        if self._requests_left <= 0:
            self._cut(asked)
            return
        self._requests_left -= 1
        self._start(asked, self._part(asked, url))

    async def _part(self, asked: Asked, url: str) -> None:
        async with self._turns[host_of(url)], self._slots:
            part = await self._fetched(asked, url)
        if part is not None:
            count_part(PartOutcome.KEPT if part.was_kept else PartOutcome.FETCHED, self._mode)
            self._bytes_left -= len(part.answer.body)
            self._fulfil(asked, part.answer)

    async def _fetched(self, asked: Asked, url: str) -> Part | None:
        """Return a part, waiting for its host's turn for as long as there is time; or refuse it."""
        headers = {name: asked.headers[key] for key, name in _PASSED_ON.items() if key in asked.headers}
        while (seconds := self._until - asyncio.get_running_loop().time()) > 0 and self._bytes_left > 0:
            try:
                return await self._visitor.read_part(
                    *(self.page, url, headers),
                    seconds=seconds,
                    max_bytes=self._bytes_left,
                    lasting=asked.kind == "Script",
                )
            except HostBusyError as busy:
                wait = busy.retry_after_seconds or 1.0
                if wait >= seconds:
                    break
                await asyncio.sleep(wait)
            except PageTooLargeError:
                self._bytes_left = 0
            except ServiceError as error:
                self.curtailed = self.curtailed or error.retryable
                self._fail(asked, _FAILED)
                return None
        self._cut(asked)
        return None

    def _cut(self, asked: Asked) -> None:
        self.curtailed = True
        self._fail(asked, _FAILED)

    def _fail(self, asked: Asked, reason: str) -> None:
        count_part(PartOutcome.FAILED if reason == _FAILED else PartOutcome.REFUSED, self._mode)
        self._send("Fetch.failRequest", {"requestId": asked.id, "errorReason": reason})

    def _fulfil(self, asked: Asked, answer: Answer) -> None:
        headers = [
            {"name": name, "value": line}
            for name, value in answer.headers.items()
            if name not in _KEPT_BACK
            for line in value.split("\n")  # a header each, of one that came several times
        ]
        self._send(
            "Fetch.fulfillRequest",
            {
                "requestId": asked.id,
                "responseCode": answer.status,
                "responseHeaders": headers,
                "body": base64.b64encode(answer.body).decode(),
            },
        )

    def _send(self, method: str, parameters: dict[str, Any]) -> None:
        if self._connection.gone is None:
            self._connection.tell(method, parameters, self._session)
