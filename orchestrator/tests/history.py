"""What is known of a sequence of things that happened to jobs, and what every rule of the model is made of."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar, Final
from uuid import UUID

from crashing import CrashError, CrashingPool
from hypothesis.stateful import RuleBasedStateMachine
from laws import Standing, frame, laws, read_standing

from app.core.dispatch.hand_outs import HandOut
from app.core.dispatch.pipeline import FIRST, LAST, after
from app.core.jobs.states import Event, Guard, State, Where, move_of
from ml_shared.names import Stage

MAX_OPEN_JOBS: Final = 6
MAX_ATTEMPTS: Final = 2
IN_FLIGHT: Final = 3


class History(RuleBasedStateMachine):
    """What happened so far, held to the laws after each step.

    Attributes
    ----------
    runner, pool
        The loop and the database of the test, which all sequences share one after the other.
    broken
        Which laws were broken.
    """

    runner: ClassVar[asyncio.Runner]
    pool: ClassVar[Any]
    broken: ClassVar[list[str]]

    def __init__(self) -> None:
        super().__init__()
        self.attempts: list[HandOut] = []
        self.given: set[UUID] = set()
        self.jobs: list[UUID] = []
        self.batches: list[UUID] = []
        self.keys: dict[str, str] = {}
        self.before = Standing.empty()

    def do(self, operation: Callable[[Any], Awaitable[Any]], crash: int | None = None) -> Any:
        """Run one use case, in a process that may die in it. Returns what it returned, or `None` if that was not heard."""
        pool = CrashingPool(self.pool, crash)
        with suppress(CrashError):
            return self.runner.run(operation(pool))
        return None

    def tell(self, statement: str, *arguments: Any) -> None:
        """Change the world: the clock, say."""
        self.runner.run(self.pool.execute(statement, *arguments))

    def attempt(self, pick: int) -> HandOut:
        """Any attempt that was ever given: the last ones are the likelier."""
        return self.attempts[-1 - pick % len(self.attempts)]

    def job(self, pick: int) -> UUID:
        """Any job there is. In the order in which they came: a sequence that is run again picks the same ones."""
        return self.jobs[pick % len(self.jobs)]

    def batch(self, pick: int) -> UUID:
        """Any batch there is."""
        return self.batches[pick % len(self.batches)]

    def is_open(self, job: HandOut) -> bool:
        """Say whether an attempt is its job's, and has not been reported to its end."""
        row = self.before.jobs.get(job.job_id)
        own = row is not None and (row["attempt_id"], row["stage"]) == (job.attempt_id, job.stage)
        return own and row["attempt_open"]

    def expects(self, job: HandOut, event: Event) -> tuple[State, Stage] | None:
        """Where the table of states says that a report of this attempt takes its job; `None`: it changes nothing."""
        if not self.is_open(job):
            return None
        row = self.before.jobs[job.job_id]
        guards = set()
        if job.stage is LAST.stage:
            guards.add(Guard.LAST_STAGE)
        if self.before.attempts_of(job) >= MAX_ATTEMPTS:
            guards.add(Guard.NO_ATTEMPT_LEFT)
        if job.stage is FIRST.stage and row["known"] is not None:
            guards.add(Guard.UNCHANGED)
        if not self.before.was_started(job):
            guards.add(Guard.NEVER_STARTED)
        if job.stage is FIRST.stage and self.before.lanes[row["host"]]["holder"] not in (None, job.job_id):
            guards.add(Guard.LANE_TAKEN)
        if row["committing"]:
            guards.add(Guard.WAS_COMMITTING)
        move = move_of(self.before.state(job.job_id), event, frozenset(guards))
        following = {Where.NEXT: after(job.stage), Where.LAST: LAST}.get(move.where)
        return move.then, following.stage if following else job.stage

    def settle(self, *may_change: UUID, all_of: Stage | None = None, wanted: "tuple[Any, Any] | None" = None) -> None:
        """Read the database again, and hold it to the laws, to what may have changed, and to what was to."""
        now = self.runner.run(read_standing(self.pool))
        for holds, law in (
            *laws(self.before, now, max_attempts=MAX_ATTEMPTS, in_flight=IN_FLIGHT, max_open_jobs=MAX_OPEN_JOBS),
            *frame(self.before, now, frozenset(may_change), all_of),
        ):
            self.law(holds, law)
        if wanted is not None:
            found = (now.state(wanted[0]), Stage(now.jobs[wanted[0]]["stage"]))
            self.law(found == wanted[1], "it is not where the table of states says")
        self.see(now)

    def law(self, holds: bool, law: str) -> None:
        """Hold what happened to a law, and keep that it was broken.

        Which of several jobs a pass takes is PostgreSQL's choice, so that a repeat of a sequence may not break it again.
        """
        if not holds:
            self.broken.append(law)
            raise AssertionError(law)

    def see(self, now: Standing) -> None:
        """Keep what is there, and what has come."""
        new = [job for job in now.jobs if job not in self.before.jobs]
        self.jobs += sorted(new, key=lambda job: now.jobs[job]["tag"])
        self.batches += [batch for batch in now.batches if batch not in self.before.batches]
        self.before = now
