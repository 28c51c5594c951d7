"""What the processes of a fleet take: processor time and memory, by program."""

import contextlib
from collections.abc import Mapping
from typing import Final

import psutil
from fleet import Fleet
from fleet.memory import memory_of
from fleet.programs import Tier

OUTSIDE: Final = Tier.STANDINS
# what stands for others' services; neither its time nor its memory is the fleet's


def cpu_seconds(pid: int | None) -> float:
    """Return the processor time of a process and all that came from it, also of children that have ended."""
    if pid is None:
        return 0.0
    total = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


def _own_seconds(pid: int) -> float:
    """Return the processor time of a process alone: its children are counted elsewhere."""
    with contextlib.suppress(psutil.NoSuchProcess):
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)
    return 0.0


def start_seconds(fleet: Fleet) -> float:
    """Return the processor time that a fleet has taken since it was started, and its manager with what has ended."""
    total = sum(cpu_seconds(state.pid) for state in fleet.states())
    if fleet.manager.process is not None:
        times = fleet.manager.process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


class CpuClock:
    """Processor time by program of a fleet since this was made, the fleet's own and what stands around it."""

    def __init__(self, fleet: Fleet, others: Mapping[str, int] | None = None) -> None:
        self._fleet = fleet
        self._others = others or {}
        self._began = self._read()

    def _read(self) -> dict[tuple[bool, str], float]:
        read = {(state.tier is not OUTSIDE, state.name): cpu_seconds(state.pid) for state in self._fleet.states()}
        return read | {(False, name): _own_seconds(pid) for name, pid in self._others.items()}

    def spent(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return the seconds of the fleet's programs, and of all others."""
        now = self._read()
        spent = {key: seconds - self._began.get(key, 0.0) for key, seconds in now.items()}
        own = {name: seconds for (of_fleet, name), seconds in spent.items() if of_fleet}
        return own, {name: seconds for (of_fleet, name), seconds in spent.items() if not of_fleet}


def memory_by_program(fleet: Fleet) -> Mapping[str, float]:
    """Return the megabytes of each program of the fleet; shared pages are counted once."""
    states = [state for state in fleet.states() if state.tier is not OUTSIDE and state.pid is not None]
    return {state.name: memory_of(state.pid) / 2**20 for state in states}
