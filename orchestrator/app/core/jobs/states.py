"""What becomes of a job, as one table: in which state, by which event, to which state, and with what effect.

What is not in it changes nothing. `tests/test_core_states.py` has every event happen in every state, on a real database, and
holds README.md to this table.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a job is within a stage, or how it ended."""

    WAITING = "waiting"
    HANDED_OUT = "handed out"
    RUNNING = "running"
    COMMITTING = "committing"
    LOST = "lost"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


MEANING: Final = {
    State.WAITING: "parked in its host's lane, ready, or not before a time; no attempt is open",
    State.HANDED_OUT: "leased: claimed, or in the stage's queue",
    State.RUNNING: "leased: a worker has started, and renews",
    State.COMMITTING: "leased: a worker is writing what can't be taken back",
    State.LOST: "given back, or its lease ran out: to be handed out again, and until then its last attempt is still good",
    State.COMPLETED: "ended",
    State.FAILED: "ended",
    State.CANCELLED: "ended",
}


class Event(StrEnum):
    """What happens to a job. Reports are those of its last attempt; another one's are stale, and change nothing."""

    CLAIMED = "a pass claims it"
    UNREACHABLE = "the stage can't be reached"
    REJECTED = "the stage refuses it"
    STARTED = "report `started`"
    RUNNING = "report `running`"
    COMMITTING = "report `committing`"
    SUCCESS = "report `success`"
    DEFERRED = "report `deferred`"
    FAILED = "report `failed`"
    EXPIRED = "its lease runs out"
    CANCEL = "its owner cancels it"


class Guard(StrEnum):
    """What else has to be so. A move with a guard goes before one without."""

    LAST_STAGE = "it is in the last stage"
    NO_ATTEMPT_LEFT = "it has had all its attempts"
    NEVER_STARTED = "nobody has started it in this stage"
    UNCHANGED = "its page is as it was known"
    WAS_COMMITTING = "its last attempt had said `committing`"
    LANE_TAKEN = "its host's lane is another job's by now"
    CONTENT_MISSING = "what it was to work on is gone: `content_missing`"


class Where(StrEnum):
    """In which stage a job is after a move."""

    HERE = ""
    NEXT = "in the next stage"
    LAST = "in the last stage"
    FIRST = "in the first stage"


@dataclass(frozen=True, slots=True)
class Move:
    """One line of the table.

    Attributes
    ----------
    where
        The stage that the job is in afterwards.
    """

    state: State
    event: Event
    then: State
    effect: str
    guard: Guard | None = None
    where: Where = Where.HERE


_GIVE_UP: Final = "ends: `stage_timeout`"


def _reported(state: State) -> tuple[Move, ...]:
    """What ends an attempt, whether or not it ever said that it had started."""
    return (
        Move(state, Event.SUCCESS, State.COMPLETED, "ends; its lane is free", Guard.LAST_STAGE),
        Move(
            state,
            Event.SUCCESS,
            State.WAITING,
            "what it is known by is kept; its document is to be touched",
            Guard.UNCHANGED,
            Where.LAST,
        ),
        Move(state, Event.SUCCESS, State.WAITING, "its result is kept", where=Where.NEXT),
        Move(
            state,
            Event.DEFERRED,
            State.WAITING,
            "its page is fetched again, whatever was known of it; of a touch it counts no attempt",
            Guard.CONTENT_MISSING,
            Where.FIRST,
        ),
        Move(state, Event.DEFERRED, State.FAILED, "ends with the reason", Guard.NO_ATTEMPT_LEFT),
        Move(
            state, Event.DEFERRED, State.WAITING, "not before the time that it gives; a busy host's lane waits instead"
        ),
        Move(state, Event.FAILED, State.FAILED, "ends with the reason"),
    )


MOVES: Final = (
    Move(State.WAITING, Event.CLAIMED, State.HANDED_OUT, "a new attempt, and a lease; virtual time moves on"),
    Move(State.WAITING, Event.CANCEL, State.CANCELLED, "ends; tag and turn are given back if it was never worked on"),
    Move(State.HANDED_OUT, Event.UNREACHABLE, State.LOST, "counts nothing; its lane is free; the stage pauses"),
    Move(State.HANDED_OUT, Event.REJECTED, State.FAILED, "ends with the stage's reason"),
    Move(State.HANDED_OUT, Event.STARTED, State.FAILED, _GIVE_UP, Guard.NO_ATTEMPT_LEFT),
    Move(State.HANDED_OUT, Event.STARTED, State.RUNNING, "an attempt counts; the lease of a run"),
    *_reported(State.HANDED_OUT),
    Move(State.HANDED_OUT, Event.EXPIRED, State.LOST, "counts nothing; its lane is free"),
    Move(State.HANDED_OUT, Event.CANCEL, State.CANCELLED, "ends; the worker is told to abandon"),
    Move(State.RUNNING, Event.STARTED, State.FAILED, _GIVE_UP, Guard.NO_ATTEMPT_LEFT),
    Move(State.RUNNING, Event.STARTED, State.RUNNING, "delivered again: one more attempt counts"),
    Move(State.RUNNING, Event.RUNNING, State.RUNNING, "the lease is renewed, until the stage's deadline"),
    Move(State.RUNNING, Event.COMMITTING, State.COMMITTING, "can't be cancelled any more"),
    *_reported(State.RUNNING),
    Move(State.RUNNING, Event.EXPIRED, State.FAILED, _GIVE_UP, Guard.NO_ATTEMPT_LEFT),
    Move(State.RUNNING, Event.EXPIRED, State.LOST, "its lane is free"),
    Move(State.RUNNING, Event.CANCEL, State.CANCELLED, "ends; the worker hears it at its next sign of life"),
    Move(State.COMMITTING, Event.STARTED, State.FAILED, _GIVE_UP, Guard.NO_ATTEMPT_LEFT),
    Move(State.COMMITTING, Event.STARTED, State.COMMITTING, "delivered again: one more attempt counts"),
    Move(State.COMMITTING, Event.RUNNING, State.COMMITTING, "the lease is renewed, until the stage's deadline"),
    Move(State.COMMITTING, Event.COMMITTING, State.COMMITTING, "the lease is renewed, until the stage's deadline"),
    *_reported(State.COMMITTING),
    Move(State.COMMITTING, Event.EXPIRED, State.FAILED, _GIVE_UP, Guard.NO_ATTEMPT_LEFT),
    Move(
        State.COMMITTING, Event.EXPIRED, State.LOST, "its lane is free; it may still be written, so still not cancelled"
    ),
    Move(State.COMMITTING, Event.CANCEL, State.COMMITTING, "refused: `409 committing`"),
    Move(State.LOST, Event.CLAIMED, State.HANDED_OUT, "a new attempt: reports of the one before are stale"),
    *(
        Move(State.LOST, report, State.LOST, "the worker is told to abandon", Guard.LANE_TAKEN)
        for report in (Event.STARTED, Event.RUNNING, Event.COMMITTING)
    ),
    Move(State.LOST, Event.STARTED, State.FAILED, _GIVE_UP, Guard.NO_ATTEMPT_LEFT),
    Move(
        State.LOST,
        Event.STARTED,
        State.COMMITTING,
        "delivered again: one more attempt counts; what was begun can't be cancelled",
        Guard.WAS_COMMITTING,
    ),
    Move(State.LOST, Event.STARTED, State.RUNNING, "delivered again: one more attempt counts"),
    Move(State.LOST, Event.RUNNING, State.LOST, "the worker is told to abandon", Guard.NEVER_STARTED),
    Move(State.LOST, Event.COMMITTING, State.LOST, "the worker is told to abandon", Guard.NEVER_STARTED),
    Move(
        State.LOST,
        Event.RUNNING,
        State.COMMITTING,
        "the lease is taken up again, until the stage's deadline",
        Guard.WAS_COMMITTING,
    ),
    Move(State.LOST, Event.RUNNING, State.RUNNING, "the lease is taken up again, until the stage's deadline"),
    Move(State.LOST, Event.COMMITTING, State.COMMITTING, "the lease is taken up again; can't be cancelled any more"),
    *_reported(State.LOST),
    Move(
        State.LOST,
        Event.CANCEL,
        State.LOST,
        "refused: `409 committing`, until it is handed out again",
        Guard.WAS_COMMITTING,
    ),
    Move(State.LOST, Event.CANCEL, State.CANCELLED, "ends"),
)


def move_of(state: State, event: Event, guards: frozenset[Guard] = frozenset()) -> Move:
    """Return what an event does in a state, which may be nothing."""
    for move in MOVES:
        if (move.state, move.event) == (state, event) and (move.guard is None or move.guard in guards):
            return move
    return Move(state, event, state, "nothing")


def markdown() -> str:
    """Return the table as README.md shows it."""
    lines = ["| state | |", "|---|---|", *(f"| {state} | {meaning} |" for state, meaning in MEANING.items()), ""]
    lines += ["| in | when | if | then | effect |", "|---|---|---|---|---|"]
    for move in MOVES:
        then = f"{move.then}, {move.where}" if move.where else move.then
        lines.append(f"| {move.state} | {move.event} | {move.guard or ''} | {then} | {move.effect} |")
    return "\n".join(lines) + "\n"
