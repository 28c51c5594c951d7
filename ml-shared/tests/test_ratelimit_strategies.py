"""What decides a limit, and the window that one process keeps."""

import random
import sys

import pytest

from ml_shared.auth.context import CallerContext
from ml_shared.ratelimit.local_window import MAX_CALLERS, LocalWindow
from ml_shared.ratelimit.strategies import (
    CompositeStrategy,
    FairShareStrategy,
    Limit,
    MembershipTierStrategy,
    RateLimitDecision,
)


class SteppedClock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def caller(tier: str = "default") -> CallerContext:
    return CallerContext(caller_id="c", caller_type="user", owner="key:c", tier=tier)


@pytest.mark.parametrize(("active", "share"), [(0, 100), (1, 100), (3, 33), (10, 10), (50, 8)])
def test_a_fair_share_is_the_capacity_over_the_active_callers_with_a_floor(active: int, share: int) -> None:
    (limit,) = FairShareStrategy(capacity=100, floor=8).limits(caller())
    assert limit.among(active) == share


def test_a_tier_has_its_own_limit_and_an_unknown_one_that_of_default() -> None:
    strategy = MembershipTierStrategy({"default": 10, "gold": 100})
    assert [strategy.limits(caller(tier))[0].requests for tier in ("default", "gold", "tin")] == [10, 100, 10]


def test_without_a_default_an_unknown_tier_has_the_least() -> None:
    assert MembershipTierStrategy({"gold": 100, "tin": 5}).limits(caller("wood"))[0].requests == 5


def test_a_composite_asks_every_strategy_in_order() -> None:
    strategy = CompositeStrategy(FairShareStrategy(100, 1), MembershipTierStrategy({"default": 7}))
    assert [limit.name for limit in strategy.limits(caller())] == ["fair-share", "membership-tier"]


def test_the_headers_are_those_of_the_contract() -> None:
    decision = RateLimitDecision("fair-share", 100, 50, 60.0, 29.2, allowed=True)
    assert decision.headers() == [
        (b"ratelimit-policy", b'"fair-share";q=100;w=60'),
        (b"ratelimit", b'"fair-share";r=50;t=30'),
    ]


def test_a_window_never_lets_more_through_than_its_limit_wherever_it_is_laid() -> None:
    clock, limit = SteppedClock(), 7
    window = LocalWindow(10.0, parts=1, clock=clock)
    chance, accepted = random.Random(1), []
    for _ in range(2_000):
        clock.now += chance.choice([0.0, 0.01, 0.5, 3.0])
        if window.hit("a", [Limit("x", limit)]).allowed:
            accepted.append(clock.now)
    assert len(accepted) > 500
    assert all(later - earlier >= 10.0 for earlier, later in zip(accepted, accepted[limit:], strict=False))


def test_a_refused_request_consumes_nothing_and_is_told_when_it_will_pass() -> None:
    clock = SteppedClock()
    window = LocalWindow(10.0, parts=1, clock=clock)
    for _ in range(2):
        assert window.hit("a", [Limit("x", 2)]).allowed
        clock.now += 1.0
    for _ in range(50):
        refused = window.hit("a", [Limit("x", 2)])
        assert (refused.allowed, refused.remaining, refused.reset_seconds) == (False, 0, 8.0)
    clock.now += 8.0
    assert window.hit("a", [Limit("x", 2)]).allowed
    assert not window.hit("a", [Limit("x", 2)]).allowed


def test_a_share_that_shrank_says_when_the_surplus_will_have_left() -> None:
    clock = SteppedClock()
    window = LocalWindow(10.0, parts=1, clock=clock)
    fair = [Limit("fair-share", 4, shared=True, floor=1)]
    for _ in range(4):
        assert window.hit("a", fair).allowed
        clock.now += 1.0
    assert window.hit("b", fair).limit == 2
    refused = window.hit("a", fair)
    assert (refused.allowed, refused.limit, refused.reset_seconds) == (False, 2, 8.0)


def test_the_tightest_of_equal_limits_is_the_first() -> None:
    window = LocalWindow(10.0, parts=1, clock=SteppedClock())
    assert window.hit("a", [Limit("x", 5), Limit("y", 5), Limit("z", 9)]).tightest == 0
    assert window.hit("a", [Limit("x", 5), Limit("y", 4)]).tightest == 1


def test_several_processes_together_never_allow_more_than_the_whole() -> None:
    windows = [LocalWindow(10.0, parts=4, clock=SteppedClock()) for _ in range(4)]
    passed = sum(window.hit("a", [Limit("x", 10)]).allowed for window in windows for _ in range(50))
    assert passed == 8


def test_callers_who_went_away_are_forgotten() -> None:
    clock = SteppedClock()
    window = LocalWindow(10.0, parts=1, clock=clock)
    for number in range(100):
        window.hit(str(number), [Limit("x", 5)])
    clock.now += 10.0
    window.hit("last", [Limit("x", 5)])
    assert len(window._logs) == 1


def test_memory_is_bounded_by_the_limit_of_a_caller_and_by_a_number_of_callers() -> None:
    window = LocalWindow(10.0, parts=1, clock=SteppedClock())
    for _ in range(2_000):  # more than the limit: a Redis that was wiped accepts a window's worth again
        window.record("a", [Limit("x", 1_000), Limit("y", 2_000)])
    log = window._logs["a"]
    assert len(log) == 1_000
    assert sys.getsizeof(log) + sum(map(sys.getsizeof, log)) < 36_000
    for number in range(2 * MAX_CALLERS):
        window.hit(str(number), [Limit("x", 1_000)])
    assert len(window._logs) == MAX_CALLERS


def test_what_redis_accepted_counts_when_the_process_has_to_decide_alone() -> None:
    window = LocalWindow(10.0, parts=1, clock=SteppedClock())
    for _ in range(3):
        window.record("a", [Limit("x", 3)])
    assert not window.hit("a", [Limit("x", 3)]).allowed
