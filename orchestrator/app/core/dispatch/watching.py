"""Standing watch: passes of every stage as soon as one is asked for, one after the other, for as long as a process lives.

A pass is one statement, and what it hands out is not waited for. What a nudge asks for while a pass claims is one more
pass, however many ask.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import asyncpg
from opentelemetry.instrumentation.utils import suppress_instrumentation

from app.core.dispatch.dispatching import Dispatcher
from app.core.dispatch.hand_outs import HandOut
from app.core.dispatch.pipeline import PIPELINE, StageDefinition
from ml_shared.errors import ServiceError
from ml_shared.names import Stage

LEAST_SECONDS: Final = 0.02
# before a lane that opens just now is looked at: PostgreSQL's clock has to have come that far

logger = logging.getLogger(__name__)

SecondsToNextLane = Callable[[], Awaitable[float | None]]


class Watch:
    """Makes passes whenever `ask` asks for one, when a host's time has come, and else regularly.

    Parameters
    ----------
    seconds_to_next_lane
        When the next host may be asked, if a job waits for one.
    interval_seconds
        Between passes that nobody asked for: an outage's end, and a nudge that was lost.
    """

    def __init__(
        self, dispatcher: Dispatcher, seconds_to_next_lane: SecondsToNextLane, *, interval_seconds: float
    ) -> None:
        self._dispatcher = dispatcher
        self._seconds_to_next_lane = seconds_to_next_lane
        self._interval_seconds = interval_seconds
        self._asked = {definition.stage: asyncio.Event() for definition in PIPELINE}
        self._under_way: set[asyncio.Task[None]] = set()

    def ask(self, stage: Stage) -> None:
        """Ask for a pass of a stage."""
        self._asked[stage].set()

    async def stand(self) -> None:
        """Make passes until cancelled; then wait for what is being handed out."""
        try:
            async with asyncio.TaskGroup() as group:
                for definition in PIPELINE:
                    group.create_task(self._keep(definition), name=f"watch-{definition.stage}")
        finally:
            if self._under_way:
                await asyncio.wait(self._under_way)

    async def _keep(self, definition: StageDefinition) -> None:
        asked = self._asked[definition.stage]
        while True:
            asked.clear()
            seconds = self._interval_seconds
            try:
                for job in await self._claim(definition.stage):
                    self._start(job)
                if definition.by_host and not asked.is_set():  # or the next pass comes at once, and looks itself
                    seconds = min(seconds, await self._seconds_to_lane())
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ServiceError) as error:
                logger.warning("pass_failed", extra={"failed_stage": definition.stage, "reason": type(error).__name__})
                asked.clear()  # the database is away: it is asked again in a while, not by whoever nudges
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await asked.wait()

    async def _claim(self, stage: Stage) -> list[HandOut]:
        # Nobody reads the trace of a pass: what it hands out has a span in the job's own. Shielded, for a claim that is
        # cut off may have been made, and then waits for its leases to run out.
        with suppress_instrumentation():
            claiming = asyncio.ensure_future(self._dispatcher.claim(stage))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            for job in await claiming:
                self._start(job)
            raise

    async def _seconds_to_lane(self) -> float:
        with suppress_instrumentation():
            seconds = await self._seconds_to_next_lane()
        return self._interval_seconds if seconds is None else max(seconds, LEAST_SECONDS)

    def _start(self, job: HandOut) -> None:
        handing = asyncio.create_task(self._hand_out(job))
        self._under_way.add(handing)
        handing.add_done_callback(self._under_way.discard)

    async def _hand_out(self, job: HandOut) -> None:
        for following in await self._dispatcher.hand_out(job):
            self.ask(following)
