"""An endpoint whose answers wait until a test says so: what happens meanwhile depends on no clock."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

from ml_shared.testing.endpoint import FakeEndpoint


class Held:
    """The requests that wait."""

    def __init__(self) -> None:
        self._released = threading.Event()

    async def wait(self) -> None:
        while not self._released.is_set():
            await asyncio.sleep(0.01)

    def release(self) -> None:
        """Let all be answered that wait, and all that come."""
        self._released.set()


@contextmanager
def holding_answers(endpoint: FakeEndpoint, *, after: int = 0) -> Iterator[Held]:
    """Within the block, answer so many requests and let all others wait until they are released."""
    held, numbers, answer = Held(), count(), endpoint._answer

    async def waits(*given: Any) -> Any:
        if next(numbers) >= after:
            await held.wait()
        return await answer(*given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(endpoint, "_answer", waits)
        try:
            yield held
        finally:
            held.release()
