"""Rendering a page: its scripts run in a browser of its own, and what is there when they have come to rest is the page."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from app.core.errors import PageTooLargeError, RenderError
from app.core.fetching.visiting import Page, Visitor
from app.core.rendering.answering import Answerer
from app.core.rendering.bounds import RenderBounds
from app.core.rendering.connection import CommandError, Connection
from ml_shared.errors import ServiceError

REST_SECONDS: Final = 0.5
# without a request, after the page was loaded; then its text has to stay as long as it is
LITTLE_TEXT_CHARACTERS: Final = 200
PATIENCE_SECONDS: Final = 3.0
# more for a page that says so little: something may come that no request tells of
_GLANCE_SECONDS: Final = 0.1
_START_SECONDS: Final = 30.0
# for its first command: the browser may have been started just for this page, which takes seconds where cores are few
_READ_SECONDS: Final = 5.0
_BUSY_SECONDS: Final = 2.0
# for a page whose scripts leave no room for a question
_MESSAGE_BYTES_A_CHARACTER: Final = 6
# the longest that one gets in JSON
_QUIET: Final = "alert = print = () => {}; confirm = () => false; prompt = () => null;"
# there is nobody to ask. A page that gets hold of the real ones is answered no, at every question
_VIEWPORT: Final = {"width": 1280, "height": 4000, "deviceScaleFactor": 1, "mobile": False}
# tall, for pages that load what comes into view


@dataclass(frozen=True)
class Rendered:
    """What came of a page.

    Attributes
    ----------
    page
        The one that it was in the end: scripts may have gone on to another address.
    body
        HTML, in UTF-8; `None` where its scripts went on to a document that no browser builds.
    curtailed
        Whether something that it is made of did not come, for want of time or room.
    refusal
        Why it could not go where its scripts wanted, if it could not.
    """

    page: Page
    body: bytes | None
    curtailed: bool
    refusal: ServiceError | None


async def render(socket: str, visitor: Visitor, page: Page, *, agent: str, bounds: RenderBounds) -> Rendered:
    """Render a page that was fetched.

    Parameters
    ----------
    socket
        The renderer's.
    agent
        What the page's scripts are told as the browser's name.

    Raises
    ------
    RendererUnavailableError
        If there is no browser, or none is free.
    RenderError
        If its browser crashed, or was ended.
    PageTooLargeError
        If what came of it is longer than a page may be.
    """
    longest = bounds.max_page_bytes * _MESSAGE_BYTES_A_CHARACTER
    async with Connection.open(socket, max_message_bytes=longest) as connection:
        try:
            async with _opened(connection, agent) as (session, frame):
                return await _rendered(connection, session, frame, visitor, page, bounds)
        except (CommandError, TimeoutError) as error:
            raise connection.gone or RenderError("the page's browser did not do as it was told") from error


@asynccontextmanager
async def _opened(connection: Connection, agent: str) -> AsyncIterator[tuple[str, str]]:
    """Open a page in a context of its own; yield its session and its main frame."""
    created = await connection.call("Target.createBrowserContext", {"disposeOnDetach": True}, seconds=_START_SECONDS)
    context = created["browserContextId"]
    try:
        of_context = {"browserContextId": context}
        await connection.call("Browser.setDownloadBehavior", {"behavior": "deny", **of_context})
        target = (await connection.call("Target.createTarget", {"url": "about:blank", **of_context}))["targetId"]
        attached = await connection.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        session = attached["sessionId"]
        await asyncio.gather(
            connection.call("Fetch.enable", {"patterns": [{"urlPattern": "*"}]}, session),
            connection.call("Page.enable", {}, session),
            connection.call("Page.addScriptToEvaluateOnNewDocument", {"source": _QUIET}, session),
            connection.call("Inspector.enable", {}, session),
            connection.call("Emulation.setUserAgentOverride", {"userAgent": agent}, session),
            connection.call("Emulation.setDeviceMetricsOverride", _VIEWPORT, session),
        )
        yield session, target  # a page's main frame has its target's id
    finally:
        await connection.end("Target.disposeBrowserContext", {"browserContextId": context})


async def _rendered(
    connection: Connection, session: str, frame: str, visitor: Visitor, page: Page, bounds: RenderBounds
) -> Rendered:
    until = asyncio.get_running_loop().time() + bounds.seconds
    answerer = Answerer(
        *(connection, session, visitor, page),
        frame=frame,
        until=until,
        max_requests=bounds.max_requests,
        max_bytes=bounds.max_bytes,
    )
    watch = _Watch(connection, session, frame, answerer, until)
    try:
        await watch.rest(page.answer.url)
        if answerer.is_elsewhere:
            return Rendered(answerer.page, None, curtailed=False, refusal=None)
        html = await watch.read(bounds.max_page_bytes)
    finally:
        await answerer.close()
    if html is None or len(body := html.encode("utf-8", "replace")) > bounds.max_page_bytes:
        raise PageTooLargeError(f"the rendered page is longer than {bounds.max_page_bytes} bytes")
    return Rendered(answerer.page, body, answerer.curtailed, answerer.refusal)


class _Watch:
    """Waits for a page to come to rest, and reads it."""

    def __init__(self, connection: Connection, session: str, frame: str, answerer: Answerer, until: float) -> None:
        self._connection = connection
        self._session = session
        self._frame = frame
        self._answerer = answerer
        self._until = until
        self._loaded_at: float | None = None
        connection.on("Fetch.requestPaused", answerer.paused)
        connection.on("Page.frameStoppedLoading", self._stopped)  # loaded, or kept from being
        connection.on("Page.frameStartedLoading", self._began)
        connection.on("Page.javascriptDialogOpening", lambda _: self._dismiss())
        connection.on("Inspector.targetCrashed", lambda _: connection.fail("the page made its browser crash"))

    def _stopped(self, event: dict[str, Any]) -> None:
        if event.get("frameId") == self._frame:
            self._loaded_at = asyncio.get_running_loop().time()

    def _began(self, event: dict[str, Any]) -> None:
        if event.get("frameId") == self._frame:
            self._loaded_at = None

    def _dismiss(self) -> None:
        self._connection.tell("Page.handleJavaScriptDialog", {"accept": False}, self._session)

    async def rest(self, url: str) -> None:
        """Load the page, and wait until it has come to rest, or its time is up."""
        clock = asyncio.get_running_loop().time
        self._connection.tell("Page.navigate", {"url": url}, self._session)
        length, resting_since = -1, 0.0
        while not (self._connection.gone or self._answerer.is_flooded or self._answerer.is_elsewhere):
            await asyncio.sleep(_GLANCE_SECONDS)
            if clock() >= self._until:
                self._answerer.curtailed = True
                self._connection.tell("Runtime.terminateExecution", session=self._session)
                return
            if self._loaded_at is None or self._answerer.in_flight:
                length = -1
                continue
            since = max(self._loaded_at, self._answerer.rested_at)
            if clock() - since < REST_SECONDS or clock() - resting_since < REST_SECONDS:
                continue
            before, length, resting_since = length, await self._glance(), clock()
            if length == before != -1 and (length >= LITTLE_TEXT_CHARACTERS or clock() - since >= PATIENCE_SECONDS):
                return

    async def _glance(self) -> int:
        """Return how much text the page shows; -1 while its scripts leave no room for the question."""
        try:
            return int(await self._evaluate("glance()", _BUSY_SECONDS))
        except (CommandError, TimeoutError):  # the latter also where it just goes on to another page
            return -1

    async def read(self, max_characters: int) -> str | None:
        """Return the page as HTML, its scripts stopped; `None` if it is too long.

        Raises
        ------
        RenderError
            If it does not answer.
        """
        with suppress(CommandError, TimeoutError):
            return await self._read(max_characters)
        self._connection.tell("Runtime.terminateExecution", session=self._session)
        try:
            return await self._read(max_characters)
        except (CommandError, TimeoutError) as error:
            raise self._connection.gone or RenderError("the page's scripts never stop") from error

    async def _read(self, max_characters: int) -> str | None:
        read = await self._evaluate(f"read({max_characters})", _READ_SECONDS)
        return None if read is None else str(read)

    async def _evaluate(self, expression: str, seconds: float) -> Any:
        """Run a function of ours, out of reach of the page's own."""
        async with asyncio.timeout(seconds):
            world = await self._connection.call("Page.createIsolatedWorld", {"frameId": self._frame}, self._session)
            found = await self._connection.call(
                "Runtime.evaluate",
                {
                    "expression": f"{_script()}; {expression}",
                    "contextId": world["executionContextId"],
                    "returnByValue": True,
                },
                self._session,
            )
        if "exceptionDetails" in found:
            raise CommandError(str(found["exceptionDetails"].get("text", ""))[:500])
        return found.get("result", {}).get("value")


@cache
def _script() -> str:
    return files(__package__).joinpath("reading.js").read_text()
