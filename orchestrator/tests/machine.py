"""What may happen to jobs, in any order, on a real PostgreSQL, and what has to be so after each of it.

`JobsMachine` is a hypothesis state machine. Its rules are what clients, passes, workers and the recovery do, each possibly by a
process that dies between two of its statements. `Standing` is all that the database says afterwards, and `laws.py` what must be
true of it.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from conftest import LIMITS
from history import IN_FLIGHT, MAX_ATTEMPTS, MAX_OPEN_JOBS, History
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from laws import read_standing

from app.core.dispatch import claims, recovery
from app.core.dispatch.hand_outs import HandOut
from app.core.dispatch.pipeline import FIRST, definition_of
from app.core.errors import AlreadyEndedError, CommittingError, NotRetryableError, TooManyOpenJobsError
from app.core.jobs import batches, cancelling, reading, retrying, submission, transitions
from app.core.jobs.filters import JobFilter
from app.core.jobs.states import Event, State
from ml_shared.contracts.batches import BatchRequest
from ml_shared.contracts.jobs import CallbackStatus, JobRequest, ProgressPhase, ProgressReport, StageCallback
from ml_shared.names import Stage

OWNERS: Final = ("key:a", "key:b")
HOSTS: Final = ("one.test", "two.test")
CODES: Final = ("upstream_error", "host_busy", "endpoint_rate_limited", "content_missing")
FOUND: Final = {"look": {"content_hash": "1" * 64}}
# no page ever changes: who indexes it a second time has it touched
LEASE_SECONDS: Final = 900
ROUNDS: Final = 60
# passes of each stage in which what is unfinished has to come to its end
CLEAN: Final = """
DELETE FROM leases; DELETE FROM job_stages; DELETE FROM jobs; DELETE FROM batches; DELETE FROM lanes; DELETE FROM owner_turns;
DELETE FROM owners; DELETE FROM idempotency_keys; DELETE FROM validators;
UPDATE stages SET virtual_time = 0, paused_until = NULL, pauses = 0, pause_reason = NULL, queue_epoch = NULL, probed_at = NULL;
"""
TIME: Final = """
UPDATE jobs SET not_before = now() WHERE placement = 'waiting'; UPDATE lanes SET next_at = now();
UPDATE stages SET paused_until = NULL;
"""
_EXPIRE: Final = "UPDATE leases SET expires_at = now() - interval '1 second' WHERE job_id = $1"
EVENTS: Final = {
    ProgressPhase.STARTED: Event.STARTED,
    ProgressPhase.RUNNING: Event.RUNNING,
    ProgressPhase.COMMITTING: Event.COMMITTING,
    CallbackStatus.SUCCESS: Event.SUCCESS,
    CallbackStatus.FAILED: Event.FAILED,
}
limits = replace(LIMITS, max_attempts=MAX_ATTEMPTS)

# where an operation dies, if it does: mostly it does not
crashes = st.one_of(st.none(), st.none(), st.none(), st.integers(1, 7))
picks = st.one_of(st.just(0), st.integers(0, 5), st.integers(0, 40))


class JobsMachine(History):
    """Clients, passes, workers, recovery, Redis and the clock, as they come."""

    # clients

    @initialize()
    def nothing_is_there(self) -> None:
        self.tell(CLEAN)
        self.see(self.runner.run(read_standing(self.pool)))

    @rule(
        owner=st.sampled_from(OWNERS),
        host=st.sampled_from(HOSTS),
        key=st.sampled_from([None, None, "k1", "k2"]),
        crash=crashes,
    )
    def submit(self, owner: str, host: str, key: str | None, crash: int | None) -> None:
        request = JobRequest(url=f"http://{host}/page")
        given: dict[str, Any] = {"traceparent": None, "idempotency_key": key and f"{key}-{host}"}
        try:
            accepted = self.do(
                lambda pool: submission.submit(pool, owner, request, max_open_jobs=MAX_OPEN_JOBS, **given), crash
            )
        except TooManyOpenJobsError:
            self.law(self.before.owners[owner]["open_jobs"] >= MAX_OPEN_JOBS, "refused, though there was room")
            return
        if accepted is not None and key is not None:
            name = f"{owner} {key} {host}"
            first = self.keys.setdefault(name, accepted.job_id)
            self.law(first == accepted.job_id, "a repeat made another job")
        self.settle()

    @rule(owner=st.sampled_from(OWNERS), hosts=st.lists(st.sampled_from(HOSTS), min_size=1, max_size=4), crash=crashes)
    def submit_batch(self, owner: str, hosts: list[str], crash: int | None) -> None:
        request = BatchRequest(urls=[f"http://{host}/{number // 2}" for number, host in enumerate(hosts)])
        jobs = len(self.before.jobs)
        try:
            accepted = self.do(
                lambda pool: batches.submit(pool, owner, request, idempotency_key=None, max_open_jobs=MAX_OPEN_JOBS),
                crash,
            )
        except TooManyOpenJobsError:
            accepted = None
        self.settle()
        made = len(self.before.jobs) - jobs
        self.law(made in {0, len({*request.urls})}, "a part of a batch was taken in")
        self.law(accepted is None or made == len(accepted[0].jobs), "a batch was told of, and is not there")

    @rule(pick=picks, crash=crashes)
    def cancel(self, pick: int, crash: int | None) -> None:
        if not self.jobs:
            return
        self.cancelled(self.job(pick), crash)

    @rule(pick=picks)
    def cancel_what_is_written(self, pick: int) -> None:
        """By chance alone it seldom comes."""
        leased = [job for job in self.attempts if self.is_open(job) and job.job_id in self.before.leases]
        if not leased:
            return
        job = leased[pick % len(leased)]
        for phase in (ProgressPhase.STARTED, ProgressPhase.COMMITTING):
            self.report(job, phase, "s1", None)
        self.cancelled(job.job_id, None)

    @rule(pick=picks, phase=st.sampled_from(ProgressPhase), again=st.sampled_from(["s1", "s2"]))
    def what_is_written_is_lost_and_heard_of_again(self, pick: int, phase: ProgressPhase, again: str) -> None:
        """Its worker was away for longer than a lease, or its task is delivered again."""
        leased = [job for job in self.attempts if self.is_open(job) and job.job_id in self.before.leases]
        if not leased:
            return
        job = leased[pick % len(leased)]
        for said in (ProgressPhase.STARTED, ProgressPhase.COMMITTING):
            self.report(job, said, "s1", None)
        self.tell(_EXPIRE, job.job_id)
        self.settle()
        self.recover(None)
        self.cancelled(job.job_id, None)
        self.report(job, phase, again, None)

    def cancelled(self, job: UUID, crash: int | None) -> None:
        """Cancel a job."""
        row = self.before.jobs[job]
        owner, state = row["owner"], self.before.state(job)
        wanted = None
        try:
            done = self.do(lambda pool: cancelling.cancel(pool, owner, job), crash)
            if done is not None:
                self.law(not (row["committing"] and row["attempt_open"]), "cancelled, though it was being written")
                wanted = (job, (State.CANCELLED, Stage(self.before.jobs[job]["stage"])))
        except CommittingError:
            self.law(self.before.jobs[job]["committing"], "not cancelled, though nobody was writing it")
        except AlreadyEndedError:
            self.law(state in {State.COMPLETED, State.FAILED}, "not cancelled, though it had not ended")
        self.settle(job, wanted=wanted)

    @rule(pick=picks, crash=crashes)
    def cancel_batch(self, pick: int, crash: int | None) -> None:
        if not self.batches:
            return
        batch = self.batch(pick)
        owner = self.before.batches[batch]["owner"]
        jobs = self.before.jobs_of(batch)
        if crash is None and any(self.before.jobs[job]["committing"] for job in jobs):
            crash = 4  # or it would look again for a while
        self.do(lambda pool: cancelling.cancel_batch(pool, owner, batch), crash)
        self.settle(*jobs)

    @rule(pick=picks, crash=crashes)
    def retry(self, pick: int, crash: int | None) -> None:
        if not self.jobs:
            return
        job = self.job(pick)
        owner, known = self.before.jobs[job]["owner"], self.before.retry_of(job)
        try:
            done = self.do(
                lambda pool: retrying.retry(pool, owner, job, traceparent=None, max_open_jobs=MAX_OPEN_JOBS), crash
            )
        except NotRetryableError:
            self.law(
                self.before.state(job) not in {State.FAILED, State.CANCELLED}, "not tried again, though it could be"
            )
        except TooManyOpenJobsError:
            self.law(self.before.owners[owner]["open_jobs"] >= MAX_OPEN_JOBS, "refused, though there was room")
        else:
            again = None if done is None else UUID(done[0].job_id)
            self.law(None in {again, known} or again == known, "it was tried again twice")
        self.settle()

    @rule(pick=picks, crash=crashes)
    def retry_batch(self, pick: int, crash: int | None) -> None:
        if not self.batches:
            return
        batch = self.batch(pick)
        owner = self.before.batches[batch]["owner"]
        with suppress(NotRetryableError, TooManyOpenJobsError):
            self.do(lambda pool: retrying.retry_batch(pool, owner, batch, max_open_jobs=MAX_OPEN_JOBS), crash)
        self.settle()

    # passes

    @rule(stage=st.sampled_from(Stage), crash=crashes)
    def claim(self, stage: Stage, crash: int | None) -> None:
        self.take(stage, crash)
        self.settle(all_of=stage)

    def take(self, stage: Stage, crash: int | None = None) -> list[HandOut]:
        """Make a pass of a stage; of what it claims nobody hears if it died."""
        definition = definition_of(stage)
        here = definition.read_answer is not None
        claimed: list[HandOut] = (
            self.do(
                lambda pool: claims.claim(
                    pool,
                    definition,
                    in_flight=IN_FLIGHT,
                    high_water=1000,
                    lease_seconds=LEASE_SECONDS,
                    deadline_seconds=3600 if here else None,
                ),
                crash,
            )
            or []
        )
        for job in sorted(claimed, key=lambda job: self.jobs.index(job.job_id)):
            self.law(job.attempt_id not in self.given, "handed out twice under one lease")
            self.given.add(job.attempt_id)
            before = self.before.jobs.get(job.job_id)
            self.law(before is None or before["placement"] != "leased", "handed out while it was leased")
            if here and (job.attempts or 0) > MAX_ATTEMPTS:
                self.do(lambda pool, job=job: transitions.exhausted(pool, job, limits))
            else:
                self.attempts.append(job)
        return claimed

    @rule(pick=picks, epoch=st.sampled_from(["first", "first", "first", "wiped"]), crash=crashes)
    def queued(self, pick: int, epoch: str, crash: int | None) -> None:
        """A queue took it; another epoch than before says that Redis was wiped meanwhile."""
        if not self.attempts:
            return
        job = self.attempt(pick)
        self.do(
            lambda pool: claims.queued(pool, job.stage, [(job, None)], queue_epoch=epoch, lease_seconds=LEASE_SECONDS),
            crash,
        )
        self.settle(all_of=job.stage)
        queued = [
            lease for lease in self.before.leases.values() if (lease["stage"], lease["phase"]) == (job.stage, "queue")
        ]
        self.law(
            crash is not None or all(lease["queue_epoch"] == epoch for lease in queued), "waits in a queue that is gone"
        )

    @rule(pick=picks, crash=crashes)
    def unreachable(self, pick: int, crash: int | None) -> None:
        if not self.attempts:
            return
        job = self.attempt(pick)
        self.do(lambda pool: claims.give_back(pool, job, reason="test", base_seconds=60, most_seconds=60), crash)
        self.settle(job.job_id)

    @rule(pick=picks, crash=crashes)
    def rejected(self, pick: int, crash: int | None) -> None:
        if not self.attempts:
            return
        job = self.attempt(pick)
        self.do(lambda pool: claims.reject(pool, job, code="c", message="m"), crash)
        self.settle(job.job_id)

    # workers

    @rule(pick=picks, phase=st.sampled_from(ProgressPhase), start=st.sampled_from(["s1", "s2"]), crash=crashes)
    def progress(self, pick: int, phase: ProgressPhase, start: str, crash: int | None) -> None:
        if not self.attempts:
            return
        self.report(self.attempt(pick), phase, start, crash)

    def report(self, job: HandOut, phase: ProgressPhase, start: str, crash: int | None) -> None:
        """Send a sign of life."""
        known = phase is ProgressPhase.STARTED and self.before.started_as(job) == start
        counted = self.before.attempts_of(job)
        expected = self.expects(job, EVENTS[phase])
        report = ProgressReport(attempt_id=str(job.attempt_id), stage=job.stage, phase=phase, start_id=start)
        told = self.do(
            lambda pool: transitions.progress(pool, job.job_id, definition_of(job.stage), report, limits), crash
        )
        if told is None or known:  # a start that was heard is no further one
            expected = None
        elif expected is None:
            self.law(told[0] is None, "a stale attempt may go on")
        self.settle(job.job_id, wanted=expected and (job.job_id, expected))
        if expected is not None and phase is ProgressPhase.STARTED:
            self.law(self.before.attempts_of(job) == counted + 1, "a start is counted once")

    @rule(
        pick=picks,
        status=st.sampled_from([CallbackStatus.SUCCESS, CallbackStatus.SUCCESS, *CallbackStatus]),
        code=st.sampled_from(CODES),
        crash=crashes,
        twice=st.booleans(),
    )
    def complete(self, pick: int, status: CallbackStatus, code: str, crash: int | None, twice: bool) -> None:
        if self.attempts:
            self.ends(self.attempt(pick), status, code, crash, twice=twice)

    @rule(pick=picks, status=st.sampled_from([CallbackStatus.SUCCESS, CallbackStatus.FAILED]))
    def another_takes_over_and_it_reports_all_the_same(self, pick: int, status: CallbackStatus) -> None:
        """What the fence is for: by chance alone it comes about once in hundreds of sequences."""
        leased = [job for job in self.attempts if self.is_open(job) and job.job_id in self.before.leases]
        if not leased:
            return
        job = leased[pick % len(leased)]
        self.tell(_EXPIRE, job.job_id)
        self.settle()
        self.recover(None)
        self.time_passes()
        self.claim(job.stage, None)
        self.ends(job, status, CODES[0])

    def ends(
        self, job: HandOut, status: CallbackStatus, code: str, crash: int | None = None, *, twice: bool = False
    ) -> None:
        """Report how an attempt ended."""
        expected = self.expects(job, EVENTS[status]) if status in EVENTS else None
        callback = StageCallback(
            attempt_id=str(job.attempt_id),
            stage=job.stage,
            status=status,
            error_code=None if status is CallbackStatus.SUCCESS else code,
            retry_after_seconds=600 if status is CallbackStatus.DEFERRED else None,
            stats=FOUND if job.stage is FIRST.stage else {},
        )

        async def say(pool: Any) -> transitions.Transition:
            return await transitions.complete(pool, job.job_id, definition_of(job.stage), callback, limits)

        counts = self.is_open(job)
        told = self.do(say, crash)
        if told is None:
            expected = None
        elif not counts:
            self.law(told.answer.stale or told.answer.duplicate, "a stale attempt's report counts")
        self.settle(*([job.job_id] if counts else []), wanted=expected and (job.job_id, expected))
        if twice and told is not None:
            again = self.do(say)
            self.law(again.answer.duplicate or again.answer.stale, "heard twice")
            self.settle()

    # lost workers, lost processes, the clock

    @rule(pick=picks)
    def a_lease_runs_out(self, pick: int) -> None:
        if not self.before.leases:
            return
        leased = [job for job in self.jobs if job in self.before.leases]
        job = leased[pick % len(leased)]
        self.tell(_EXPIRE, job)
        self.settle()

    @rule(crash=crashes)
    def recover(self, crash: int | None) -> None:
        over = [job for job, lease in self.before.leases.items() if lease["over"]]
        cancelled = [
            job
            for batch, row in self.before.batches.items()
            if row["cancel_open"]
            for job in self.before.jobs_of(batch)
        ]

        async def look(pool: Any) -> None:
            await cancelling.go_on(pool)
            await recovery.recover(pool, limits, queue_lease_seconds=LEASE_SECONDS)

        self.do(look, crash)
        self.settle(*over, *cancelled)

    @rule()
    def time_passes(self) -> None:
        self.tell(TIME)
        self.settle()

    @rule(pick=picks, other=picks, cancels=st.booleans())
    def two_at_once(self, pick: int, other: int, cancels: bool) -> None:
        """Two reports, or a report and its owner's cancel, that reach two processes at the same time."""
        if not self.attempts:
            return
        first, second = self.attempt(pick), self.attempt(other)

        async def say(job: HandOut, status: CallbackStatus) -> None:
            callback = StageCallback(
                attempt_id=str(job.attempt_id), stage=job.stage, status=status, error_code="c", error_message="m"
            )
            await transitions.complete(self.pool, job.job_id, definition_of(job.stage), callback, limits)

        async def stop(job: HandOut) -> None:
            with suppress(CommittingError, AlreadyEndedError):
                await cancelling.cancel(self.pool, job.owner, job.job_id)

        async def both() -> None:
            await asyncio.gather(
                say(first, CallbackStatus.SUCCESS), stop(second) if cancels else say(second, CallbackStatus.FAILED)
            )

        self.runner.run(both())
        self.settle(first.job_id, second.job_id)

    @rule(owner=st.sampled_from(OWNERS))
    def an_owner_looks(self, owner: str) -> None:
        """He is told of each job what it waits for, and of each batch how many jobs are where."""
        page = self.runner.run(reading.find_page(self.pool, owner, JobFilter(), limit=100, cursor=None))
        for seen in page.items:
            waiting = seen.waiting and seen.waiting.reason
            self.law(waiting in self.before.reasons(UUID(seen.job_id)), "unfinished, and does not say why")
        for batch in self.batches:
            if self.before.batches[batch]["owner"] == owner:
                view = self.runner.run(batches.find(self.pool, owner, batch))
                counted = Counter(self.before.jobs[job]["status"] for job in self.before.jobs_of(batch))
                told = {status: count for status, count in view.counts.model_dump().items() if count}
                self.law(told == dict(counted), "a batch is not what its jobs are")

    # whatever happened, everything comes to an end

    def teardown(self) -> None:
        """Let passes, workers and the recovery do their work undisturbed: every job ends."""
        for _ in range(ROUNDS):
            if all(row["placement"] == "ended" for row in self.before.jobs.values()):
                return
            self.tell(TIME)
            self.tell("UPDATE leases SET expires_at = now() - interval '1 second'")
            self.recover_quietly()
            for stage in Stage:
                for job in self.take(stage):
                    self.work(job)
            self.before = self.runner.run(read_standing(self.pool))
        self.law(False, "stuck for ever")

    def recover_quietly(self) -> None:
        """A look of the recovery at which nothing dies."""

        async def look(pool: Any) -> None:
            await cancelling.go_on(pool)
            await recovery.recover(pool, limits, queue_lease_seconds=LEASE_SECONDS)

        self.do(look)
        self.before = self.runner.run(read_standing(self.pool))

    def work(self, job: HandOut) -> None:
        """What a worker does with an attempt."""
        definition = definition_of(job.stage)
        if definition.read_answer is None:
            report = ProgressReport(
                attempt_id=str(job.attempt_id), stage=job.stage, phase=ProgressPhase.STARTED, start_id="last"
            )
            answer, _ = self.do(lambda pool: transitions.progress(pool, job.job_id, definition, report, limits))
            if answer is None:
                return
        callback = StageCallback(
            attempt_id=str(job.attempt_id),
            stage=job.stage,
            status=CallbackStatus.SUCCESS,
            stats=FOUND if job.stage is FIRST.stage else {},
        )
        self.do(lambda pool: transitions.complete(pool, job.job_id, definition, callback, limits))
