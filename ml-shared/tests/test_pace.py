"""What a machine takes for a fixed piece of work, by which bounds of time are stretched."""

import time

import pytest

from ml_shared.testing import pace


def test_a_slower_machine_has_longer_for_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0

    def ticking() -> float:
        nonlocal clock
        clock += 1.0
        return clock

    monkeypatch.setattr(time, "process_time", ticking)
    monkeypatch.setattr(pace, "REFERENCE_SECONDS", 0.25)
    assert pace.slowness() == 4
    with pace.processor_time() as spent:
        clock += 19
    assert spent.seconds == 20 / 4


def test_no_machine_is_so_fast_that_bounds_shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "REFERENCE_SECONDS", 1000.0)
    assert pace.slowness() == 1


def test_what_others_wait_for_is_no_work_of_this_process() -> None:
    with pace.processor_time() as spent:
        time.sleep(0.3)
    assert spent.seconds < 0.1
