"""What an operation asks of its transport. An operation is a generator: it yields effects, gets their outcomes, and returns.

So one piece of code serves a program that blocks and one that awaits, and a test that does neither.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeAlias, TypeVar

T = TypeVar("T")

TIMEOUT_SECONDS: Final = 30.0
SYNC_TIMEOUT_SECONDS: Final = 75.0
# above the gateway's, which answers with the alternative


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, below the gateway's address.

    `repeatable` says whether it may be sent again where nobody knows if it arrived.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout_seconds: float = TIMEOUT_SECONDS
    repeatable: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer, read to its end. The headers' names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def good(self) -> bool:
        """Whether it is a success."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request; the outcome is an `Answer`, or a `TransportError` is thrown in."""

    request: Request


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for a while; the outcome is None."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Open:
    """Send a request and leave its answer open; the outcome is an `Opened`."""

    request: Request


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer whose body is still to come: all of it is in `answer` if it is a refusal."""

    answer: Answer
    handle: Any = None


@dataclass(frozen=True, slots=True)
class Read:
    """Read on in an open answer; the outcome is some bytes, none at its end."""

    handle: Any


@dataclass(frozen=True, slots=True)
class Close:
    """Read no further in an open answer; the outcome is None."""

    handle: Any


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """Hand one thing to whoever goes through the operation; the outcome is None."""

    value: T


@dataclass(frozen=True, slots=True)
class Done:
    """An operation has ended with this result."""

    result: Any


Effect: TypeAlias = Send | Pause | Open | Read | Close
Operation: TypeAlias = Generator[Effect, Any, T]
"""Ends with a result."""
Stream: TypeAlias = Generator[Effect | Item[T], Any, None]
"""Hands out one thing after the other."""


class Steps:
    """An operation, one step after the other, as a transport goes through it."""

    def __init__(self, operation: Generator[Any, Any, Any]) -> None:
        self._operation = operation

    def begin(self) -> Any:
        """Return the first effect, or what it ended with."""
        return self.after(None)

    def after(self, outcome: Any) -> Any:
        """Tell the outcome of the last effect and return the next one."""
        try:
            return self._operation.send(outcome)
        except StopIteration as end:
            return Done(end.value)

    def failed(self, error: Exception) -> Any:
        """Tell that the last effect failed and return the next one."""
        try:
            return self._operation.throw(error)
        except StopIteration as end:
            return Done(end.value)

    def close(self) -> None:
        """Go no further."""
        self._operation.close()


def last_of(stream: Stream[T]) -> Operation[T | None]:
    """Go through a stream and return the last thing that it handed out."""
    steps, last = Steps(stream), None
    try:
        effect = steps.begin()
        while not isinstance(effect, Done):
            if isinstance(effect, Item):
                last = effect.value
                effect = steps.after(None)
                continue
            try:
                outcome = yield effect
            except Exception as error:  # noqa: BLE001 - it is the stream's to treat, and comes back out of it
                effect = steps.failed(error)
            else:
                effect = steps.after(outcome)
    finally:
        steps.close()
    return last
