"""What is known of the request that is being served, for whatever runs within it."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_shared.auth.context import CallerContext
from ml_shared.ratelimit.strategies import RateLimitDecision
from ml_shared.telemetry.logs import REQUEST_ID

if TYPE_CHECKING:
    from ml_shared.http.bodies import Body


@dataclass(slots=True)
class RequestState:
    """One request, filled in as it is served.

    It is one mutable object, and not several context variables, so that what a dependency learns in a thread or a
    task of its own still reaches the middleware that writes the answer's headers.

    Attributes
    ----------
    request_id
        The caller's `X-Request-Id` if it is a valid one, else a new one.
    rate_limit
        What the enforcer decided; `None` before, and for callers that are not limited.
    ctx
        Who calls, once that is established.
    counted
        Whether the request was counted against its caller's limit, and passed.
    body
        The request's body, if it has one.
    """

    request_id: str
    rate_limit: RateLimitDecision | None = None
    ctx: CallerContext | None = None
    counted: bool = False
    body: "Body | None" = None


_current: ContextVar[RequestState | None] = ContextVar("ml_shared_request", default=None)


def current_request() -> RequestState | None:
    """Return the state of the request that is being served, `None` outside of one."""
    return _current.get()


@contextmanager
def bound_request(state: RequestState) -> Iterator[None]:
    """Make a state the current one within the block, and its id that of every line logged there."""
    token, logged = _current.set(state), REQUEST_ID.set(state.request_id)
    try:
        yield
    finally:
        REQUEST_ID.reset(logged)
        _current.reset(token)
