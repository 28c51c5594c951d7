"""Every event in every state, on a real database: what the table says happens, and what it leaves out does not."""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from conftest import Core

from app.core.dispatch import claims
from app.core.dispatch.hand_outs import HandOut
from app.core.errors import AlreadyEndedError, CommittingError
from app.core.jobs import cancelling
from app.core.jobs.states import MOVES, Event, Guard, State, Where, markdown, move_of
from ml_shared.contracts.jobs import CallbackStatus, ProgressPhase
from ml_shared.names import Stage

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- states -->\n", "<!-- end of states -->\n"
ENDED = {State.COMPLETED, State.FAILED, State.CANCELLED}
PHASES = {
    Event.STARTED: ProgressPhase.STARTED,
    Event.RUNNING: ProgressPhase.RUNNING,
    Event.COMMITTING: ProgressPhase.COMMITTING,
}
REPORTS = {
    Event.SUCCESS: CallbackStatus.SUCCESS,
    Event.DEFERRED: CallbackStatus.DEFERRED,
    Event.FAILED: CallbackStatus.FAILED,
}
IN_LAST_STAGE = {Guard.LAST_STAGE, Guard.CONTENT_MISSING}
KNOWN = {"content_hash": "1" * 64, "bytes": 7}
ELSEWHERE = {Where.NEXT: Stage.CHUNKING, Where.LAST: Stage.EMBEDDING, Where.FIRST: Stage.SCRAPING}
ALONE = [frozenset[Guard](), *(frozenset([guard]) for guard in Guard)]
# a lost attempt may have said `committing` whatever else is so, unless it never started
LOST_WHILE_WRITING = [
    frozenset([Guard.WAS_COMMITTING, guard])
    for guard in Guard
    if guard not in (Guard.WAS_COMMITTING, Guard.NEVER_STARTED)
]
# what these are about is one event; the others are about each job
OF_ONE_EVENT = {Guard.UNCHANGED: Event.SUCCESS, Guard.CONTENT_MISSING: Event.DEFERRED}


async def reached(core: Core, state: State, stage: Stage, *, started: bool = True, committing: bool = False) -> HandOut:
    """The only job there is, in a state of a stage, as its last attempt had it.

    `started`, `committing`: whether a lost one had said so.
    """
    # a few rows: to truncate takes longer
    for table in ("jobs", "lanes", "owners", "owner_turns", "stages"):
        await core.pool.execute(f"DELETE FROM {table}")
    async with core.pool.acquire() as connection:
        await claims.ensure_stages(connection, list(Stage))
    await core.submit("http://site.test/")
    for earlier in Stage:
        if earlier is stage:
            break
        await core.complete(await core.claim_one(earlier))
    job = await core.claim_one(stage)
    if state is State.WAITING:
        await claims.give_back(core.pool, job, reason="test", base_seconds=0.001, most_seconds=0.001)
        await core.pool.execute("UPDATE jobs SET attempt_open = false")
        await core.pool.execute("UPDATE stages SET paused_until = NULL")
    elif state is not State.HANDED_OUT and started:
        assert await core.started(job)
    match state:
        case State.COMMITTING:
            assert await core.started(job, ProgressPhase.COMMITTING)
        case State.LOST:
            if committing:
                assert await core.started(job, ProgressPhase.COMMITTING)
            await core.expire_leases()
            await core.recover()
        case State.COMPLETED | State.FAILED:
            await core.pool.execute(
                """UPDATE jobs SET placement = 'ended', status = $1, ended_at = now(), attempt_open = false,
                   error_code = 'c', error_message = 'm', failed_stage = stage""",
                state,
            )
            await core.pool.execute("DELETE FROM leases")
        case State.CANCELLED:
            await cancelling.cancel(core.pool, job.owner, job.job_id)
    assert await standing(core, job.job_id) == (state, stage)
    return job


async def happens(core: Core, event: Event, job: HandOut, guards: frozenset[Guard] = frozenset()) -> None:
    if Guard.UNCHANGED in guards:
        await core.pool.execute("UPDATE jobs SET known = $1 WHERE placement <> 'ended'", KNOWN)
    if Guard.LANE_TAKEN in guards:
        await core.pool.execute("UPDATE lanes SET holder = $1", UUID(int=7))
    if event in PHASES:
        await core.started(job, PHASES[event])
    elif event in REPORTS:
        code = "content_missing" if Guard.CONTENT_MISSING in guards else "upstream_error"
        stats = {"look": {"content_hash": KNOWN["content_hash"]}} if event is Event.SUCCESS else {}
        await core.complete(job, status=REPORTS[event], error_code=code, retry_after_seconds=1, stats=stats)
    elif event is Event.CLAIMED:
        await core.claim(job.stage)
    elif event is Event.UNREACHABLE:
        await claims.give_back(core.pool, job, reason="test", base_seconds=1, most_seconds=1)
    elif event is Event.REJECTED:
        await claims.reject(core.pool, job, code="c", message="m")
    elif event is Event.EXPIRED:
        await core.expire_leases()
        await core.recover()
    else:
        with suppress(CommittingError, AlreadyEndedError):
            await cancelling.cancel(core.pool, job.owner, job.job_id)


async def standing(core: Core, job_id: UUID) -> tuple[State, Stage]:
    row = await core.row(job_id)
    stage = Stage(row["stage"])
    if row["placement"] == "ended":
        return State(row["status"]), stage
    phase = await core.pool.fetchval("SELECT phase FROM leases WHERE job_id = $1", job_id)
    assert (phase is not None) == (row["placement"] == "leased")
    if phase == "run":
        return (State.COMMITTING if row["committing"] else State.RUNNING), stage
    if phase is not None:
        return State.HANDED_OUT, stage
    return (State.LOST if row["attempt_open"] else State.WAITING), stage


@pytest.mark.parametrize("state", State)
async def test_every_event_does_in_this_state_what_the_table_says(core: Core, state: State) -> None:
    wrong = []
    for event in Event:
        for guards in (*ALONE, *(LOST_WHILE_WRITING if state is State.LOST else ())):
            if any(OF_ONE_EVENT.get(guard, event) is not event for guard in guards):
                continue
            if Guard.LANE_TAKEN in guards and (state is not State.LOST or event not in PHASES):
                continue
            stage = Stage.EMBEDDING if guards & IN_LAST_STAGE else Stage.SCRAPING
            never, wrote = (guard in guards for guard in (Guard.NEVER_STARTED, Guard.WAS_COMMITTING))
            job = await reached(core, state, stage, started=state is not State.LOST or not never, committing=wrote)
            move = move_of(state, event, guards)
            attempts = await core.pool.fetchval(
                "SELECT coalesce(max(attempts), 0) FROM job_stages WHERE stage = $1", stage
            )
            limited = core.with_limits(max_attempts=attempts) if Guard.NO_ATTEMPT_LEFT in guards else core
            before = await core.row(job.job_id)
            await happens(limited, event, job, guards)
            wanted = (move.then, ELSEWHERE.get(move.where, stage))
            found = await standing(core, job.job_id)
            if found != wanted:
                wrong.append(f"{event}, {sorted(guards)}: {found} instead of {wanted}")
            if state in ENDED and await core.row(job.job_id) != before:
                wrong.append(f"{event}: an ended job has moved")
            counted = await core.pool.fetchval("SELECT open_jobs FROM owners")
            if state not in ENDED - {State.CANCELLED} and counted != (found[0] not in ENDED):
                wrong.append(f"{event}, {sorted(guards)}: {counted} jobs count as open in {found[0]}")
    assert wrong == []


@pytest.mark.parametrize("state", [state for state in State if state not in ENDED])
async def test_a_report_of_another_attempt_changes_nothing_in_any_state(core: Core, state: State) -> None:
    for event in (*PHASES, *REPORTS, Event.UNREACHABLE, Event.REJECTED):
        job = await reached(core, state, Stage.SCRAPING)
        before = await core.row(job.job_id)
        await happens(core, event, replace(job, attempt_id=UUID(int=7)))
        assert await core.row(job.job_id) == before, event


async def test_what_was_being_written_when_its_worker_was_lost_can_be_cancelled_once_it_is_handed_out_again(
    core: Core,
) -> None:
    job = await reached(core, State.LOST, Stage.EMBEDDING, committing=True)
    with pytest.raises(CommittingError, match="handed out again"):
        await cancelling.cancel(core.pool, job.owner, job.job_id)
    await core.time_has_come()
    await core.claim_one(Stage.EMBEDDING)
    assert await cancelling.cancel(core.pool, job.owner, job.job_id)


async def test_a_lost_attempt_that_goes_on_holds_its_hosts_lane_again_and_none_goes_on_beside_another(
    core: Core,
) -> None:
    for phase in (ProgressPhase.STARTED, ProgressPhase.RUNNING):
        lost = await reached(core, State.LOST, Stage.SCRAPING)
        await core.submit("http://site.test/another")
        assert await core.started(lost, phase)
        await core.time_has_come()
        assert await core.claim(Stage.SCRAPING) == [], "one page of a host at a time"
        await core.complete(lost)
        await core.time_has_come()
        other = await core.claim_one(Stage.SCRAPING)
        await core.expire_leases()
        await core.recover()
        await core.submit("http://site.test/third")
        await core.pool.execute("UPDATE jobs SET tag = 1000 WHERE id = $1", other.job_id)
        await core.time_has_come()
        third = await core.claim_one(Stage.SCRAPING)
        assert third.job_id != other.job_id
        assert not await core.started(other, phase), "its lane is another's by now"
        await core.complete(third)
        await core.time_has_come()
        assert (await core.claim_one(Stage.SCRAPING)).job_id == other.job_id


def test_no_move_is_there_twice_and_one_with_a_guard_goes_first() -> None:
    keys = [(move.state, move.event, move.guard) for move in MOVES]
    assert len(set(keys)) == len(keys)
    seen = set()
    for state, event, guard in keys:
        assert (state, event) not in seen or guard is None, f"{state}, {event}: never reached"
        if guard is None:
            seen.add((state, event))
    assert not {state for state, _, _ in keys} & ENDED, "an ended job never moves"


def test_the_readme_shows_the_table() -> None:
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    shown, _, after = rest.partition(END)
    if os.environ.get("WRITE_STATES"):
        README.write_text(before + BEGIN + markdown() + END + after)
        shown = markdown()
    assert shown == markdown(), "WRITE_STATES=1 writes it anew"
