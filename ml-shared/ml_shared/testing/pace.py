"""Bounds of what work may take, in seconds of one machine: others, and the same one at another hour, are many times slower."""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

ROUNDS: Final = 200
REFERENCE_SECONDS: Final = 0.02


@dataclass
class Spent:
    """What a piece of work took.

    Attributes
    ----------
    seconds
        Processor time of this process, in seconds of a machine that does the fixed piece of work in
        `REFERENCE_SECONDS`. 0 until the work is over.
    """

    seconds: float = 0.0


def fixed_work_seconds(rounds: int) -> float:
    """Return the processor time of a piece of work that is the same for ever: by it two machines are compared, or hours."""
    began = time.process_time()
    for number in range(rounds):
        row = {f"field {at}": [number, at, f"{number}/{at}" * 8] for at in range(40)}
        text = json.dumps(row)
        digest = hashlib.sha256(text.encode()).hexdigest()
        words = sorted(re.findall(r"[a-z]+|\d+", text + digest))
        if json.loads(text) != row or not words:
            raise AssertionError("json and re are not what they were")
    return time.process_time() - began


def slowness() -> float:
    """Return how many times as long as the machine of reference this one takes for the fixed piece of work just now; at least 1."""
    return max(1.0, fixed_work_seconds(ROUNDS) / REFERENCE_SECONDS)


@contextmanager
def processor_time() -> Iterator[Spent]:
    """Measure what the block takes of this process' processor time, in seconds of the machine of reference.

    Yields
    ------
    Spent
        Its figure stands once the block is left.
    """
    spent, before, began = Spent(), slowness(), time.process_time()
    yield spent
    took = time.process_time() - began
    spent.seconds = took / max(before, slowness())
