"""Standing watch: passes of every stage as soon as one is asked for, one after the other, for as long as a process lives.

A pass is one statement, and what it hands out is not waited for. What a nudge asks for while a pass claims is one more
pass, however many ask. Under load they ask all the time: then passes of a stage keep a little distance, and each finds
several jobs, which travel together.
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

REST_SECONDS: Final = 0.04
# From one pass of a stage to the next, if that one found little. A page that comes alone meets no pass before its own; while
# workers have twice as much as they work on, none of them waits for this
LONG_REST_SECONDS: Final = 0.16
# while one pass after the other is asked for at once: then there is work for longer than this in the queues
GROWTH: Final = 2.0
# of the rest, with each pass that was asked for during the one before
PLENTY: Final = 4
# jobs of one pass after which the next may come at once
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
        now = asyncio.get_running_loop().time
        rest = REST_SECONDS
        while True:
            asked.clear()
            seconds, began, found = self._interval_seconds, now(), 0
            try:
                jobs = await self._claim(definition)
                found = len(jobs)
                if definition.by_host and not asked.is_set():  # or the next pass comes soon, and looks itself
                    seconds = min(seconds, await self._seconds_to_lane())
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ServiceError) as error:
                logger.warning("pass_failed", extra={"failed_stage": definition.stage, "reason": type(error).__name__})
                asked.clear()  # the database is away: it is asked again in a while, not by whoever nudges
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await asked.wait()
            early = began + rest - now()
            if early > 0 and found < PLENTY:
                await asyncio.sleep(early)
            rest = min(rest * GROWTH, LONG_REST_SECONDS) if early > 0 else REST_SECONDS

    async def _claim(self, definition: StageDefinition) -> list[HandOut]:
        # Nobody reads the trace of a pass: what it hands out has a span in the job's own. Shielded, for a claim that is
        # cut off may have been made, and then waits for its leases to run out.
        with suppress_instrumentation():
            claiming = asyncio.ensure_future(self._dispatcher.claim(definition.stage))
        try:
            jobs = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            self._start(definition, await claiming)
            raise
        self._start(definition, jobs)
        return jobs

    async def _seconds_to_lane(self) -> float:
        with suppress_instrumentation():
            seconds = await self._seconds_to_next_lane()
        return self._interval_seconds if seconds is None else max(seconds, LEAST_SECONDS)

    def _start(self, definition: StageDefinition, jobs: list[HandOut]) -> None:
        # one that is worked on here is waited for by itself, those for a queue travel together
        together = [[job] for job in jobs] if definition.read_answer is not None else [jobs] if jobs else []
        for each in together:
            handing = asyncio.create_task(self._hand_out(each))
            self._under_way.add(handing)
            handing.add_done_callback(self._under_way.discard)

    async def _hand_out(self, jobs: list[HandOut]) -> None:
        for following in await self._dispatcher.hand_out(jobs):
            self.ask(following)
