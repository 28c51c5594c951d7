"""The circuit breaker, on a clock of its own."""

from ml_shared.auth.breaker import Attempt, CircuitBreaker


class SteppedClock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def admitted(breaker: CircuitBreaker) -> Attempt:
    attempt = breaker.begin()
    assert attempt is not None
    return attempt


def opened() -> tuple[CircuitBreaker, SteppedClock]:
    clock = SteppedClock()
    breaker = CircuitBreaker(failures=2, open_seconds=5, clock=clock)
    for _ in range(2):
        admitted(breaker).end(False)
    return breaker, clock


def test_it_opens_after_failures_in_a_row() -> None:
    breaker, _ = opened()
    assert breaker.begin() is None
    assert breaker.retry_after_seconds == 5


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = CircuitBreaker(failures=2, open_seconds=5)
    for succeeded in (False, True, False):
        admitted(breaker).end(succeeded)
    assert breaker.begin() is not None


def test_half_open_it_lets_one_trial_through_at_a_time() -> None:
    breaker, clock = opened()
    clock.now = 5
    trial = admitted(breaker)
    assert breaker.begin() is None
    trial.end(True)
    assert admitted(breaker)
    assert admitted(breaker)


def test_a_failed_trial_opens_it_again() -> None:
    breaker, clock = opened()
    clock.now = 5
    admitted(breaker).end(False)
    assert breaker.begin() is None
    assert breaker.retry_after_seconds == 5


def test_a_trial_that_was_called_off_says_nothing_and_frees_its_place() -> None:
    breaker, clock = opened()
    clock.now = 5
    admitted(breaker).end(None)
    assert breaker.begin() is not None


def test_a_call_from_before_it_opened_neither_prolongs_it_nor_takes_a_trials_place() -> None:
    clock = SteppedClock()
    breaker = CircuitBreaker(failures=1, open_seconds=5, clock=clock)
    first, late = admitted(breaker), admitted(breaker)
    first.end(False)
    clock.now = 5
    admitted(breaker)
    late.end(False)
    assert breaker.retry_after_seconds == 0
    assert breaker.begin() is None
