"""Time and memory of one call."""

import ctypes
import gc
import re
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Reading:
    """What a call took: processor time, and memory at its most above what was there before (`None` but on Linux)."""

    seconds: float
    peak_bytes: int | None

    @classmethod
    def of_all(cls, readings: Sequence["Reading"]) -> "Reading":
        """Return the median time, and the most memory, of several calls of the same."""
        peaks = [reading.peak_bytes for reading in readings if reading.peak_bytes is not None]
        return cls(statistics.median(reading.seconds for reading in readings), max(peaks, default=None))


def read(call: Callable[[], Answer]) -> tuple[Answer, Reading]:
    """Make a call and return its answer with what it took."""
    gc.collect()
    _give_back()
    before = _resident("VmRSS") if _reset_peak() else None
    began = time.process_time()
    answer = call()
    seconds = time.process_time() - began
    after = _resident("VmHWM") if before is not None else None
    return answer, Reading(seconds, max(0, after - before) if before is not None and after is not None else None)


def _give_back() -> None:
    """Have the allocator give back what is free: else a page takes what an earlier one left, and seems to need none."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _reset_peak() -> bool:
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return False
    return True


def _resident(name: str) -> int | None:
    found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else None
