"""Standing watch over runs: a pass as soon as something may be done for one, one after the other."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

import asyncpg
from opentelemetry.instrumentation.utils import suppress_instrumentation

from app.core.crawling import Crawling
from ml_shared.errors import ServiceError
from ml_shared.names import Stage

REST_SECONDS: Final = 0.2
# between passes: a window is far larger than what is fetched meanwhile

logger = logging.getLogger(__name__)


class RunsWatch:
    """Makes passes of runs when it hears that jobs have moved, and regularly.

    Parameters
    ----------
    ask
        Asks for a pass of a stage that has work now.
    interval_seconds
        Between passes that nothing asked for: what is due, and a word that was lost.
    """

    def __init__(self, crawling: Crawling, ask: Callable[[Stage], None], *, interval_seconds: float) -> None:
        self._crawling = crawling
        self._ask = ask
        self._interval_seconds = interval_seconds
        self._heard = asyncio.Event()

    def hear(self, stage: Stage | None) -> None:
        """Take a word: of a stage it matters while a run is under way, `None` is about runs."""
        if stage is None or self._crawling.busy:
            self._heard.set()

    async def stand(self) -> None:
        """Make passes until cancelled."""
        while True:
            self._heard.clear()
            try:
                with suppress_instrumentation():  # nobody reads the trace of a pass
                    stages = await self._crawling.go_on()
                for stage in stages:
                    self._ask(stage)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ServiceError) as error:
                logger.warning("runs_not_passed", extra={"reason": type(error).__name__})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_seconds):
                    await self._heard.wait()
            await asyncio.sleep(REST_SECONDS)
