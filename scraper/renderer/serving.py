"""Hands a Chromium to each connection on a socket, and takes it back.

    connection ──Chrome DevTools Protocol, JSON between zero bytes──  this  ──the same, over a pipe──  Chromium

A connection is a page. It begins with a zero byte, and is greeted with `{"ready": true}` once a browser is its own, or `{"busy": true}` when none came
free in time; then bytes go both ways until the connection ends. It is the other side that says what a page may have from
the network. Here is what holds whatever that side does: how many pages at once, for how long, in how much memory, and that
nothing of a page is left for the next.
"""

import asyncio
import contextlib
import json
import logging
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from renderer.browsers import END_OF_MESSAGE, READ_BYTES, Browser, can_be_sandboxed, find_browser

logger = logging.getLogger("renderer")

WATCH_SECONDS: Final = 0.25
STALLED_SECONDS: Final = 10.0
# for a side that takes nothing


@dataclass(frozen=True)
class Bounds:
    """What pages may have.

    Attributes
    ----------
    pages_at_once
        Each in a browser of its own.
    pages_each
        After so many a browser is ended.
    page_seconds
        The longest that a connection may last.
    page_bytes
        The most memory of a page's browser, all its processes together.
    wait_seconds
        How long a connection may wait for its turn.
    idle_seconds
        After so long without a page a browser is ended.
    """

    pages_at_once: int
    pages_each: int
    page_seconds: float
    page_bytes: int
    wait_seconds: float
    idle_seconds: float


class Browsers:
    """The browsers that there are: as many as pages are being made, and those that wait for the next."""

    def __init__(self, program: str, bounds: Bounds, *, sandboxed: bool) -> None:
        self._program = program
        self._bounds = bounds
        self._sandboxed = sandboxed
        self._slots = asyncio.Semaphore(bounds.pages_at_once)
        self._idle: list[tuple[Browser, float]] = []

    @contextlib.asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a turn.

        Raises
        ------
        TimeoutError
            If none came.
        """
        async with asyncio.timeout(self._bounds.wait_seconds):
            await self._slots.acquire()
        try:
            yield
        finally:
            self._slots.release()

    async def take(self) -> Browser:
        """Return one that nobody has."""
        if self._idle:
            return self._idle.pop()[0]
        return await Browser.start(self._program, sandboxed=self._sandboxed)

    async def give_back(self, browser: Browser, *, whole: bool) -> None:
        """Keep a browser for the next page, unless it has made enough of them, or something of the last one is left."""
        browser.pages += 1
        if whole and browser.pages < self._bounds.pages_each and await browser.is_clean():
            self._idle.append((browser, asyncio.get_running_loop().time()))
        else:
            await browser.end()

    async def end_idle(self) -> None:
        """End those that nobody has wanted for long: where nothing is rendered nothing is kept."""
        until = asyncio.get_running_loop().time() - self._bounds.idle_seconds
        old = [browser for browser, since in self._idle if since < until]
        self._idle = [(browser, since) for browser, since in self._idle if since >= until]
        for browser in old:
            await browser.end()

    async def end(self) -> None:
        """End all that wait."""
        while self._idle:
            await self._idle.pop()[0].end()


class Renderer:
    """Serves connections."""

    def __init__(self, browsers: Browsers, bounds: Bounds) -> None:
        self._browsers = browsers
        self._bounds = bounds

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, which is one page. One that asks for nothing costs no browser: a health check, say."""
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                if await reader.read(1) != END_OF_MESSAGE:
                    return
            async with self._browsers.slot():
                await self._page(reader, writer)
        except TimeoutError:
            await _say(writer, b'{"busy":true}')
        except OSError as error:
            logger.warning("a page ended early: %s", error)
        finally:
            writer.close()

    async def _page(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        browser = await self._browsers.take()
        why = "stopped"
        try:
            await _say(writer, b'{"ready":true}')
            why = await self._relayed(reader, writer, browser)
        finally:
            if why:
                logger.warning("a page ended early: %s", why)
                await _say(writer, END_OF_MESSAGE + json.dumps({"ended": why}).encode())
            await asyncio.shield(self._browsers.give_back(browser, whole=not why))

    async def _relayed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, browser: Browser) -> str:
        """Pass on what both sides say until one ends; return what is amiss with the browser, if something is."""
        said = asyncio.create_task(_pass_on(reader, browser.writer))
        heard = asyncio.create_task(_pass_on(browser.reader, writer))
        watched = asyncio.create_task(self._watch(browser))
        tasks = (said, heard, watched)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=self._bounds.page_seconds)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not done:
            return f"it took longer than {self._bounds.page_seconds:g} s"
        if watched in done:
            return f"its browser took more than {self._bounds.page_bytes} bytes"
        if heard in done:
            return "its browser ended, or its answers were not taken"
        failure = said.exception()
        return str(failure) if failure else ""

    async def _watch(self, browser: Browser) -> None:
        """Return once the page's browser takes too much memory."""
        taken = 0
        while taken <= self._bounds.page_bytes:
            await asyncio.sleep(WATCH_SECONDS)  # nobody tells of memory: it has to be looked at
            taken = await asyncio.to_thread(lambda: browser.memory_bytes)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    last = END_OF_MESSAGE
    while data := await reader.read(READ_BYTES):
        writer.write(data)
        async with asyncio.timeout(STALLED_SECONDS):
            await writer.drain()
        last = data[-1:]
    if last != END_OF_MESSAGE:
        raise ConnectionError("it ended within a message")


async def _say(writer: asyncio.StreamWriter, message: bytes) -> None:
    with contextlib.suppress(OSError, TimeoutError):
        writer.write(message + END_OF_MESSAGE)
        async with asyncio.timeout(STALLED_SECONDS):
            await writer.drain()


async def run(socket: Path, bounds: Bounds) -> None:
    """Serve until told to stop."""
    sandboxed = can_be_sandboxed()
    browsers = Browsers(find_browser(), bounds, sandboxed=sandboxed)
    renderer = Renderer(browsers, bounds)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pages: set[asyncio.Task[None]] = set()

    def page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(renderer.serve(reader, writer))
        pages.add(task)
        task.add_done_callback(pages.discard)

    async with await asyncio.start_unix_server(page, socket):
        logger.info("serving at %s, Chromium's sandbox %s", socket, "on" if sandboxed else "off")
        while not stop.is_set():
            await browsers.end_idle()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1)
    for task in pages:
        task.cancel()
    await asyncio.gather(*pages, return_exceptions=True)
    await browsers.end()
