"""Moving what was just written into vector indexes: in the background, in large steps, by one process at a time.

A row written into an HNSW index costs four times the CPU of one that the index is built with, and its writer waits for it. So
what is new is compared row by row, as the whole of a small owner is, until there is enough for a segment of its own; and segments
of like size become one, so that a search asks few. README.md has the figures.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import asyncpg
from opentelemetry.instrumentation.utils import suppress_instrumentation

from app.config import Settings
from app.core.metrics import SETTLE_SECONDS, SETTLED_ROWS
from app.core.storage.models import Model
from app.core.storage.pool import store_errors
from app.core.storage.segments import (
    Holder,
    Mover,
    Segment,
    are_left_over,
    glance,
    large_owners,
    moving,
    read_holder,
)
from ml_shared.errors import ServiceError
from ml_shared.storage.postgres import SharedPool

logger = logging.getLogger(__name__)

TAIL_ROWS: Final = 5_000
# compared row by row in about 5 ms
LOADED_ROWS: Final = 50_000
# What a tail may grow to while a load goes on: so a load is built into one segment, or into few
GROWING: Final = 1.1
# a tail that is so much longer than at the last look is being loaded
MERGE_RATIO: Final = 3
# A segment becomes part of a new one that has at least a third of its rows. So each has four times the rows of the next, and
# an owner of a million has four or five
DEAD_SHARE: Final = 0.5
# of a segment's rows, from which on it is built anew: an index keeps its deleted rows until a vacuum, and its graph for good
LOOK_SECONDS: Final = 15.0
WAIT_SECONDS: Final = 1.0
# for another process' step


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done for an owner: a segment from the end of another (or 0) on, in place of those behind it."""

    after: int
    up_to: int | None
    """`None` is all that there is."""
    rows: int
    instead_of: Sequence[Segment] = ()


def next_step(holder: Holder, *, tail_rows: int, most_rows: int) -> Step | None:
    """Return the next step for an owner, `None` where all is as it should be.

    Parameters
    ----------
    tail_rows
        From how many on a tail becomes a segment.
    most_rows
        Of one segment.
    """
    for place, segment in enumerate(holder.segments):
        if segment.rows < segment.built * DEAD_SHARE:
            return _shrunk(holder.segments, place, most_rows)
    if holder.tail < tail_rows:
        return None
    if holder.tail > most_rows:
        return Step(holder.end, None, most_rows)
    rows = holder.tail
    kept = list(holder.segments)
    while kept and kept[-1].rows <= MERGE_RATIO * rows and kept[-1].rows + rows <= most_rows:
        rows += kept.pop().rows
    return Step(kept[-1].up_to if kept else 0, holder.last, rows, tuple(holder.segments[len(kept) :]))


def _shrunk(segments: Sequence[Segment], place: int, most_rows: int) -> Step:
    """Return the step that builds a segment anew, together with the one before it if that is not larger."""
    first = place
    rows = segments[place].rows
    while first and segments[first - 1].rows <= MERGE_RATIO * rows and segments[first - 1].rows + rows <= most_rows:
        first -= 1
        rows += segments[first].rows
    return Step(segments[first].after, segments[place].up_to, rows, tuple(segments[first : place + 1]))


@dataclass(slots=True)
class Settling:
    """Looks after the owners that have too much to be compared row by row."""

    dsn: str
    pool: SharedPool | asyncpg.Pool
    more_than: int
    workers: int
    tail_rows: int = TAIL_ROWS
    loaded_rows: int = LOADED_ROWS
    _tails: dict[tuple[str, int], int] = field(default_factory=dict)

    async def look(self) -> bool:
        """Do what is due, if anything is and no other process is at it; return whether something was done."""
        with store_errors():
            async with self.pool.acquire() as connection:
                owners = await large_owners(connection, self.more_than)
                seen = [await glance(connection, *one) for one in owners]
                left_over = await are_left_over(connection)
        due = [holder for holder in seen if self._due(holder)]
        self._tails = {(holder.owner, holder.model.id): holder.tail for holder in seen}
        if not due and not left_over:
            return False
        async with moving(self.dsn, workers=self.workers) as mover:
            if mover is None:
                return False
            await mover.clear_up()
            done = [await self._step(mover, holder.owner, holder.model) for holder in due]
            return any(done)

    async def settle(self, owner: str, model: Model) -> None:
        """Build indexes over all that an owner has of a model, but for a short tail; wait for another process that is at it."""
        while True:
            async with moving(self.dsn, workers=self.workers) as mover:
                if mover is not None:
                    await mover.clear_up()
                    while await self._step(mover, owner, model):
                        pass
                    return
            await asyncio.sleep(WAIT_SECONDS)

    def _due(self, holder: Holder) -> bool:
        if holder.rows <= self.more_than:
            return bool(holder.segments) and holder.rows <= self.more_than * DEAD_SHARE
        if holder.rows - holder.tail < sum(segment.built for segment in holder.segments) * DEAD_SHARE:
            return True
        before = self._tails.get((holder.owner, holder.model.id))
        loading = before is None or holder.tail > before * GROWING
        return holder.tail >= (self.loaded_rows if loading else self.tail_rows)

    async def _step(self, mover: Mover, owner: str, model: Model) -> bool:
        holder = await read_holder(mover.connection, owner, model)
        if holder.rows <= self.more_than * DEAD_SHARE and holder.segments:
            await mover.retire(holder.segments)
            return True
        if holder.rows <= self.more_than:
            return False
        step = next_step(holder, tail_rows=self.tail_rows, most_rows=mover.most_rows(model))
        if step is None:
            return False
        await _take(mover, holder, step)
        return True


async def _take(mover: Mover, holder: Holder, step: Step) -> None:
    began = time.monotonic()
    up_to = step.up_to
    if up_to is None:
        up_to = await mover.nth_id(holder, step.after, step.rows)
    await mover.build(holder, after=step.after, up_to=up_to, rows=step.rows, instead_of=step.instead_of)
    seconds = time.monotonic() - began
    SETTLED_ROWS.inc(step.rows)
    SETTLE_SECONDS.observe(seconds)
    logger.info(
        "vectors_settled",
        extra={
            "model": holder.model.name,
            "rows": step.rows,
            "merged": len(step.instead_of),
            "duration_seconds": round(seconds, 3),
        },
    )


@asynccontextmanager
async def settling(settings: Settings, pool: SharedPool | asyncpg.Pool) -> AsyncIterator[Settling]:
    """Look every so often, in the background, until the block ends; a step that is not done by then begins anew elsewhere."""
    mover = Settling(
        settings.DATABASE_URL, pool, more_than=settings.EXACT_SEARCH_MAX_ROWS, workers=settings.VECTOR_INDEX_WORKERS
    )
    looking = asyncio.create_task(_keep_looking(mover))
    try:
        yield mover
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


async def _keep_looking(mover: Settling) -> None:
    failing = False
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            with suppress_instrumentation():  # each look would be a trace of its own
                while await mover.look():
                    pass
        except (ServiceError, asyncpg.PostgresError) as error:
            if not failing:
                logger.warning("vectors_not_settled", extra={"error": f"{type(error).__name__}: {error}"})
            failing = True
        else:
            failing = False
