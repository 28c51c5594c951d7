"""Processes to extract in, started when they are needed, kept warm, and killed when a page is too much for them.

Of subprocesses rather than `multiprocessing`: a Celery child may have no children of that kind, and a fork would take
the service's secrets and connections along.
"""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self

import orjson

from app.core.discovery.listing import Listing
from app.core.errors import (
    ChallengePageError,
    EmptyContentError,
    EncryptedError,
    ExtractionError,
    LoginRequiredError,
    NotAListError,
    NoTextLayerError,
    PageTooLargeError,
    UnsupportedContentTypeError,
)
from app.core.extraction.frames import FRAME_MAX_BYTES, LENGTH, frame
from app.core.extraction.result import Extract
from ml_shared.errors import ServiceError, UnavailableError
from ml_shared.shares import Places

START_TIMEOUT_SECONDS: Final = 30.0
MEMORY_MAX_BYTES: Final = 1_024 * 2**20
# of address space; a table of 100,000 rows takes half of it
PAGES_A_PROCESS: Final = 500
# then it is replaced: parsers and their caches grow
PAGES_TO_WAIT_FOR: Final = 2
# of the slowest kind, for a process to come free; the answer's own deadline is not longer
_HOME: Final = Path(__file__).parents[3]
_ERRORS: Final = {
    error.code: error
    for error in (
        *(ChallengePageError, LoginRequiredError, EmptyContentError, NoTextLayerError, EncryptedError),
        *(ExtractionError, NotAListError, PageTooLargeError, UnsupportedContentTypeError),
    )
}
# what `extract` raises, to be raised again on this side
_KILL_MARGIN_SECONDS: Final = 2.0
# its own clock kills a process that much later than we do


class ExtractionPool:
    """At most so many extraction processes: each takes 33 MB, so there is none that has not been needed yet.

    Parameters
    ----------
    size
        How many pages are extracted at once; more wait.
    timeout_seconds
        Longest time for one page.
    """

    def __init__(self, size: int, timeout_seconds: float, *, memory_bytes: int = MEMORY_MAX_BYTES) -> None:
        self._workers = [_Worker(memory_bytes) for _ in range(size)]
        self._idle = list(self._workers)
        self._timeout = timeout_seconds
        self._places = Places(
            "processes to extract in",
            size,
            share=size - 1,
            wait_seconds=PAGES_TO_WAIT_FOR * timeout_seconds,
            instead="read fewer pages at once, or use POST /enqueue",
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls, *, size: int, timeout_seconds: float, memory_bytes: int = MEMORY_MAX_BYTES
    ) -> AsyncIterator[Self]:
        """Open a pool, in which no process runs yet."""
        pool = cls(size, timeout_seconds, memory_bytes=memory_bytes)
        try:
            async with pool._places.opened():
                yield pool
        finally:
            for worker in pool._workers:
                await worker.stop()

    @property
    def pids(self) -> list[int]:
        """Ids of the processes that run."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    async def expect(self) -> None:
        """Have a process for a page that is being fetched: one that is to be started imports its parsers meanwhile."""
        if self._idle and not any(worker.pid for worker in self._idle):
            with suppress(UnavailableError):  # whoever has the page is told
                await self._idle[0].spawn()

    async def extract(
        self,
        page: bytes,
        *,
        url: str,
        media_type: str,
        charset: str | None,
        refresh: str | None = None,
        agent: str = "",
        caller: str = "",
    ) -> Extract:
        """Extract one page, as `extract.extract` does.

        A caller gets all processes but one at most, where there are several, and a process that comes free goes to
        whoever has fewest: whose pages all take the whole time then holds up nobody else's.

        Parameters
        ----------
        caller
            Who waits for it; "" for a worker's task, of which there is one at a time.

        Raises
        ------
        ChallengePageError, LoginRequiredError, EmptyContentError, NoTextLayerError, EncryptedError, UnsupportedContentTypeError
            As `extract.extract` says.
        ExtractionError
            If it took too long or too much memory, or broke the parser. The process is gone, its successor starts.
        PageTooLargeError
            If its text is too long.
        UnavailableError
            If no process can be started, or none comes free.
        ShareTakenError
            If too many of the caller's pages wait for one.
        """
        request = {
            "url": url,
            "media_type": media_type,
            "charset": charset,
            "refresh": refresh,
            "agent": agent,
        }
        return Extract(**(await self._asked(request, page, caller))["extract"])

    async def read_list(
        self, body: bytes, *, url: str, charset: str | None, cut: bool, anchors: bool = False, caller: str = ""
    ) -> Listing:
        """Read what a document lists, as `app.core.discovery.documents.read_list` does.

        Raises
        ------
        NotAListError
            If it lists nothing.
        ServiceError
            As `extract` does for a document that is too much for a process.
        """
        request = {"lists": True, "url": url, "charset": charset, "cut": cut, "anchors": anchors}
        return Listing(**(await self._asked(request, body, caller))["listing"])

    async def _asked(self, request: dict[str, Any], page: bytes, caller: str) -> dict[str, Any]:
        request |= {"timeout_seconds": self._timeout + _KILL_MARGIN_SECONDS}
        async with self._places.taken(caller):
            worker = next((one for one in self._idle if one.pid), self._idle[0])
            self._idle.remove(worker)
            try:
                return await worker.ask(orjson.dumps(request), page, self._timeout)
            finally:
                self._idle.append(worker)


class _Worker:
    """One process, and its successors."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._process: Process | None = None
        self._starting = asyncio.Lock()
        self._ready = False
        self._pages = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def spawn(self) -> None:
        """Start the process, unless it runs."""
        async with self._starting:  # one for a page that is expected, and that page, may want it at once
            if self._is_gone():
                await self.stop()
                await self._spawn()

    async def _spawn(self) -> None:
        self._ready, self._pages = False, 0
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "app.core.extraction.worker",
                str(self._memory_bytes),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                cwd=_HOME,
                env={"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": str(_HOME)},
                start_new_session=True,  # a terminal's Ctrl-C is for the service
            )
        except OSError as error:
            raise UnavailableError("no process to extract in can be started", retry_after_seconds=5.0) from error

    async def ask(self, request: bytes, page: bytes, timeout_seconds: float) -> dict[str, Any]:
        """Have a page read; return what was found.

        Raises
        ------
        ServiceError
            What was raised over there, or that it took too long or broke the process.
        """
        whole = False
        try:
            await self._make_ready()
            answer = await self._ask(request, page, timeout_seconds)
            whole = True
        finally:
            if not whole:  # killed, broken, or given up in the middle of an answer
                await self.stop()
        self._pages += 1
        if self._pages >= PAGES_A_PROCESS:
            await self.stop()
        return _understood(answer)

    async def _make_ready(self) -> None:
        await self.spawn()
        if self._ready:
            return
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                await self._read_frame()
        except (TimeoutError, EOFError, OSError) as error:
            raise UnavailableError("the process to extract in did not start", retry_after_seconds=5.0) from error
        self._ready = True

    def _is_gone(self) -> bool:
        process = self._process
        if process is None or process.returncode is not None:
            return True
        try:  # until 3.12 a thread takes leave of a process that ended, and the loop hears of it some turns later
            os.kill(process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    async def _ask(self, request: bytes, page: bytes, timeout_seconds: float) -> bytes:
        assert self._process is not None and self._process.stdin is not None  # noqa: S101, PT018 - after _make_ready
        try:
            async with asyncio.timeout(timeout_seconds):
                self._process.stdin.write(frame(request) + frame(page))
                await self._process.stdin.drain()
                return await self._read_frame()
        except TimeoutError as error:
            raise ExtractionError(f"the page took more than {timeout_seconds:g} s to turn into text") from error
        except (EOFError, OSError) as error:
            raise ExtractionError("the page broke the process that was to turn it into text") from error

    async def _read_frame(self) -> bytes:
        assert self._process is not None and self._process.stdout is not None  # noqa: S101, PT018
        length = LENGTH.unpack(await self._process.stdout.readexactly(LENGTH.size))[0]
        if length > FRAME_MAX_BYTES:
            raise OSError(f"a frame of {length} bytes")
        return await self._process.stdout.readexactly(length)

    async def stop(self) -> None:
        """Kill the process, if there is one, and take leave of it."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


def _understood(answer: bytes) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads(answer)
    if "code" not in told:
        return told
    error: type[ServiceError] = _ERRORS.get(told["code"], ExtractionError)
    raise error(told["detail"])
