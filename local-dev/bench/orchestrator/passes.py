"""What a pass costs however many jobs are queued, and how long a newcomer waits behind another owner's."""

import math
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

from bench.orchestrator.service import Databases, core
from ml_shared.contracts.jobs import CallbackStatus, JobRequest, StageCallback
from ml_shared.names import Stage

SLOTS: Final = 32
STAGES: Final = (Stage.SCRAPING, Stage.CHUNKING, Stage.EMBEDDING)
FIRST: Final = STAGES[0]
OPENING: Final = "opening hosts"
HIGH_WATER: Final = 10**6
NEVER_SECONDS: Final = 10_000.0
NEWCOMER: Final = "key:newcomer"
MOST_HAND_OUTS: Final = 1_000
# before the newcomer's first: more, and it is said so rather than waited for


class Passes:
    """Passes over one database, and the reports of what they handed out."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self._claims = core("dispatch.claims")
        self._definition_of = core("dispatch.pipeline").definition_of
        self._transitions = core("jobs.transitions")
        self._limits = self._transitions.Limits(60, 3600, 86_400, 4)

    async def claim(self, stage: Stage, slots: int) -> list[Any]:
        """Make a pass of a stage as far as its commit: who is handed out is known then, and nobody was called."""
        jobs: list[Any] = await self._claims.claim(
            self._pool,
            self._definition_of(stage),
            in_flight=slots,
            high_water=HIGH_WATER,
            lease_seconds=NEVER_SECONDS,
        )
        return jobs

    async def finish(self, job: Any) -> None:
        """Report that a stage has done a job."""
        callback = StageCallback(
            attempt_id=str(job.attempt_id), stage=job.stage, status=CallbackStatus.SUCCESS, content_ref="page"
        )
        done = await self._transitions.complete(
            self._pool, job.job_id, self._definition_of(job.stage), callback, self._limits
        )
        if done.answer.stale or done.answer.duplicate:
            raise RuntimeError("a report of what was just handed out changed nothing")


async def pass_times(databases: Databases, jobs: int, *, owners: int, hosts: int, passes: int) -> dict[str, float]:
    """Return the milliseconds of a pass of each stage with so many jobs queued, and of one that opens hosts.

    A pass of the first stage opens up to 500 free hosts before it picks, for whose turn it is shows among all of them:
    the first passes over a crowd do so, later ones open what has become free since. Of several the lower quartile: other
    work on the machine makes some slower, and none faster.
    """
    async with databases.opened() as opened:
        await opened.fill(jobs, owners=owners, hosts=hosts)
        one = Passes(opened.jobs)
        times: dict[str, list[float]] = defaultdict(list)

        async def timed(name: str, stage: Stage, slots: int) -> list[Any]:
            began = time.perf_counter()
            claimed = await one.claim(stage, slots)
            times[name].append((time.perf_counter() - began) * 1e3)
            return claimed

        for _ in range(math.ceil(min(jobs, hosts) / core("dispatch.claims").LANE_BATCH)):
            for job in await timed(OPENING, FIRST, 1):
                await one.finish(job)
        for _ in range(passes):
            for stage in STAGES:
                for job in await timed(stage.value, stage, SLOTS):
                    await one.finish(job)
        return {name: _lower_quartile(kept) for name, kept in times.items()}


def _lower_quartile(times: list[float]) -> float:
    return sorted(times)[len(times) // 4]


@dataclass(frozen=True)
class Newcomer:
    """How long the first job of an owner who has no other waited behind another owner's many.

    Attributes
    ----------
    hand_outs
        That went before it since it was submitted.
    durations
        Its wait until a worker has it, as a multiple of a job's duration: with all slots taken at first, half of them by
        workers, which all take alike long, and half in the queue before them.
    """

    hand_outs: int
    durations: float


async def newcomer(databases: Databases, jobs: int, *, hosts: int, slots: int) -> Newcomer:
    """Submit one job behind many of another owner, and count the hand-outs until it is its turn."""
    async with databases.opened() as opened:
        await opened.fill(jobs, owners=1, hosts=hosts)
        one = Passes(opened.jobs)
        running = await one.claim(FIRST, slots)
        for _ in range(slots):  # it comes when all has long been under way
            await one.finish(running.pop(0))
            running += await one.claim(FIRST, slots)
        fields = {"traceparent": None, "idempotency_key": None, "max_open_jobs": jobs}
        request = JobRequest(url="http://newcomer.test/")
        accepted = await core("jobs.submission").submit(opened.jobs, NEWCOMER, request, **fields)
        for before in range(MOST_HAND_OUTS):
            await one.finish(running.pop(0))
            [job] = await one.claim(FIRST, slots)
            running.append(job)
            if str(job.job_id) == accepted.job_id:
                return Newcomer(before, (before + 1 + slots / 2) / (slots / 2))
    raise RuntimeError(f"{MOST_HAND_OUTS} hand-outs went before a newcomer's first")
