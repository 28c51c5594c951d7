"""What the database says of all jobs, and what has to be true of it, whatever has happened."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Self
from uuid import UUID

from app.core.dispatch.hand_outs import HandOut
from app.core.dispatch.pipeline import FIRST
from app.core.jobs.states import State
from ml_shared.contracts.jobs import WaitingReason
from ml_shared.names import Stage

_JOBS: Final = "SELECT * FROM jobs"
_LEASES: Final = "SELECT *, expires_at < now() AS over FROM leases"
_EVENTS: Final = """
SELECT job_id, array_agg(number ORDER BY number) AS numbers, array_agg(type ORDER BY number) AS types
FROM job_events GROUP BY job_id
"""
ENDINGS: Final = {"completed", "failed", "cancelled"}
MOVES: Final = ("stage", "status", "placement", "attempt_id", "attempt_open", "committing", "error_code", "ended_at")

Law = tuple[bool, str]
# whether it holds, and what it is


@dataclass
class Standing:
    """All that the database says, at one moment."""

    jobs: dict[UUID, Any] = field(default_factory=dict)
    leases: dict[UUID, Any] = field(default_factory=dict)
    stages: dict[tuple[UUID, str], Any] = field(default_factory=dict)
    lanes: dict[str, Any] = field(default_factory=dict)
    owners: dict[str, Any] = field(default_factory=dict)
    batches: dict[UUID, Any] = field(default_factory=dict)
    events: dict[UUID, Any] = field(default_factory=dict)
    virtual_time: float = 0.0

    @classmethod
    def empty(cls) -> Self:
        """Nothing yet."""
        return cls()

    def state(self, job: UUID) -> State:
        """Return the state of the table in which a job is."""
        row = self.jobs[job]
        if row["placement"] == "ended":
            return State(row["status"])
        lease = self.leases.get(job)
        if lease is None:
            return State.LOST if row["attempt_open"] else State.WAITING
        if lease["phase"] != "run":
            return State.HANDED_OUT
        return State.COMMITTING if row["committing"] else State.RUNNING

    def attempts_of(self, job: HandOut) -> int:
        """Return how many attempts of the stage were started."""
        row = self.stages.get((job.job_id, job.stage))
        return row["attempts"] if row else 0

    def was_started(self, job: HandOut) -> bool:
        """Say whether anybody ever started the stage."""
        row = self.stages.get((job.job_id, job.stage))
        return row is not None and row["started_at"] is not None

    def started_as(self, job: HandOut) -> str | None:
        """Return by which word the attempt said that it had started, if it runs."""
        lease = self.leases.get(job.job_id)
        return (
            lease["start_id"] if lease and lease["phase"] == "run" and lease["attempt_id"] == job.attempt_id else None
        )

    def reasons(self, job: UUID) -> set[WaitingReason | None]:
        """Return what may be said of why a job is not further."""
        row, lease = self.jobs[job], self.leases.get(job)
        if row["placement"] == "ended":
            return {None}
        if lease is not None and lease["over"]:
            return {WaitingReason.LEASE}
        if lease is not None:
            return {WaitingReason.RUNNING if lease["phase"] == "run" else WaitingReason.QUEUED}
        if row["placement"] == "waiting":
            return {WaitingReason.UPSTREAM}
        return {WaitingReason.QUEUED, WaitingReason.UPSTREAM, WaitingReason.HOST_DELAY}

    def jobs_of(self, batch: UUID) -> list[UUID]:
        """Return a batch's jobs."""
        return [job for job, row in self.jobs.items() if row["batch_id"] == batch]

    def retry_of(self, job: UUID) -> UUID | None:
        """Return the job that it was tried again as."""
        return next((new for new, row in self.jobs.items() if row["retry_of"] == job), None)


async def read_standing(pool: Any) -> Standing:
    """Read everything: nothing moves meanwhile, for whatever happens is over by then."""
    async with pool.acquire() as connection:
        jobs = {row["id"]: row for row in await connection.fetch(_JOBS)}
        leases = {row["job_id"]: row for row in await connection.fetch(_LEASES)}
        stages = {(row["job_id"], row["stage"]): row for row in await connection.fetch("SELECT * FROM job_stages")}
        lanes = {row["host"]: row for row in await connection.fetch("SELECT * FROM lanes")}
        owners = {row["owner"]: row for row in await connection.fetch("SELECT * FROM owners")}
        batches = {row["id"]: row for row in await connection.fetch("SELECT * FROM batches")}
        events = {row["job_id"]: row for row in await connection.fetch(_EVENTS)}
        time = await connection.fetchval("SELECT virtual_time FROM stages WHERE stage = $1", FIRST.stage)
    return Standing(jobs, leases, stages, lanes, owners, batches, events, time)


def laws(before: Standing, now: Standing, *, max_attempts: int, in_flight: int, max_open_jobs: int) -> Iterator[Law]:
    """Yield the laws that are always in force, each with whether it holds."""
    yield from _ended_ones_never_move(before, now)
    for job, row in now.jobs.items():
        yield from _is_somewhere(now, job, row)
    yield set(now.leases) <= set(now.jobs), "no lease without its job"
    handed = Counter(lease["stage"] for lease in now.leases.values() if lease["phase"] == "dispatch")
    yield all(count <= in_flight for count in handed.values()), "no more is handed out than there are slots"
    yield from _attempts_are_bounded(now, max_attempts)
    yield from _owners_are_counted(now, max_open_jobs)
    yield from _tags_are_given_back(before, now)
    yield from _lanes_lead_to_their_jobs(now)
    yield from _events_are_told_once(before, now)


def _ended_ones_never_move(before: Standing, now: Standing) -> Iterator[Law]:
    yield set(before.jobs) <= set(now.jobs), "no job is lost"
    for job, row in before.jobs.items():
        if row["placement"] == "ended" and job in now.jobs:
            yield dict(now.jobs[job]) == dict(row), "an ended job never moves"


def _is_somewhere(now: Standing, job: UUID, row: Any) -> Iterator[Law]:
    """Runnable, leased, waiting for a time, or ended; and nothing in between."""
    lease = now.leases.get(job)
    yield (lease is not None) == (row["placement"] == "leased"), "a job is leased if there is a lease that can run out"
    if lease is not None:
        same = lease["attempt_id"] == row["attempt_id"] and lease["stage"] == row["stage"]
        yield same and row["attempt_open"], "a lease is that of the job's open attempt"
    yield row["placement"] != "parked" or row["stage"] == FIRST.stage, "only the first stage has lanes to park in"
    yield row["attempt_open"] or not row["committing"], "what nobody writes is not being written"


def _attempts_are_bounded(now: Standing, max_attempts: int) -> Iterator[Law]:
    for (job, stage), row in now.stages.items():
        over = row["attempts"] - max_attempts
        # the start that is one too many is counted, and ends the job; of a stage that the pass runs itself, a moment later
        ends = now.jobs[job]["placement"] == "ended" or now.jobs[job]["stage"] != stage or stage == Stage.CHUNKING
        yield over <= 0 or (over == 1 and ends), "no more attempts than the limit"


def _owners_are_counted(now: Standing, max_open_jobs: int) -> Iterator[Law]:
    open_jobs = Counter(row["owner"] for row in now.jobs.values() if row["placement"] != "ended")
    for owner, row in now.owners.items():
        yield row["open_jobs"] == open_jobs[owner], "an owner's open jobs are those that there are"
        yield row["open_jobs"] <= max_open_jobs, "no owner has more open jobs than he may"


def _tags_are_given_back(before: Standing, now: Standing) -> Iterator[Law]:
    """What nobody worked on gives its turn in the fair order back when it is cancelled; nothing else moves a tag back."""
    for owner, row in now.owners.items():
        new = sum(1 for job, other in now.jobs.items() if other["owner"] == owner and job not in before.jobs)
        unused = sum(1 for job in before.jobs if now.jobs[job]["owner"] == owner and _never_used(before, now, job))
        was = before.owners[owner]["last_tag"] if owner in before.owners else 0.0
        wanted = max(was, before.virtual_time) + new if new else max(was - unused, 0.0)
        yield (
            math.isclose(row["last_tag"], wanted, abs_tol=1e-6),
            "an owner's tag is what he took less what he gave back",
        )


def _never_used(before: Standing, now: Standing, job: UUID) -> bool:
    """Say whether a job was cancelled just now, before anybody had worked on it."""
    return (
        before.jobs[job]["placement"] not in {"ended", "leased"}
        and now.jobs[job]["status"] == "cancelled"
        and now.jobs[job]["stage"] == FIRST.stage
        and not any(now.stages.get((job, stage), {"attempts": 0})["attempts"] for stage in Stage)
    )


def _lanes_lead_to_their_jobs(now: Standing) -> Iterator[Law]:
    parked = {row["host"] for row in now.jobs.values() if row["placement"] == "parked"}
    yield parked <= set(now.lanes), "who is parked is in a lane"
    for host, lane in now.lanes.items():
        yield lane["occupied"] or host not in parked, "no lane is passed by in which jobs are parked"
        holder = now.jobs.get(lane["holder"]) if lane["holder"] else None
        held = holder is not None and holder["placement"] in {"ready", "leased"}
        yield lane["holder"] is None or held, "no lane is held by a job that is not in it"
    asked = Counter(
        now.jobs[job]["host"]
        for job, lease in now.leases.items()
        if lease["stage"] == FIRST.stage and not lease["over"]
    )
    yield all(count <= 1 for count in asked.values()), "one page of a host at a time"


def frame(before: Standing, now: Standing, may_change: frozenset[UUID], all_of: Stage | None) -> Iterator[Law]:
    """Yield whether each job stands where it stood that nothing happened to.

    Parameters
    ----------
    all_of
        A stage whose jobs may all have moved, since a pass of it was made.
    """
    for job, row in before.jobs.items():
        if job not in may_change and (all_of is None or row["stage"] != all_of):
            yield (
                all(now.jobs[job][name] == row[name] for name in MOVES),
                "a job moves only when something happens to it",
            )


def _events_are_told_once(before: Standing, now: Standing) -> Iterator[Law]:
    for job, row in now.jobs.items():
        told = now.events[job]
        yield (
            told["numbers"] == list(range(1, row["last_event"] + 1)),
            "each event is there once, in order, without a gap",
        )
        earlier = before.events[job]["types"] if job in before.events else []
        yield told["types"][: len(earlier)] == earlier, "what was told is not told otherwise later"
        ended = [type_ for type_ in told["types"] if type_ in ENDINGS]
        ends = [row["status"]] if row["placement"] == "ended" else []
        yield ended == ends and told["types"][-1:] == (ends or told["types"][-1:]), "an end is told once, as the last"
