"""Ids of jobs and batches: UUIDs that begin with the time (version 7, RFC 9562), and within one call are in order.

An index takes neighbours in at a third of what it costs to put each in a place of its own, and a job's id stands in six of them;
the more jobs there are, the more that is. Whoever may see a job sees when it was submitted.
"""

import os
import time
from typing import Final
from uuid import UUID

_VERSION: Final = 7 << 76
_VARIANT: Final = 0b10 << 62
_PLACES: Final = 0xFFF
_RANDOM_BYTES: Final = 8


def new_ids(count: int) -> list[UUID]:
    """Return so many new ids, in ascending order (up to 4,096 of them: then the order begins anew)."""
    beginning = (time.time_ns() // 1_000_000) << 80 | _VERSION | _VARIANT
    drawn = os.urandom(_RANDOM_BYTES * count)
    return [
        UUID(int=beginning | (place & _PLACES) << 64 | int.from_bytes(drawn[at : at + _RANDOM_BYTES]) >> 2)
        for place, at in enumerate(range(0, len(drawn), _RANDOM_BYTES))
    ]


def new_id() -> UUID:
    """Return a new id."""
    [drawn] = new_ids(1)
    return drawn
