"""One call: sent, sent again where that helps, and read.

What is sent again: what was never sent (no connection); what may have arrived and does no harm twice (reading, and writing
with an `Idempotency-Key`), be it this client's connection that broke or the gateway's own (`502`); what was refused for now
(`429`, `503`, `408`), not before `Retry-After`. It ends at the session's deadline, or at once where the platform asks for a
longer wait than that.

The first attempt has all of its request's own time, however patient a session is: that is more than the gateway takes to say what
took so long. The later ones have what is left.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from cloudcix_ml.core.effects import Answer, Operation, Pause, Request, Send
from cloudcix_ml.core.problems import error_of
from cloudcix_ml.core.session import Session
from cloudcix_ml.errors import AnswerError, BadGatewayError, ProblemError, TransportError

T = TypeVar("T")

FIRST_WAIT_SECONDS: Final = 0.25
LONGEST_WAIT_SECONDS: Final = 20.0
JITTER: Final = 0.2
LEAST_TIMEOUT_SECONDS: Final = 1.0


def backoff_seconds(session: Session, attempt: int) -> float:
    """Return how long to wait before the next attempt: twice as long each time, and never as long as another client."""
    longest = min(FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1), LONGEST_WAIT_SECONDS)
    return longest * (0.5 + 0.5 * session.chance())


def exchange(session: Session, request: Request, *, give_up_at: float | None = None) -> Operation[Answer]:
    """Send a request until it is answered well, or there is no more use in it.

    The answer is good, or a removal's `404` after one whose answer was lost: what was to go is gone. `removal` reads both.

    Raises
    ------
    ProblemError
        The platform's last refusal.
    TransportError
        If nobody answered.
    """
    end = session.clock() + session.patience_seconds
    end = end if give_up_at is None else min(end, give_up_at)
    lost = False
    for attempt in range(1, session.most_attempts + 1):
        failure: ProblemError | TransportError
        bounded = attempt > 1 or give_up_at is not None
        try:
            answer: Answer = yield Send(_within(request, end - session.clock()) if bounded else request)
        except TransportError as error:
            failure, wait = error, backoff_seconds(session, attempt)
            again = request.repeatable or not error.sent
            lost = lost or error.sent
        else:
            if answer.good or (lost and request.method == "DELETE" and answer.status == 404):
                return answer  # a removal whose answer was lost has been done
            refusal = error_of(answer, session.key)
            if not isinstance(refusal, ProblemError):
                raise refusal
            # the gateway's own connection broke: the service may have done it, as where this client's did
            broke = isinstance(refusal, BadGatewayError)
            failure, again = refusal, refusal.worth_repeating and (request.repeatable or not broke)
            lost = lost or broke
            told = refusal.retry_after_seconds
            wait = backoff_seconds(session, attempt) if told is None else told * (1 + JITTER * session.chance())
        if not again or attempt == session.most_attempts or session.clock() + wait > end:
            raise failure
        yield Pause(wait)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _within(request: Request, seconds: float) -> Request:
    seconds = max(seconds, LEAST_TIMEOUT_SECONDS)
    if seconds >= request.timeout_seconds:
        return request
    return Request(
        request.method, request.path, request.params, request.headers, request.body, seconds, request.repeatable
    )


def read_as(kind: type[T]) -> Callable[[Answer], T]:
    """Return what reads an answer as a model."""

    def read(answer: Answer) -> T:
        try:
            return TypeAdapter(kind).validate_json(answer.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the answer"
            raise AnswerError(f"an answer that is none of this API's: {where}: {first['msg']}") from None

    return read


def call(session: Session, request: Request, kind: type[T], *, give_up_at: float | None = None) -> Operation[T]:
    """Send a request and return its answer as a model."""
    answer = yield from exchange(session, request, give_up_at=give_up_at)
    return read_as(kind)(answer)


def removal(session: Session, request: Request, done: T) -> Operation[T]:
    """Send a removal and return its answer as a model like `done`, which is what it comes to where the answer was lost."""
    answer = yield from exchange(session, request)
    return read_as(type(done))(answer) if answer.good else done
