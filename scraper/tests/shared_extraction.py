"""One extraction process for all the tests of a run that are about something else: half a second of work each time, otherwise."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from app.core.discovery.listing import Listing
from app.core.extraction.pool import ExtractionPool
from app.core.extraction.result import Extract


class SharedExtraction:
    """A real pool on a loop of its own: each test has another loop, and a process belongs to the one that started it."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="shared-extraction", daemon=True)
        self._stack = AsyncExitStack()
        self._pool: ExtractionPool

    def __enter__(self) -> Self:
        self._thread.start()
        opening = self._stack.enter_async_context(ExtractionPool.open(size=1, timeout_seconds=self._timeout))
        self._pool = asyncio.run_coroutine_threadsafe(opening, self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def pids(self) -> list[int]:
        """As `ExtractionPool` does."""
        return self._pool.pids

    async def _there(self, asked: Coroutine[Any, Any, Any]) -> Any:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asked, self._loop))

    async def expect(self) -> None:
        """As `ExtractionPool` does."""
        await self._there(self._pool.expect())

    async def extract(self, page: bytes, **options: Any) -> Extract:
        """As `ExtractionPool` does."""
        found: Extract = await self._there(self._pool.extract(page, **options))
        return found

    async def read_list(self, body: bytes, **options: Any) -> Listing:
        """As `ExtractionPool` does."""
        found: Listing = await self._there(self._pool.read_list(body, **options))
        return found
