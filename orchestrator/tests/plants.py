"""Faults that are planted one at a time, to see that the model finds them: each as one would slip in by an edit."""

from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import crashing
import pytest

from app.core.dispatch import claims
from app.core.jobs import submission, transitions

_OVERLOADS: Final = "SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = $1"


@dataclass(frozen=True)
class InFunction:
    """A text of a function of the database that is another one."""

    function: str
    right: str
    wrong: str

    async def plant(self, pool: asyncpg.Pool) -> None:
        """Put it in, in every version of the function.

        Raises
        ------
        AssertionError
            If the text is not there: then nothing would be planted.
        """
        found = False
        for row in await pool.fetch(_OVERLOADS, self.function):
            if self.right in row[0]:
                found = True
                await pool.execute(row[0].replace(self.right, self.wrong))
        assert found, f"{self.function} has no {self.right!r}"


@dataclass(frozen=True)
class InModule:
    """A text of a statement in a module that is another one."""

    module: Any
    statement: str
    right: str
    wrong: str

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Put it in within the block."""
        text = getattr(self.module, self.statement)
        assert self.right in text, f"{self.statement} has no {self.right!r}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.module, self.statement, text.replace(self.right, self.wrong))
            yield


@dataclass(frozen=True)
class NoTransactions:
    """Each statement commits by itself: what a crash leaves is half done."""

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Put it in within the block."""

        @asynccontextmanager
        async def none(_: Any) -> Any:
            yield

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(crashing.CrashingConnection, "transaction", none)
            yield


PLANTS: Final = {
    "the fence is dropped: any attempt's success counts": InFunction(
        "take_success", "AND attempt_id = p_attempt AND attempt_open AND", "AND attempt_open AND"
    ),
    "the fence is dropped: any attempt's failure counts": InModule(
        transitions,
        "_CLOSE_ATTEMPT",
        "AND attempt_id = $3 AND attempt_open",
        "AND attempt_open AND $3::uuid IS NOT NULL",
    ),
    "a tag is forgotten: a cancelled job keeps its turn": InFunction(
        "cancel_locked", "last_tag = GREATEST(last_tag - v_tags / weight, 0)", "last_tag = last_tag"
    ),
    "a lane is skipped: a job that comes back does not occupy it": InFunction(
        "occupy_lane", "        occupied = true,\n", ""
    ),
    "a job is counted twice: it ends, and its owner has two less": InFunction(
        "end_job", "open_jobs = open_jobs - 1", "open_jobs = open_jobs - 2"
    ),
    "a job ends twice: what has ended can fail": InModule(
        transitions, "_CLOSE_ATTEMPT", "AND attempt_open AND placement <> 'ended'", ""
    ),
    "a job is cancelled while it is written": InFunction("cancel_job", " AND NOT (committing AND attempt_open)", ""),
    "a start is not counted": InFunction("report_progress", "attempts = s.attempts + 1", "attempts = s.attempts"),
    "a lane is kept: a job that ends does not leave it": InFunction(
        "end_job", "    PERFORM leave_lane(p_host, p_job, NULL);\n", ""
    ),
    "a wiped queue is not noticed": InModule(claims, "_OF_ANOTHER_EPOCH", "IS DISTINCT FROM $2", "= $2"),
    "a limit is not kept: an owner has one more job": InModule(
        submission, "_SUBMIT", "o.open_jobs < $12", "o.open_jobs <= $12"
    ),
    "each statement commits by itself": NoTransactions(),
}
SOON_FOUND: Final = (
    "a tag is forgotten: a cancelled job keeps its turn",
    "a job is counted twice: it ends, and its owner has two less",
    "a job ends twice: what has ended can fail",
)
# which are sought each time, the others by `make test-model`
