"""How long a revoked key still works: two processes on clocks of their own, one Redis, one Membership."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from ml_shared.testing.membership import FakeMembership, MembershipMode
from ml_shared.testing.servers import RedisServer

SCRIPT = Path(__file__).with_name("auth_process.py")
DEADLINE_SECONDS = 60.0


class AuthProcess:
    """`auth_process.py`, until the `with` block ends."""

    def __init__(self, redis_url: str, membership_url: str, uptime_seconds: float, metrics_folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), redis_url, membership_url, str(uptime_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(metrics_folder)},
        )

    def tell(self, **said: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def ask(self, **said: Any) -> dict[str, Any]:
        self.tell(**said)
        return self.answer()

    def outcome_at(self, now: float, key: str) -> str:
        """Say what comes of a key at a moment."""
        self.ask(now=now)
        return str(self.ask(key=key)["outcome"])

    def breaker_state(self) -> list[float]:
        values: list[float] = self.ask(metrics="ml_auth_breaker_state")["values"]
        return values

    def __enter__(self) -> Self:
        assert "ready" in self.answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=DEADLINE_SECONDS)


class Fleet:
    """Two processes of a service and what they share."""

    def __init__(self, membership: FakeMembership, first: AuthProcess, second: AuthProcess) -> None:
        self.membership, self.first, self.second = membership, first, second

    def validated(self, key: str, *, answered_after: float = 0.0) -> None:
        """Have the first process begin to validate a key at 0, and Membership answer when so much time has passed."""
        self.membership.add(key)
        self.membership.calls.clear()
        self.first.ask(now=0.0)
        self.membership.hold()
        self.first.tell(key=key)
        wait_for_call(self.membership)
        self.first.ask(now=answered_after)
        self.membership.release()
        assert self.first.answer() == {"outcome": "user"}
        self.membership.revoke(key)


def wait_for_call(membership: FakeMembership) -> None:
    until = time.monotonic() + DEADLINE_SECONDS
    while not membership.calls:
        assert time.monotonic() < until, "Membership was not called"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def running(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("metrics")
    with ExitStack() as stack:
        membership = stack.enter_context(FakeMembership())
        # both are started before either is waited for
        first, second = (AuthProcess(redis_server.url, membership.url, uptime, folder) for uptime in (70.0, 90_000.0))
        yield Fleet(membership, stack.enter_context(first), stack.enter_context(second))


@pytest.fixture
def fleet(running: Fleet, redis_url: str) -> Fleet:
    running.membership.mode = MembershipMode.OK
    running.membership.calls.clear()
    return running


@pytest.mark.parametrize("answered_after", [0.0, 30.0], ids=["answered-at-once", "answered-slowly"])
def test_a_revoked_key_works_nowhere_sixty_seconds_after_the_call_that_validated_it_began(
    fleet: Fleet, answered_after: float
) -> None:
    key = f"revoked-key-{answered_after}"
    fleet.validated(key, answered_after=answered_after)
    assert fleet.first.outcome_at(59.0, key) == "user"
    assert fleet.second.outcome_at(59.0, key) == "user"
    assert len(fleet.membership.calls) == 1  # the second one had it from Redis
    assert fleet.second.outcome_at(59.9, key) == "user"
    assert fleet.second.outcome_at(60.0, key) == "invalid_api_key"
    assert fleet.first.outcome_at(60.0, key) == "invalid_api_key"


def test_what_redis_still_holds_after_sixty_seconds_lets_nobody_in(fleet: Fleet) -> None:
    # its own clock has not moved: the entry is there for almost a minute yet
    fleet.validated("kept-key-0123456789")
    assert fleet.second.outcome_at(60.0, "kept-key-0123456789") == "invalid_api_key"


def test_a_refusal_stays_in_its_process_and_takes_nothing_from_the_other(fleet: Fleet) -> None:
    assert fleet.first.outcome_at(0.0, "new-key-0123456789") == "invalid_api_key"
    fleet.membership.add("new-key-0123456789")
    assert fleet.second.outcome_at(1.0, "new-key-0123456789") == "user"
    assert fleet.first.outcome_at(9.9, "new-key-0123456789") == "invalid_api_key"
    assert fleet.first.outcome_at(10.0, "new-key-0123456789") == "user"


def test_any_process_tells_the_state_of_the_breaker_that_changed_last(fleet: Fleet) -> None:
    fleet.membership.mode = MembershipMode.DOWN
    for number in range(5):
        assert fleet.first.outcome_at(0.0, f"key-{number}") == "membership_unavailable"
    assert fleet.first.breaker_state() == fleet.second.breaker_state() == [2.0]
    fleet.membership.mode = MembershipMode.OK
    assert fleet.first.outcome_at(5.0, "key-0") == "invalid_api_key"
    assert fleet.first.breaker_state() == fleet.second.breaker_state() == [0.0]
